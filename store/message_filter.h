// Whether a message passes a receiver's filter (MessageFilter, store/model.h).
//
// Pure functions; any thread.
#pragma once

#include "store/message_properties.h"
#include "store/model.h"

namespace raftmq::store {

bool PassesFilter(const MessageFilter& filter, const PropertiesView& properties);

}  // namespace raftmq::store
