#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "broker/grpc_bidi.h"
#include "broker/grpc_binding.h"
#include "broker/grpc_server_stream.h"
#include "broker/grpc_unary.h"
#include "broker/status_mapping.h"

namespace raftmq::broker {
namespace {

class MessagingBinding final : public GrpcBinding {
 public:
  MessagingBinding(GrpcServerState* server, MessagingService* service)
      : server_(server), handlers_(service) {
    using A = v2::MessagingService::AsyncService;
    using S = MessagingService;
    Unary(&A::RequestQueryRoute, &S::QueryRoute);
    Unary(&A::RequestHeartbeat, &S::Heartbeat);
    Unary(&A::RequestSendMessage, &S::SendMessage);
    Unary(&A::RequestQueryAssignment, &S::QueryAssignment);
    Stream(&A::RequestReceiveMessage, &S::ReceiveMessage);
    Unary(&A::RequestAckMessage, &S::AckMessage);
    Unary(&A::RequestForwardMessageToDeadLetterQueue, &S::ForwardMessageToDeadLetterQueue);
    Stream(&A::RequestPullMessage, &S::PullMessage);
    Unary(&A::RequestUpdateOffset, &S::UpdateOffset);
    Unary(&A::RequestGetOffset, &S::GetOffset);
    Unary(&A::RequestQueryOffset, &S::QueryOffset);
    Unary(&A::RequestEndTransaction, &S::EndTransaction);
    Unary(&A::RequestNotifyClientTermination, &S::NotifyClientTermination);
    Unary(&A::RequestChangeInvisibleDuration, &S::ChangeInvisibleDuration);
    Unary(&A::RequestRecallMessage, &S::RecallMessage);
    Unary(&A::RequestSyncLiteSubscription, &S::SyncLiteSubscription);
    BindTelemetry();
  }

  grpc::Service* service() override { return &service_; }

 private:
  // The generated RequestX belong to base classes of AsyncService, one each.
  template <typename Base, typename Request, typename Response>
  void Unary(void (Base::*request)(grpc::ServerContext*, Request*,
                                   grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
             void (MessagingService::*handler)(broker::Unary<Request, Response>*)) {
    methods_.push_back(std::make_unique<GrpcUnaryMethod<Request, Response>>(
        server_,
        [this, request](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
          (static_cast<Base&>(service_).*request)(context, message, writer, queue, queue, tag);
        },
        [this, handler](auto* call) {
          if (TurnAway(server_, call->context())) return call->Fail(TurnedAway());
          (handlers_->*handler)(call);
        },
        [this](auto* call) { FinishWithError(call, TooManyCalls(server_->max_in_flight)); }));
  }

  template <typename Base, typename Request, typename Response>
  void Stream(void (Base::*request)(grpc::ServerContext*, Request*,
                                    grpc::ServerAsyncWriter<Response>*, grpc::CompletionQueue*,
                                    grpc::ServerCompletionQueue*, void*),
              void (MessagingService::*handler)(ServerStream<Request, Response>*)) {
    methods_.push_back(std::make_unique<GrpcServerStreamMethod<Request, Response>>(
        server_,
        [this, request](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
          (static_cast<Base&>(service_).*request)(context, message, writer, queue, queue, tag);
        },
        [this, handler](auto* call) {
          if (TurnAway(server_, call->context())) return call->Fail(TurnedAway());
          (handlers_->*handler)(call);
        },
        [this](auto* call) { FinishWithError(call, TooManyCalls(server_->max_in_flight)); }));
  }

  void BindTelemetry() {
    methods_.push_back(std::make_unique<GrpcBidiMethod<v2::TelemetryCommand, v2::TelemetryCommand>>(
        server_,
        [this](auto* context, auto* stream, auto* queue, CqTag* tag) {
          service_.RequestTelemetry(context, stream, queue, queue, tag);
        },
        [this](auto stream) {
          if (TurnAway(server_, stream->context())) stream->Close(TurnedAway());
          return handlers_->Telemetry(std::move(stream));
        }));
  }

  GrpcServerState* const server_;
  MessagingService* const handlers_;
  v2::MessagingService::AsyncService service_;
};

}  // namespace

std::unique_ptr<GrpcBinding> BindMessaging(GrpcServerState* server, MessagingService* service) {
  return std::make_unique<MessagingBinding>(server, service);
}

}  // namespace raftmq::broker
