// Java's String.hashCode: RocketMQ's tag filter and index files are built on it, so the numbers on
// disk and those that clients compute must agree.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace raftmq::store {

// String.hashCode of the text: over its UTF-16 code units, s[0]*31^(n-1) + … + s[n-1], modulo 2^32.
// What isn't UTF-8 counts as U+FFFD, one for each maximal invalid part.
// `before` is the hash of a text that comes before this one.
int32_t JavaStringHash(std::string_view utf8, int32_t before = 0);

// The hash of a message's tag as a consume queue holds it: JavaStringHash, sign-extended. 0: no
// tag.
inline int64_t TagHash(std::string_view tag) { return JavaStringHash(tag); }

}  // namespace raftmq::store
