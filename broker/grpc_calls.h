// The calls of the gRPC server, what lies behind call.h: what they share. Includes gRPC, as do
// grpc_unary.h, grpc_server_stream.h and grpc_bidi.h; only the grpc_*.cc files include them.
//
// A method keeps a number of calls requested from gRPC; when one arrives it requests the next and
// gives the call to its handler. Unary calls and their memory are used again.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "broker/call.h"
#include "broker/port_listener.h"

namespace raftmq::broker {

// What all calls of a server share. Outlives them.
struct GrpcServerState {
  Clock* clock = nullptr;
  grpc::ServerCompletionQueue* queue = nullptr;
  int max_in_flight = 0;
  std::atomic<int> in_flight{0};
  std::atomic<bool> stopping{false};
  std::atomic<bool> refusing{false};  // clients are to go elsewhere
  PortListener* listener = nullptr;
  absl::Mutex idle_mutex;  // for whoever waits until nothing is in flight

  // False: the bound is reached; nothing was counted.
  bool Enter() {
    if (in_flight.fetch_add(1, std::memory_order_relaxed) < max_in_flight) return true;
    Leave();
    return false;
  }
  void Leave() {
    if (in_flight.fetch_sub(1, std::memory_order_acq_rel) == 1 && stopping.load()) {
      absl::MutexLock wake(&idle_mutex);  // its release makes waiters look again
    }
  }
};

// Reads the headers this broker knows, the deadline and the peer.
void FillCallContext(const grpc::ServerContext& grpc, Clock* clock, CallContext* context);

// Whether a client's call is turned away because of `refusing`; its connection is closed then.
// Calls that other members forwarded are not.
bool TurnAway(GrpcServerState* server, const CallContext& context);
absl::Status TurnedAway();

// The gRPC status for an error; its reason goes into the trailing metadata.
grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContext* grpc);

// "The server has its bound of calls in flight", as an error.
absl::Status TooManyCalls(int bound);

class GrpcMethod {
 public:
  virtual ~GrpcMethod() = default;
  // Requests `count` calls from gRPC.
  virtual void Start(int count) = 0;
};

}  // namespace raftmq::broker
