// apache.rocketmq.v2.MessagingService without gRPC: what the server calls, what the broker
// implements (handlers/).
//
// Methods are called on completion-queue threads and must not block; see call.h.
#pragma once

#include <memory>

#include "apache/rocketmq/v2/service.pb.h"
#include "broker/call.h"

namespace raftmq::broker {

namespace v2 = ::apache::rocketmq::v2;

using QueryRouteCall = Unary<v2::QueryRouteRequest, v2::QueryRouteResponse>;
using HeartbeatCall = Unary<v2::HeartbeatRequest, v2::HeartbeatResponse>;
using SendMessageCall = Unary<v2::SendMessageRequest, v2::SendMessageResponse>;
using QueryAssignmentCall = Unary<v2::QueryAssignmentRequest, v2::QueryAssignmentResponse>;
using ReceiveMessageCall = ServerStream<v2::ReceiveMessageRequest, v2::ReceiveMessageResponse>;
using AckMessageCall = Unary<v2::AckMessageRequest, v2::AckMessageResponse>;
using ForwardToDeadLetterCall =
    Unary<v2::ForwardMessageToDeadLetterQueueRequest, v2::ForwardMessageToDeadLetterQueueResponse>;
using PullMessageCall = ServerStream<v2::PullMessageRequest, v2::PullMessageResponse>;
using UpdateOffsetCall = Unary<v2::UpdateOffsetRequest, v2::UpdateOffsetResponse>;
using GetOffsetCall = Unary<v2::GetOffsetRequest, v2::GetOffsetResponse>;
using QueryOffsetCall = Unary<v2::QueryOffsetRequest, v2::QueryOffsetResponse>;
using EndTransactionCall = Unary<v2::EndTransactionRequest, v2::EndTransactionResponse>;
using TelemetryStream = BidiStream<v2::TelemetryCommand, v2::TelemetryCommand>;
using NotifyClientTerminationCall =
    Unary<v2::NotifyClientTerminationRequest, v2::NotifyClientTerminationResponse>;
using ChangeInvisibleCall =
    Unary<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>;
using RecallMessageCall = Unary<v2::RecallMessageRequest, v2::RecallMessageResponse>;
using SyncLiteSubscriptionCall =
    Unary<v2::SyncLiteSubscriptionRequest, v2::SyncLiteSubscriptionResponse>;

class MessagingService {
 public:
  virtual ~MessagingService() = default;

  virtual void QueryRoute(QueryRouteCall* call) = 0;
  virtual void Heartbeat(HeartbeatCall* call) = 0;
  virtual void SendMessage(SendMessageCall* call) = 0;
  virtual void QueryAssignment(QueryAssignmentCall* call) = 0;
  virtual void ReceiveMessage(ReceiveMessageCall* call) = 0;
  virtual void AckMessage(AckMessageCall* call) = 0;
  virtual void ForwardMessageToDeadLetterQueue(ForwardToDeadLetterCall* call) = 0;
  virtual void PullMessage(PullMessageCall* call) = 0;
  virtual void UpdateOffset(UpdateOffsetCall* call) = 0;
  virtual void GetOffset(GetOffsetCall* call) = 0;
  virtual void QueryOffset(QueryOffsetCall* call) = 0;
  virtual void EndTransaction(EndTransactionCall* call) = 0;
  // A client opened a Telemetry stream. The listener lives until its OnEnd returns.
  virtual std::shared_ptr<TelemetryStream::Listener> Telemetry(
      std::shared_ptr<TelemetryStream> stream) = 0;
  virtual void NotifyClientTermination(NotifyClientTerminationCall* call) = 0;
  virtual void ChangeInvisibleDuration(ChangeInvisibleCall* call) = 0;
  virtual void RecallMessage(RecallMessageCall* call) = 0;
  virtual void SyncLiteSubscription(SyncLiteSubscriptionCall* call) = 0;
};

}  // namespace raftmq::broker
