// ClientInstance: what every producer and consumer of this library needs underneath: an id,
// channels and stubs, routes that are refreshed every pollNameServerInterval, heartbeats to the
// brokers of those routes every heartbeatBrokerInterval (RocketMQ: MQClientInstance). For sources
// of client/ only: it includes gRPC.
//
// Owned by one producer or consumer. Thread-safe. Has two threads: "mq-client" for what is timed,
// "mq-client-cq" for answers.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "base/event_loop.h"
#include "client/grpc_call_queue.h"
#include "client/grpc_channels.h"
#include "client/route_cache.h"
#include "raftmq/v1/consumers.grpc.pb.h"
#include "raftmq/v1/replies.grpc.pb.h"

namespace raftmq::client {

struct ClientInstanceOptions {
  std::string namesrvAddr;
  int64_t pollNameServerInterval = 30'000;
  int64_t heartbeatBrokerInterval = 30'000;
  apache::rocketmq::v2::ClientType type = apache::rocketmq::v2::CLIENT_TYPE_UNSPECIFIED;
  std::string consumerGroup;  // "": a producer
  TlsClientOptions tls;
};

class ClientInstance final : public RouteSource {
 public:
  using Stub = apache::rocketmq::v2::MessagingService::Stub;
  using ConsumersStub = ::raftmq::v1::Consumers::Stub;
  using RepliesStub = ::raftmq::v1::Replies::Stub;

  // InvalidArgument: an address or an interval that cannot be.
  static absl::StatusOr<std::unique_ptr<ClientInstance>> Start(ClientInstanceOptions options);

  // SayGoodbye, and waits for this object's own calls, a second at most. Its owner
  // has waited for its own before.
  ~ClientInstance() override;

  // HOST@PID@NUMBER@CHANCE, as RocketMQ 5's clients have it.
  const std::string& client_id() const { return client_id_; }
  RouteCache* routes() { return &routes_; }
  TaskRunner* timers() { return &loop_; }
  CallQueue* calls() { return &calls_; }

  // Making a stub registers all methods of the service: each is made once and kept.
  Stub* StubAt(const std::string& address);
  ConsumersStub* ConsumersStubAt(const std::string& address);
  RepliesStub* RepliesStubAt(const std::string& address);

  // A heartbeat to every known broker now.
  void Beat() { SendHeartbeats(); }
  // Tells the brokers that this client is going: it counts as no member of its group any more. No
  // heartbeats follow. Does not wait.
  void SayGoodbye();

  // Deadline and identity of a call.
  void Prepare(grpc::ClientContext* context, int64_t timeout_ms) const {
    PrepareContext(context, client_id_, timeout_ms);
  }

  void Ask(const std::string& access_point, const std::string& topic, Answer answer) override;

 private:
  ClientInstance(ClientInstanceOptions options, std::vector<std::string> access_points);

  void ScheduleRefresh();
  void ScheduleHeartbeat();
  // The addresses that the cached routes name.
  std::vector<std::string> BrokerAddresses() const;
  void SendHeartbeats();
  void CallBegins();
  void CallEnds();

  const ClientInstanceOptions options_;
  const std::string client_id_;
  const int64_t ask_timeout_ms_;
  ChannelCache channels_{options_.tls};
  absl::Mutex mu_;
  std::map<std::string, std::unique_ptr<Stub>> stubs_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::unique_ptr<ConsumersStub>> consumers_stubs_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::unique_ptr<RepliesStub>> replies_stubs_ ABSL_GUARDED_BY(mu_);
  int own_calls_ ABSL_GUARDED_BY(mu_) = 0;  // under way
  bool said_goodbye_ ABSL_GUARDED_BY(mu_) = false;
  RouteCache routes_;
  CallQueue calls_;
  // Last: stops before what its tasks use goes away.
  EventLoop loop_{"mq-client"};
};

}  // namespace raftmq::client
