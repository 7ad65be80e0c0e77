// gRPC's standard health service, on the server's own completion queue. The one that comes with
// gRPC is made with the callback API, whose completion queue has threads of its own; gRPC shares
// connections out among all completion queues of a server, so that half of the clients would be
// read by those threads and each of their calls handed from thread to thread.
#include <mutex>
#include <set>
#include <string>

#include "base/strings.h"
#include "broker/grpc_binding.h"
#include "broker/grpc_server_stream.h"
#include "broker/grpc_unary.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace raftmq::broker {
namespace {

namespace health = ::grpc::health::v1;
using Request = health::HealthCheckRequest;
using Response = health::HealthCheckResponse;

class OwnHealth final : public HealthBinding {
 public:
  explicit OwnHealth(GrpcServerState* server) : server_(server) {
    const auto refuse = [this](auto* call) { call->Fail(TooManyCalls(server_->max_in_flight)); };
    methods_.push_back(std::make_unique<GrpcUnaryMethod<Request, Response>>(
        server_,
        [this](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
          service_.RequestCheck(context, message, writer, queue, queue, tag);
        },
        [this](auto* call) { Check(call); }, refuse));
    methods_.push_back(std::make_unique<GrpcServerStreamMethod<Request, Response>>(
        server_,
        [this](auto* context, auto* message, auto* writer, auto* queue, CqTag* tag) {
          service_.RequestWatch(context, message, writer, queue, queue, tag);
        },
        [this](auto* call) { Watch(call); }, refuse));
  }

  grpc::Service* service() override { return &service_; }

  void SetHealthy(bool healthy) override {
    std::lock_guard lock(mutex_);
    if (healthy_ == healthy) return;
    healthy_ = healthy;
    for (WatchCall* watcher : watchers_) watcher->Write(Status());
  }

 private:
  using WatchCall = ServerStream<Request, Response>;

  static bool IsKnown(const std::string& name) { return name.empty(); }

  // Under the lock.
  Response Status() const {
    Response response;
    response.set_status(healthy_ ? Response::SERVING : Response::NOT_SERVING);
    return response;
  }

  void Check(Unary<Request, Response>* call) {
    const std::string& name = call->request().service();
    if (!IsKnown(name)) {
      return call->Fail(absl::NotFoundError(StrCat("no health is kept for service ", name,
                                                   "; ask for the server with an empty one")));
    }
    {
      std::lock_guard lock(mutex_);
      *call->response() = Status();
    }
    call->Finish();
  }

  // Told of changes until the client goes, or the server stops.
  void Watch(WatchCall* call) {
    if (!IsKnown(call->request().service())) {
      Response unknown;
      unknown.set_status(Response::SERVICE_UNKNOWN);
      call->Write(std::move(unknown));
    } else {
      std::lock_guard lock(mutex_);
      watchers_.insert(call);
      call->Write(Status());
    }
    call->OnCancel([this, call] {
      {
        std::lock_guard lock(mutex_);
        watchers_.erase(call);
      }
      call->Fail(absl::CancelledError("the client has gone"));
    });
  }

  GrpcServerState* const server_;
  health::Health::AsyncService service_;
  std::mutex mutex_;
  bool healthy_ = false;
  std::set<WatchCall*> watchers_;
};

}  // namespace

std::unique_ptr<HealthBinding> BindHealth(GrpcServerState* server) {
  return std::make_unique<OwnHealth>(server);
}

}  // namespace raftmq::broker
