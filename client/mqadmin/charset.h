// Bodies in other character sets than UTF-8, for people to read.
//
// Pure functions; any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace raftmq::mqadmin {

// `bytes`, which are text in `charset` (a name that iconv knows: "GBK", "UTF-16LE"), as UTF-8. What
// is no text in it becomes U+FFFD. InvalidArgument: no such charset on this machine.
absl::StatusOr<std::string> ToUtf8(const std::string& bytes, const std::string& charset);

}  // namespace raftmq::mqadmin
