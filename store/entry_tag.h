// What a consume queue's entry says of its message, for receivers to pass over it without reading
// it (RocketMQ's tagsCode): the hash of its tag, and of the group that it is for, if it is for one
// group alone (property::kForGroup).
//
// Pure functions; any thread. On disk, so it never changes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace raftmq::store {

// TagHash of the tag for a message that is for all groups (`for_group` is ""). Of another: below it
// the 32 bits of that hash, above it 01 and 30 bits of the group's, which no tag's hash looks like.
int64_t EntryTag(std::string_view tag, std::string_view for_group);

inline bool IsForOneGroup(int64_t entry_tag) { return static_cast<uint64_t>(entry_tag) >> 62 == 1; }

// Which entries a group's receiver may want. A plain value.
class EntryTagFilter {
 public:
  EntryTagFilter() = default;  // of no group: only what is for all groups
  // `tags`: any of these; none: tags do not tell what passes.
  EntryTagFilter(std::string_view group, const std::vector<std::string>& tags);

  // False: the message is surely not wanted. True: its record has to say it (hashes collide), but
  // for what is for all groups and no filter asks for.
  bool MayPass(int64_t entry_tag) const;
  bool MayPassAny(const std::vector<int64_t>& entry_tags) const;

 private:
  int64_t group_bits_ = 0;  // what the entry of a message for the group alone has on top
  std::vector<int64_t> tag_hashes_;
};

}  // namespace raftmq::store
