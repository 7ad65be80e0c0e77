// Whether a message passes a receiver's filter (MessageFilter, store/model.h).
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "store/message_properties.h"
#include "store/model.h"

namespace raftmq::store {

bool PassesFilter(const MessageFilter& filter, const PropertiesView& properties);

// TagHash of each tag that passes; empty: tags do not tell what passes.
std::vector<int64_t> PassingTagHashes(const MessageFilter& filter);

}  // namespace raftmq::store
