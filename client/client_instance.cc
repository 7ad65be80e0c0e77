#include <unistd.h>

#include <atomic>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "base/strings.h"
#include "client/endpoint.h"
#include "client/grpc_client_instance.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;

constexpr int kDefaultNameServerPort = 9876;
// One access point's time to name a route: less if there is another to ask.
constexpr int64_t kOnlyAccessPointMs = 3'000;
constexpr int64_t kOneOfManyMs = 1'000;
constexpr int64_t kHeartbeatMs = 3'000;
constexpr int64_t kGoodbyeMs = 500;

std::string MakeClientId() {
  static std::atomic<int> number{0};
  char host[256] = {};
  if (::gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0') host[0] = '?';
  return StrCat(host, "@", ::getpid(), "@", number.fetch_add(1), "@",
                absl::StrCat(absl::Hex(Random::FromEntropy().Next())));
}

TopicRoute FromProto(const std::string& topic, const v2::QueryRouteResponse& response) {
  std::map<std::string, BrokerRoute> brokers;
  for (const v2::MessageQueue& queue : response.message_queues()) {
    BrokerRoute& broker = brokers[queue.broker().name()];
    if (broker.name.empty()) {
      broker.name = queue.broker().name();
      for (const v2::Address& address : queue.broker().endpoints().addresses()) {
        broker.addresses.push_back(StrCat(address.host(), ":", address.port()));
      }
    }
    const v2::Permission permission = queue.permission();
    if (permission == v2::READ || permission == v2::READ_WRITE) {
      broker.readable_queues.push_back(queue.id());
    }
    if (permission == v2::WRITE || permission == v2::READ_WRITE) {
      broker.writable_queues.push_back(queue.id());
    }
  }
  TopicRoute route{topic, {}};
  for (auto& [name, broker] : brokers) route.brokers.push_back(std::move(broker));
  return route;
}

// What a call of ours needs for as long as it is under way.
template <typename Request, typename Response>
struct OwnCall {
  grpc::ClientContext context;
  Request request;
  Response response;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ClientInstance>> ClientInstance::Start(
    ClientInstanceOptions options) {
  RAFTMQ_ASSIGN_OR_RETURN(auto access_points,
                          ParseAddresses(options.namesrvAddr, kDefaultNameServerPort));
  if (options.pollNameServerInterval < 10 || options.heartbeatBrokerInterval < 10) {
    return absl::InvalidArgumentError(StrCat(
        "pollNameServerInterval ", options.pollNameServerInterval, " and heartbeatBrokerInterval ",
        options.heartbeatBrokerInterval, ": expected milliseconds, 10 at least"));
  }
  std::unique_ptr<ClientInstance> instance(
      new ClientInstance(std::move(options), std::move(access_points)));
  instance->ScheduleRefresh();
  instance->ScheduleHeartbeat();
  return instance;
}

ClientInstance::ClientInstance(ClientInstanceOptions options,
                               std::vector<std::string> access_points)
    : options_(std::move(options)),
      client_id_(MakeClientId()),
      ask_timeout_ms_(access_points.size() > 1 ? kOneOfManyMs : kOnlyAccessPointMs),
      routes_({access_points, Random::FromEntropy().Below(access_points.size())}, this,
              SystemClock()) {}

ClientInstance::~ClientInstance() {
  loop_.Stop();
  SayGoodbye();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](int* calls) { return *calls == 0; }, &own_calls_));
}

void ClientInstance::CallBegins() {
  absl::MutexLock lock(&mu_);
  ++own_calls_;
}

void ClientInstance::CallEnds() {
  absl::MutexLock lock(&mu_);
  --own_calls_;
}

ClientInstance::Stub* ClientInstance::StubAt(const std::string& address) {
  absl::MutexLock lock(&mu_);
  std::unique_ptr<Stub>& stub = stubs_[address];
  if (stub == nullptr) stub = v2::MessagingService::NewStub(channels_.Get(address));
  return stub.get();
}

ClientInstance::ConsumersStub* ClientInstance::ConsumersStubAt(const std::string& address) {
  absl::MutexLock lock(&mu_);
  std::unique_ptr<ConsumersStub>& stub = consumers_stubs_[address];
  if (stub == nullptr) stub = ::raftmq::v1::Consumers::NewStub(channels_.Get(address));
  return stub.get();
}

ClientInstance::RepliesStub* ClientInstance::RepliesStubAt(const std::string& address) {
  absl::MutexLock lock(&mu_);
  std::unique_ptr<RepliesStub>& stub = replies_stubs_[address];
  if (stub == nullptr) stub = ::raftmq::v1::Replies::NewStub(channels_.Get(address));
  return stub.get();
}

void ClientInstance::Ask(const std::string& access_point, const std::string& topic, Answer answer) {
  auto call = std::make_shared<OwnCall<v2::QueryRouteRequest, v2::QueryRouteResponse>>();
  Prepare(&call->context, ask_timeout_ms_);
  call->request.mutable_topic()->set_name(topic);
  CallBegins();
  calls_.Start(
      StubAt(access_point)->PrepareAsyncQueryRoute(&call->context, call->request, calls_.queue()),
      &call->response,
      [this, call, access_point, answer = std::move(answer)](const grpc::Status& status) mutable {
        absl::StatusOr<TopicRoute> result;
        const v2::Status& said = call->response.status();
        if (!status.ok()) {
          result = FromGrpc(status, access_point);
        } else if (said.code() != v2::OK) {
          result = FromV2(said);
        } else if (call->response.message_queues_size() == 0) {
          result = absl::InternalError(
              StrCat(access_point, " named no queue of topic ", call->request.topic().name(),
                     ": expected one at least; is it a RaftMQ NameServer or broker?"));
        } else {
          result = FromProto(call->request.topic().name(), call->response);
        }
        answer(std::move(result));
        CallEnds();
      });
}

void ClientInstance::ScheduleRefresh() {
  loop_.RunAfter(options_.pollNameServerInterval * 1'000'000, [this] {
    routes_.Refresh();
    ScheduleRefresh();
  });
}

void ClientInstance::ScheduleHeartbeat() {
  loop_.RunAfter(options_.heartbeatBrokerInterval * 1'000'000, [this] {
    SendHeartbeats();
    ScheduleHeartbeat();
  });
}

std::vector<std::string> ClientInstance::BrokerAddresses() const {
  std::set<std::string> addresses;
  for (const RouteCache::Route& route : routes_.All()) {
    for (const BrokerRoute& broker : route->brokers) {
      addresses.insert(broker.addresses.begin(), broker.addresses.end());
    }
  }
  return {addresses.begin(), addresses.end()};
}

void ClientInstance::SendHeartbeats() {
  {
    absl::MutexLock lock(&mu_);
    if (said_goodbye_) return;
  }
  for (const std::string& address : BrokerAddresses()) {
    auto call = std::make_shared<OwnCall<v2::HeartbeatRequest, v2::HeartbeatResponse>>();
    Prepare(&call->context, std::min(kHeartbeatMs, options_.heartbeatBrokerInterval));
    call->request.set_client_type(options_.type);
    if (!options_.consumerGroup.empty()) {
      call->request.mutable_group()->set_name(options_.consumerGroup);
    }
    CallBegins();
    // A lost heartbeat is followed by the next; a broker that is gone shows when it is used.
    calls_.Start(
        StubAt(address)->PrepareAsyncHeartbeat(&call->context, call->request, calls_.queue()),
        &call->response, [this, call](const grpc::Status&) { CallEnds(); });
  }
}

void ClientInstance::SayGoodbye() {
  {
    absl::MutexLock lock(&mu_);
    if (std::exchange(said_goodbye_, true)) return;
  }
  for (const std::string& address : BrokerAddresses()) {
    auto call = std::make_shared<
        OwnCall<v2::NotifyClientTerminationRequest, v2::NotifyClientTerminationResponse>>();
    Prepare(&call->context, kGoodbyeMs);
    if (!options_.consumerGroup.empty()) {
      call->request.mutable_group()->set_name(options_.consumerGroup);
    }
    CallBegins();
    calls_.Start(StubAt(address)->PrepareAsyncNotifyClientTermination(&call->context, call->request,
                                                                      calls_.queue()),
                 &call->response, [this, call](const grpc::Status&) { CallEnds(); });
  }
}

}  // namespace raftmq::client
