#include "broker/status_mapping.h"

#include <string>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "broker/proto_time.h"

namespace raftmq::broker {

using store::Reason;

v2::Code CodeOf(Reason reason) {
  switch (reason) {
    case Reason::kTopicNotFound:
      return v2::TOPIC_NOT_FOUND;
    case Reason::kGroupNotFound:
      return v2::CONSUMER_GROUP_NOT_FOUND;
    case Reason::kQueueNotFound:
      return v2::NOT_FOUND;
    case Reason::kMessageNotFound:
      return v2::MESSAGE_NOT_FOUND;
    case Reason::kOffsetNotFound:
      return v2::OFFSET_NOT_FOUND;
    case Reason::kIllegalTopic:
      return v2::ILLEGAL_TOPIC;
    case Reason::kIllegalGroup:
      return v2::ILLEGAL_CONSUMER_GROUP;
    case Reason::kIllegalMessageId:
      return v2::ILLEGAL_MESSAGE_ID;
    case Reason::kIllegalTag:
      return v2::ILLEGAL_MESSAGE_TAG;
    case Reason::kIllegalKey:
      return v2::ILLEGAL_MESSAGE_KEY;
    case Reason::kIllegalMessageGroup:
      return v2::ILLEGAL_MESSAGE_GROUP;
    case Reason::kIllegalPropertyKey:
      return v2::ILLEGAL_MESSAGE_PROPERTY_KEY;
    case Reason::kIllegalFilter:
      return v2::ILLEGAL_FILTER_EXPRESSION;
    case Reason::kIllegalInvisibleTime:
      return v2::ILLEGAL_INVISIBLE_TIME;
    case Reason::kIllegalDeliveryTime:
      return v2::ILLEGAL_DELIVERY_TIME;
    case Reason::kIllegalPollingTime:
      return v2::ILLEGAL_POLLING_TIME;
    case Reason::kIllegalOffset:
      return v2::ILLEGAL_OFFSET;
    case Reason::kBodyTooLarge:
      return v2::MESSAGE_BODY_TOO_LARGE;
    case Reason::kBodyEmpty:
      return v2::MESSAGE_BODY_EMPTY;
    case Reason::kPropertiesTooLarge:
      return v2::MESSAGE_PROPERTIES_TOO_LARGE;
    case Reason::kTypeConflict:
      return v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE;
    case Reason::kMessageCorrupted:
      return v2::MESSAGE_CORRUPTED;
    case Reason::kInvalidReceiptHandle:
      return v2::INVALID_RECEIPT_HANDLE;
    case Reason::kInvalidTransactionId:
      return v2::INVALID_TRANSACTION_ID;
    case Reason::kForbidden:
      return v2::FORBIDDEN;
    case Reason::kUnrecognizedClientType:
      return v2::UNRECOGNIZED_CLIENT_TYPE;
    case Reason::kClientIdRequired:
      return v2::CLIENT_ID_REQUIRED;
    // Clients wait before they try again on this code only.
    case Reason::kBusy:
    case Reason::kNotLeader:
    case Reason::kDiskFull:
      return v2::TOO_MANY_REQUESTS;
    case Reason::kUnknownOutcome:
      return v2::PROXY_TIMEOUT;
    case Reason::kAckTimeout:
      return v2::SLAVE_PERSISTENCE_TIMEOUT;
    case Reason::kAckLevelUnavailable:
      return v2::HA_NOT_AVAILABLE;
    case Reason::kUnsupported:
      return v2::UNSUPPORTED;
    case Reason::kIllegalLiteTopic:
      return v2::ILLEGAL_LITE_TOPIC;
    case Reason::kLiteTopicQuota:
      return v2::LITE_TOPIC_QUOTA_EXCEEDED;
    case Reason::kLiteSubscriptionQuota:
      return v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED;
    case Reason::kStopped:
      return v2::INTERNAL_SERVER_ERROR;
  }
  return v2::INTERNAL_SERVER_ERROR;
}

namespace {

v2::Code CodeWithoutReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return v2::OK;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return v2::BAD_REQUEST;
    case absl::StatusCode::kNotFound:
      return v2::NOT_FOUND;
    case absl::StatusCode::kPermissionDenied:
      return v2::FORBIDDEN;
    case absl::StatusCode::kUnauthenticated:
      return v2::UNAUTHORIZED;
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnknown:
      return v2::PROXY_TIMEOUT;
    case absl::StatusCode::kResourceExhausted:
      return v2::TOO_MANY_REQUESTS;
    case absl::StatusCode::kUnimplemented:
      return v2::NOT_IMPLEMENTED;
    default:
      return v2::INTERNAL_SERVER_ERROR;
  }
}

}  // namespace

v2::Status ToV2Status(const absl::Status& status) {
  v2::Status result;
  if (status.ok()) {
    SetOk(&result);
    return result;
  }
  const std::optional<Reason> reason = store::ReasonOf(status);
  result.set_code(reason.has_value() ? CodeOf(*reason) : CodeWithoutReason(status.code()));
  result.set_message(std::string(Message(status)));
  return result;
}

void FinishWithError(SendMessageCall* call, const absl::Status& status) {
  const v2::Status refused = ToV2Status(status);
  v2::SendMessageResponse* response = call->response();
  response->Clear();
  *response->mutable_status() = refused;
  for (const v2::Message& message : call->request().messages()) {
    v2::SendResultEntry* entry = response->add_entries();
    *entry->mutable_status() = refused;
    entry->set_message_id(message.system_properties().message_id());
  }
  call->Finish();
}

void FinishWithError(AckMessageCall* call, const absl::Status& status) {
  const v2::Status refused = ToV2Status(status);
  v2::AckMessageResponse* response = call->response();
  response->Clear();
  *response->mutable_status() = refused;
  for (const v2::AckMessageEntry& asked : call->request().entries()) {
    v2::AckMessageResultEntry* entry = response->add_entries();
    *entry->mutable_status() = refused;
    entry->set_message_id(asked.message_id());
    entry->set_receipt_handle(asked.receipt_handle());
  }
  call->Finish();
}

void FinishWithError(ChangeInvisibleCall* call, const absl::Status& status) {
  v2::ChangeInvisibleDurationResponse* response = call->response();
  *response->mutable_status() = ToV2Status(status);
  // Several clients go on with the answer's handle even after an error.
  response->set_receipt_handle(call->request().receipt_handle());
  call->Finish();
}

void FinishWithError(ReceiveMessageCall* call, const absl::Status& status) {
  v2::ReceiveMessageResponse first;
  *first.mutable_status() = ToV2Status(status);
  call->Write(std::move(first));
  v2::ReceiveMessageResponse last;
  SetTimestamp(SystemClock()->WallMillis(), last.mutable_delivery_timestamp());
  call->Write(std::move(last));
  call->Finish();
}

void FinishWithError(PullMessageCall* call, const absl::Status& status) {
  v2::PullMessageResponse response;
  *response.mutable_status() = ToV2Status(status);
  call->Write(std::move(response));
  call->Finish();
}

}  // namespace raftmq::broker
