#include "broker/grpc_bidi.h"
#include "broker/grpc_binding.h"
#include "broker/grpc_unary.h"
#include "raftmq/v1/replies.grpc.pb.h"

namespace raftmq::broker {
namespace {

namespace v1 = ::raftmq::v1;

class RepliesBinding final : public GrpcBinding {
 public:
  RepliesBinding(GrpcServerState* server, RepliesService* handlers) {
    methods_.push_back(std::make_unique<GrpcBidiMethod<v1::WatchRepliesRequest, v1::Reply>>(
        server,
        [this](auto* context, auto* stream, auto* queue, CqTag* tag) {
          service_.RequestWatchReplies(context, stream, queue, queue, tag);
        },
        [server, handlers](auto stream) {
          if (TurnAway(server, stream->context())) stream->Close(TurnedAway());
          return handlers->WatchReplies(std::move(stream));
        }));
    methods_.push_back(
        std::make_unique<GrpcUnaryMethod<v1::SendReplyRequest, v1::SendReplyResponse>>(
            server,
            [this](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
              service_.RequestSendReply(context, message, writer, queue, queue, tag);
            },
            [server, handlers](auto* call) {
              if (TurnAway(server, call->context())) return call->Fail(TurnedAway());
              handlers->SendReply(call);
            },
            [server](auto* call) { call->Fail(TooManyCalls(server->max_in_flight)); }));
  }

  grpc::Service* service() override { return &service_; }

 private:
  v1::Replies::AsyncService service_;
};

}  // namespace

std::unique_ptr<GrpcBinding> BindReplies(GrpcServerState* server, RepliesService* service) {
  return std::make_unique<RepliesBinding>(server, service);
}

}  // namespace raftmq::broker
