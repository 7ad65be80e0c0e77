#include "broker/grpc_binding.h"
#include "broker/grpc_server_stream.h"
#include "broker/grpc_unary.h"
#include "raftmq/v1/consumers.grpc.pb.h"

namespace raftmq::broker {
namespace {

class ConsumersBinding final : public GrpcBinding {
 public:
  ConsumersBinding(GrpcServerState* server, ConsumersService* service)
      : server_(server), handlers_(service) {
    using A = ::raftmq::v1::Consumers::AsyncService;
    Unary(&A::RequestLockQueues, &ConsumersService::LockQueues);
    Unary(&A::RequestSendMessageBack, &ConsumersService::SendMessageBack);
    methods_.push_back(
        std::make_unique<
            GrpcServerStreamMethod<::raftmq::v1::WatchGroupRequest, ::raftmq::v1::GroupMembers>>(
            server_,
            [this](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
              service_.RequestWatchGroup(context, message, writer, queue, queue, tag);
            },
            [this](auto* call) {
              if (TurnAway(server_, call->context())) return call->Fail(TurnedAway());
              handlers_->WatchGroup(call);
            },
            [this](auto* call) { call->Fail(TooManyCalls(server_->max_in_flight)); }));
  }

  grpc::Service* service() override { return &service_; }

 private:
  template <typename Base, typename Request, typename Response>
  void Unary(void (Base::*request)(grpc::ServerContext*, Request*,
                                   grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
             void (ConsumersService::*handler)(broker::Unary<Request, Response>*)) {
    methods_.push_back(std::make_unique<GrpcUnaryMethod<Request, Response>>(
        server_,
        [this, request](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
          (static_cast<Base&>(service_).*request)(context, message, writer, queue, queue, tag);
        },
        [this, handler](auto* call) {
          if (TurnAway(server_, call->context())) return call->Fail(TurnedAway());
          (handlers_->*handler)(call);
        },
        [this](auto* call) { call->Fail(TooManyCalls(server_->max_in_flight)); }));
  }

  GrpcServerState* const server_;
  ConsumersService* const handlers_;
  ::raftmq::v1::Consumers::AsyncService service_;
};

}  // namespace

std::unique_ptr<GrpcBinding> BindConsumers(GrpcServerState* server, ConsumersService* service) {
  return std::make_unique<ConsumersBinding>(server, service);
}

}  // namespace raftmq::broker
