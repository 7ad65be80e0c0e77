#include "base/grpc_callback_queue.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>

namespace raftmq {
namespace {

// A channel that leads nowhere; a call is what makes it hold the queue.
struct Holder {
  std::shared_ptr<grpc::Channel> channel = grpc::CreateChannel("", nullptr);
  grpc::GenericStub stub{channel};
  grpc::ClientContext context;
  grpc::Slice nothing{" "};
  grpc::ByteBuffer request{&nothing, 1};
  grpc::ByteBuffer response;

  Holder() {
    stub.UnaryCall(&context, "/raftmq/None", grpc::StubOptions(), &request, &response,
                   [](const grpc::Status&) {});
  }
};

}  // namespace

void KeepGrpcCallbackQueue() {
  // Never freed: that is the point.
  static Holder* const holder = new Holder();
  (void)holder;
}

}  // namespace raftmq
