// Whether a message passes a receiver's filter (MessageFilter, store/model.h).
//
// Pure functions; any thread.
#pragma once

#include <string_view>

#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/model.h"

namespace raftmq::store {

bool PassesFilter(const MessageFilter& filter, const PropertiesView& properties);

// The same, and that it is for this group: for it alone, or for all.
bool IsWantedBy(std::string_view group, const MessageFilter& filter,
                const RecordHeaderView& record);

}  // namespace raftmq::store
