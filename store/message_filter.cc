#include "store/message_filter.h"

#include <algorithm>

#include "store/sql_filter.h"

namespace raftmq::store {

bool PassesFilter(const MessageFilter& filter, const PropertiesView& properties) {
  if (filter.sql != nullptr) return filter.sql->Matches(properties);
  if (filter.tags.empty()) return true;
  return std::find(filter.tags.begin(), filter.tags.end(), properties.Get(property::kTags)) !=
         filter.tags.end();
}

bool IsWantedBy(std::string_view group, const MessageFilter& filter,
                const RecordHeaderView& record) {
  if (!record.for_group.empty() && record.for_group != group) return false;
  return PassesFilter(filter, record.properties);
}

}  // namespace raftmq::store
