// ReadMessage: a message by its place in a queue, from the log or, if that let go of it while it
// was leased, from what was kept. May read the disk; any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/store_context.h"

namespace raftmq::store {

// Reason::kMessageNotFound: it expired, or its topic is gone. DataLoss: RecordReader::Read.
absl::StatusOr<std::string> ReadMessage(const StoreContext& context, const std::string& topic,
                                        QueueId queue, QueueOffset offset);

}  // namespace raftmq::store
