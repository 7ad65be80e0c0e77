#include "store/message_filter.h"

#include <algorithm>

#include "store/java_string_hash.h"
#include "store/sql_filter.h"

namespace raftmq::store {

bool PassesFilter(const MessageFilter& filter, const PropertiesView& properties) {
  if (filter.sql != nullptr) return filter.sql->Matches(properties);
  if (filter.tags.empty()) return true;
  return std::find(filter.tags.begin(), filter.tags.end(), properties.Get(property::kTags)) !=
         filter.tags.end();
}

std::vector<int64_t> PassingTagHashes(const MessageFilter& filter) {
  std::vector<int64_t> hashes;
  if (filter.sql != nullptr) return hashes;
  for (const std::string& tag : filter.tags) hashes.push_back(TagHash(tag));
  return hashes;
}

}  // namespace raftmq::store
