#include "store/entry_tag.h"

#include <algorithm>

#include "base/crc.h"
#include "store/java_string_hash.h"

namespace raftmq::store {
namespace {

constexpr uint64_t kForOneGroup = uint64_t{1} << 62;
constexpr uint64_t kGroupHashMask = (uint64_t{1} << 30) - 1;

int64_t GroupBits(std::string_view group) {
  return static_cast<int64_t>(kForOneGroup | (Crc32c(group) & kGroupHashMask) << 32);
}

int64_t GroupBitsOf(int64_t entry_tag) {
  return static_cast<int64_t>(static_cast<uint64_t>(entry_tag) >> 32 << 32);
}

}  // namespace

int64_t EntryTag(std::string_view tag, std::string_view for_group) {
  const int64_t tag_hash = TagHash(tag);
  if (for_group.empty()) return tag_hash;
  return GroupBits(for_group) | static_cast<int64_t>(static_cast<uint32_t>(tag_hash));
}

EntryTagFilter::EntryTagFilter(std::string_view group, const std::vector<std::string>& tags)
    : group_bits_(GroupBits(group)) {
  for (const std::string& tag : tags) tag_hashes_.push_back(TagHash(tag));
}

bool EntryTagFilter::MayPass(int64_t entry_tag) const {
  int64_t tag_hash = entry_tag;
  if (IsForOneGroup(entry_tag)) {
    if (GroupBitsOf(entry_tag) != group_bits_) return false;
    tag_hash = static_cast<int32_t>(entry_tag);
  }
  return tag_hashes_.empty() ||
         std::find(tag_hashes_.begin(), tag_hashes_.end(), tag_hash) != tag_hashes_.end();
}

bool EntryTagFilter::MayPassAny(const std::vector<int64_t>& entry_tags) const {
  return std::any_of(entry_tags.begin(), entry_tags.end(),
                     [this](int64_t entry_tag) { return MayPass(entry_tag); });
}

}  // namespace raftmq::store
