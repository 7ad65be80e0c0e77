// What the sender of a message that waits can name it by: the recall handle of a delayed message,
// the transaction id of a half message. Each carries the place where the message waits and
// checksums of the names that must come with it, so that one for another topic or message is
// refused.
//
// Recall handle: version 1, CRC-32C of the topic, due time, position; 21 bytes. Transaction id:
// version 1, CRC-32C of the topic, CRC-32C of the message id, position; 17 bytes. Both sealed
// (sealed_text.h).
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "store/settlement.h"

namespace raftmq::store {

std::string EncodeRecallHandle(std::string_view topic, const TimerRef& timer);

// Reason::kInvalidReceiptHandle for anything that EncodeRecallHandle did not make for this topic.
absl::StatusOr<TimerRef> ParseRecallHandle(std::string_view topic, std::string_view handle);

std::string EncodeTransactionId(std::string_view topic, std::string_view message_id,
                                const HalfRef& half);

// Reason::kInvalidTransactionId for anything that EncodeTransactionId did not make for this topic
// and message.
absl::StatusOr<HalfRef> ParseTransactionId(std::string_view topic, std::string_view message_id,
                                           std::string_view transaction_id);

// The same without the names: for operators.
absl::StatusOr<HalfRef> ParseTransactionId(std::string_view transaction_id);

}  // namespace raftmq::store
