#include "store/reason.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "base/strings.h"

namespace raftmq::store {
namespace {

constexpr char kPayloadUrl[] = "raftmq/reason";
constexpr int kLastReason = static_cast<int>(Reason::kStopped);

absl::StatusCode CodeOf(Reason reason) {
  switch (reason) {
    case Reason::kTopicNotFound:
    case Reason::kGroupNotFound:
    case Reason::kQueueNotFound:
    case Reason::kMessageNotFound:
    case Reason::kOffsetNotFound:
      return absl::StatusCode::kNotFound;
    case Reason::kForbidden:
      return absl::StatusCode::kPermissionDenied;
    case Reason::kBusy:
    case Reason::kDiskFull:
    case Reason::kLiteTopicQuota:
    case Reason::kLiteSubscriptionQuota:
      return absl::StatusCode::kResourceExhausted;
    case Reason::kNotLeader:
      return absl::StatusCode::kFailedPrecondition;
    case Reason::kUnknownOutcome:
      return absl::StatusCode::kUnknown;
    case Reason::kAckTimeout:
      return absl::StatusCode::kDeadlineExceeded;
    case Reason::kAckLevelUnavailable:
      return absl::StatusCode::kFailedPrecondition;
    case Reason::kUnsupported:
      return absl::StatusCode::kUnimplemented;
    case Reason::kStopped:
      return absl::StatusCode::kUnavailable;
    case Reason::kIllegalTopic:
    case Reason::kIllegalGroup:
    case Reason::kIllegalMessageId:
    case Reason::kIllegalTag:
    case Reason::kIllegalKey:
    case Reason::kIllegalMessageGroup:
    case Reason::kIllegalPropertyKey:
    case Reason::kIllegalFilter:
    case Reason::kIllegalInvisibleTime:
    case Reason::kIllegalDeliveryTime:
    case Reason::kIllegalPollingTime:
    case Reason::kIllegalOffset:
    case Reason::kBodyTooLarge:
    case Reason::kBodyEmpty:
    case Reason::kPropertiesTooLarge:
    case Reason::kTypeConflict:
    case Reason::kMessageCorrupted:
    case Reason::kInvalidReceiptHandle:
    case Reason::kInvalidTransactionId:
    case Reason::kUnrecognizedClientType:
    case Reason::kClientIdRequired:
    case Reason::kIllegalLiteTopic:
      return absl::StatusCode::kInvalidArgument;
  }
  return absl::StatusCode::kInternal;
}

}  // namespace

absl::Status Refuse(Reason reason, std::string_view text) {
  absl::Status status(CodeOf(reason), ToAbsl(text));
  status.SetPayload(kPayloadUrl, absl::Cord(StrCat(static_cast<int>(reason))));
  return status;
}

std::optional<Reason> ReasonOf(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  if (absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl)) {
    int number = 0;
    if (absl::SimpleAtoi(std::string(*payload), &number) && number >= 1 && number <= kLastReason) {
      return static_cast<Reason>(number);
    }
  }
  switch (status.code()) {
    case absl::StatusCode::kUnknown:
      return Reason::kUnknownOutcome;
    case absl::StatusCode::kFailedPrecondition:
      return Reason::kNotLeader;
    case absl::StatusCode::kResourceExhausted:
      return Reason::kBusy;
    case absl::StatusCode::kUnavailable:
      return Reason::kStopped;
    default:
      return std::nullopt;
  }
}

std::string_view ReasonName(Reason reason) {
  switch (reason) {
#define RAFTMQ_REASON(symbol, name) \
  case Reason::symbol:              \
    return name
    RAFTMQ_REASON(kTopicNotFound, "TOPIC_NOT_FOUND");
    RAFTMQ_REASON(kGroupNotFound, "GROUP_NOT_FOUND");
    RAFTMQ_REASON(kQueueNotFound, "QUEUE_NOT_FOUND");
    RAFTMQ_REASON(kMessageNotFound, "MESSAGE_NOT_FOUND");
    RAFTMQ_REASON(kOffsetNotFound, "OFFSET_NOT_FOUND");
    RAFTMQ_REASON(kIllegalTopic, "ILLEGAL_TOPIC");
    RAFTMQ_REASON(kIllegalGroup, "ILLEGAL_GROUP");
    RAFTMQ_REASON(kIllegalMessageId, "ILLEGAL_MESSAGE_ID");
    RAFTMQ_REASON(kIllegalTag, "ILLEGAL_TAG");
    RAFTMQ_REASON(kIllegalKey, "ILLEGAL_KEY");
    RAFTMQ_REASON(kIllegalMessageGroup, "ILLEGAL_MESSAGE_GROUP");
    RAFTMQ_REASON(kIllegalPropertyKey, "ILLEGAL_PROPERTY_KEY");
    RAFTMQ_REASON(kIllegalFilter, "ILLEGAL_FILTER");
    RAFTMQ_REASON(kIllegalInvisibleTime, "ILLEGAL_INVISIBLE_TIME");
    RAFTMQ_REASON(kIllegalDeliveryTime, "ILLEGAL_DELIVERY_TIME");
    RAFTMQ_REASON(kIllegalPollingTime, "ILLEGAL_POLLING_TIME");
    RAFTMQ_REASON(kIllegalOffset, "ILLEGAL_OFFSET");
    RAFTMQ_REASON(kBodyTooLarge, "BODY_TOO_LARGE");
    RAFTMQ_REASON(kBodyEmpty, "BODY_EMPTY");
    RAFTMQ_REASON(kPropertiesTooLarge, "PROPERTIES_TOO_LARGE");
    RAFTMQ_REASON(kTypeConflict, "TYPE_CONFLICT");
    RAFTMQ_REASON(kMessageCorrupted, "MESSAGE_CORRUPTED");
    RAFTMQ_REASON(kInvalidReceiptHandle, "INVALID_RECEIPT_HANDLE");
    RAFTMQ_REASON(kInvalidTransactionId, "INVALID_TRANSACTION_ID");
    RAFTMQ_REASON(kForbidden, "FORBIDDEN");
    RAFTMQ_REASON(kUnrecognizedClientType, "UNRECOGNIZED_CLIENT_TYPE");
    RAFTMQ_REASON(kClientIdRequired, "CLIENT_ID_REQUIRED");
    RAFTMQ_REASON(kBusy, "BUSY");
    RAFTMQ_REASON(kNotLeader, "NOT_LEADER");
    RAFTMQ_REASON(kUnknownOutcome, "UNKNOWN_OUTCOME");
    RAFTMQ_REASON(kAckTimeout, "ACK_TIMEOUT");
    RAFTMQ_REASON(kAckLevelUnavailable, "ACK_LEVEL_UNAVAILABLE");
    RAFTMQ_REASON(kDiskFull, "DISK_FULL");
    RAFTMQ_REASON(kUnsupported, "UNSUPPORTED");
    RAFTMQ_REASON(kIllegalLiteTopic, "ILLEGAL_LITE_TOPIC");
    RAFTMQ_REASON(kLiteTopicQuota, "LITE_TOPIC_QUOTA");
    RAFTMQ_REASON(kLiteSubscriptionQuota, "LITE_SUBSCRIPTION_QUOTA");
    RAFTMQ_REASON(kStopped, "STOPPED");
#undef RAFTMQ_REASON
  }
  return "UNNAMED_REASON";
}

}  // namespace raftmq::store
