#include "broker/status_mapping.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "broker/internal_call.h"

namespace raftmq::broker {
namespace {

using store::Reason;

// Each reason, so that a new one without a row is seen.
const std::vector<std::pair<Reason, v2::Code>> kTable = {
    {Reason::kTopicNotFound, v2::TOPIC_NOT_FOUND},
    {Reason::kGroupNotFound, v2::CONSUMER_GROUP_NOT_FOUND},
    {Reason::kQueueNotFound, v2::NOT_FOUND},
    {Reason::kMessageNotFound, v2::MESSAGE_NOT_FOUND},
    {Reason::kOffsetNotFound, v2::OFFSET_NOT_FOUND},
    {Reason::kIllegalTopic, v2::ILLEGAL_TOPIC},
    {Reason::kIllegalGroup, v2::ILLEGAL_CONSUMER_GROUP},
    {Reason::kIllegalMessageId, v2::ILLEGAL_MESSAGE_ID},
    {Reason::kIllegalTag, v2::ILLEGAL_MESSAGE_TAG},
    {Reason::kIllegalKey, v2::ILLEGAL_MESSAGE_KEY},
    {Reason::kIllegalMessageGroup, v2::ILLEGAL_MESSAGE_GROUP},
    {Reason::kIllegalPropertyKey, v2::ILLEGAL_MESSAGE_PROPERTY_KEY},
    {Reason::kIllegalFilter, v2::ILLEGAL_FILTER_EXPRESSION},
    {Reason::kIllegalInvisibleTime, v2::ILLEGAL_INVISIBLE_TIME},
    {Reason::kIllegalDeliveryTime, v2::ILLEGAL_DELIVERY_TIME},
    {Reason::kIllegalPollingTime, v2::ILLEGAL_POLLING_TIME},
    {Reason::kIllegalOffset, v2::ILLEGAL_OFFSET},
    {Reason::kBodyTooLarge, v2::MESSAGE_BODY_TOO_LARGE},
    {Reason::kBodyEmpty, v2::MESSAGE_BODY_EMPTY},
    {Reason::kPropertiesTooLarge, v2::MESSAGE_PROPERTIES_TOO_LARGE},
    {Reason::kTypeConflict, v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE},
    {Reason::kMessageCorrupted, v2::MESSAGE_CORRUPTED},
    {Reason::kInvalidReceiptHandle, v2::INVALID_RECEIPT_HANDLE},
    {Reason::kInvalidTransactionId, v2::INVALID_TRANSACTION_ID},
    {Reason::kForbidden, v2::FORBIDDEN},
    {Reason::kUnrecognizedClientType, v2::UNRECOGNIZED_CLIENT_TYPE},
    {Reason::kClientIdRequired, v2::CLIENT_ID_REQUIRED},
    {Reason::kBusy, v2::TOO_MANY_REQUESTS},
    {Reason::kNotLeader, v2::TOO_MANY_REQUESTS},
    {Reason::kUnknownOutcome, v2::PROXY_TIMEOUT},
    {Reason::kAckTimeout, v2::SLAVE_PERSISTENCE_TIMEOUT},
    {Reason::kAckLevelUnavailable, v2::HA_NOT_AVAILABLE},
    {Reason::kDiskFull, v2::TOO_MANY_REQUESTS},
    {Reason::kUnsupported, v2::UNSUPPORTED},
    {Reason::kIllegalLiteTopic, v2::ILLEGAL_LITE_TOPIC},
    {Reason::kLiteTopicQuota, v2::LITE_TOPIC_QUOTA_EXCEEDED},
    {Reason::kLiteSubscriptionQuota, v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED},
    {Reason::kStopped, v2::INTERNAL_SERVER_ERROR},
};

TEST(StatusMapping, EveryReasonHasACode) {
  EXPECT_EQ(kTable.size(), static_cast<size_t>(Reason::kStopped)) << "a reason has no row here";
  for (const auto& [reason, code] : kTable) {
    EXPECT_EQ(ToV2Status(store::Refuse(reason, "why")).code(), code) << store::ReasonName(reason);
    EXPECT_EQ(ToV2Status(store::Refuse(reason, "why")).message(), "why");
  }
}

TEST(StatusMapping, AStatusWithoutAReasonIsMappedByItsCode) {
  EXPECT_EQ(ToV2Status(absl::OkStatus()).code(), v2::OK);
  EXPECT_EQ(ToV2Status(absl::InvalidArgumentError("")).code(), v2::BAD_REQUEST);
  EXPECT_EQ(ToV2Status(absl::UnimplementedError("")).code(), v2::NOT_IMPLEMENTED);
  EXPECT_EQ(ToV2Status(absl::UnknownError("")).code(), v2::PROXY_TIMEOUT);
  EXPECT_EQ(ToV2Status(absl::ResourceExhaustedError("")).code(), v2::TOO_MANY_REQUESTS);
  EXPECT_EQ(ToV2Status(absl::DataLossError("")).code(), v2::INTERNAL_SERVER_ERROR);
}

TEST(FinishWithError, ARefusedSendSaysSoForEachMessage) {
  v2::SendMessageRequest request;
  for (const char* id : {"a", "b"}) {
    request.add_messages()->mutable_system_properties()->set_message_id(id);
  }
  bool ended = false;
  SendMessageCall* call = InternalUnary<v2::SendMessageRequest, v2::SendMessageResponse>::Make(
      CallContext(), request,
      [&](const absl::Status& status, const v2::SendMessageResponse& response) {
        ended = true;
        EXPECT_TRUE(status.ok());
        EXPECT_EQ(response.status().code(), v2::FORBIDDEN);
        ASSERT_EQ(response.entries_size(), 2);
        EXPECT_EQ(response.entries(1).message_id(), "b");
        EXPECT_EQ(response.entries(1).status().code(), v2::FORBIDDEN);
      });
  FinishWithError(call, store::Refuse(Reason::kForbidden, "no"));
  EXPECT_TRUE(ended);
}

TEST(FinishWithError, ARefusedChangeReturnsTheHandleItWasGiven) {
  v2::ChangeInvisibleDurationRequest request;
  request.set_receipt_handle("handle");
  std::string returned;
  ChangeInvisibleCall* call =
      InternalUnary<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>::Make(
          CallContext(), request,
          [&](const absl::Status&, const v2::ChangeInvisibleDurationResponse& response) {
            returned = response.receipt_handle();
          });
  FinishWithError(call, store::Refuse(Reason::kBusy, "later"));
  EXPECT_EQ(returned, "handle");
}

}  // namespace
}  // namespace raftmq::broker
