// Reason: why a request was refused, finer than absl's codes, so that each protocol can map it to
// its own numbers in one function. Rides in the absl::Status as a payload.
//
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace raftmq::store {

enum class Reason : int {
  kTopicNotFound = 1,
  kGroupNotFound,
  kQueueNotFound,
  kMessageNotFound,
  kOffsetNotFound,
  kIllegalTopic,
  kIllegalGroup,
  kIllegalMessageId,
  kIllegalTag,
  kIllegalKey,
  kIllegalMessageGroup,
  kIllegalPropertyKey,
  kIllegalFilter,
  kIllegalInvisibleTime,
  kIllegalDeliveryTime,
  kIllegalPollingTime,
  kIllegalOffset,
  kBodyTooLarge,
  kBodyEmpty,
  kPropertiesTooLarge,
  kTypeConflict,      // the message's type is not the topic's
  kMessageCorrupted,  // no messages, mixed topics
  kInvalidReceiptHandle,
  kInvalidTransactionId,
  kForbidden,  // permission of topic or group
  kUnrecognizedClientType,
  kClientIdRequired,
  kBusy,                 // a bound is reached or there is no leader: try again later
  kNotLeader,            // certainly not logged here; ask the leader
  kUnknownOutcome,       // logged, but leadership was lost before it was known committed
  kAckTimeout,           // logged, the asked-for ack level was not reached in time
  kAckLevelUnavailable,  // not logged: the group cannot reach the asked-for ack level now
  kDiskFull,
  kUnsupported,
  kIllegalLiteTopic,       // a lite topic's name
  kLiteTopicQuota,         // there are as many lite topics as may be
  kLiteSubscriptionQuota,  // somebody subscribes to more of them than it may
  kStopped,                // the replica stopped because of an error of its own
};

// `text` names the object, what was expected and what was found.
absl::Status Refuse(Reason reason, std::string_view text);

// What Refuse put there; for other statuses what their code says of the outcome (Unknown →
// kUnknownOutcome, FailedPrecondition → kNotLeader, ResourceExhausted → kBusy, Unavailable →
// kStopped), else nothing.
std::optional<Reason> ReasonOf(const absl::Status& status);

// "TOPIC_NOT_FOUND", for logs and --json.
std::string_view ReasonName(Reason reason);

}  // namespace raftmq::store
