#include "namesrv/namesrv_service.h"

#include <glog/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "base/event_loop.h"
#include "base/grpc_callback_queue.h"
#include "base/strings.h"
#include "raftmq/v1/namesrv.grpc.pb.h"

namespace raftmq::namesrv {
namespace {

namespace pb = ::raftmq::v1;
namespace v2 = ::apache::rocketmq::v2;

Registration FromProto(const pb::BrokerRegistration& in) {
  Registration out;
  out.cluster = in.cluster();
  out.broker_name = in.broker_name();
  out.member = MemberId(in.member_id());
  out.member_name = in.member_name();
  out.client_address = in.client_address();
  out.term = Term(in.term());
  out.leader = in.leader();
  out.topics.reserve(in.topics_size());
  for (const pb::TopicQueues& topic : in.topics()) {
    out.topics.push_back({topic.topic(), topic.read_queues(), topic.write_queues(), topic.perm(),
                          topic.message_type()});
  }
  for (const int32_t member : in.serving_members()) out.serving.push_back(MemberId(member));
  out.preferred = MemberId(in.preferred_member());
  out.group_dns_name = in.group_dns_name();
  return out;
}

void ToProto(const Group& in, pb::BrokerGroup* out) {
  out->set_cluster(in.cluster);
  out->set_broker_name(in.broker_name);
  out->set_term(in.term.value());
  for (const GroupMember& member : in.members) {
    pb::BrokerMember* m = out->add_members();
    m->set_member_id(member.id.value());
    m->set_member_name(member.name);
    m->set_client_address(member.client_address);
    m->set_leader(member.leader);
    m->set_serving(member.serving);
  }
  out->set_preferred_member(in.preferred.value());
  out->set_group_dns_name(in.group_dns_name);
}

// One member's stream. Reads a registration, answers it, reads the next: never more than one answer
// is waiting, so nothing here grows.
class RegistrationStream final
    : public grpc::ServerBidiReactor<pb::BrokerRegistration, pb::RegistrationReply> {
 public:
  RegistrationStream(RouteTable* table, RouteTable::StreamId id, std::string peer)
      : table_(table), id_(id), peer_(std::move(peer)) {
    StartRead(&registration_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    absl::Status status = table_->Register(id_, FromProto(registration_));
    reply_.set_accepted(status.ok());
    reply_.set_message(std::string(Message(status)));
    if (!status.ok()) LOG(WARNING) << "registration from " << peer_ << " refused: " << status;
    StartWrite(&reply_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    StartRead(&registration_);
  }

  void OnDone() override {
    table_->EndStream(id_);
    delete this;
  }

 private:
  RouteTable* const table_;
  const RouteTable::StreamId id_;
  const std::string peer_;
  pb::BrokerRegistration registration_;
  pb::RegistrationReply reply_;
};

class RegistryService final : public pb::NameServer::CallbackService {
 public:
  explicit RegistryService(RouteTable* table) : table_(table) {}

  grpc::ServerBidiReactor<pb::BrokerRegistration, pb::RegistrationReply>* Register(
      grpc::CallbackServerContext* context) override {
    return new RegistrationStream(table_, next_stream_.fetch_add(1), context->peer());
  }

  grpc::ServerUnaryReactor* GetTopicRoute(grpc::CallbackServerContext* context,
                                          const pb::TopicRouteRequest* request,
                                          pb::TopicRouteReply* reply) override {
    for (const TopicRouteEntry& entry : table_->Route(request->topic())) {
      pb::TopicRoute::Entry* out = reply->mutable_route()->add_entries();
      ToProto(entry.group, out->mutable_group());
      pb::TopicQueues* queues = out->mutable_queues();
      queues->set_topic(entry.queues.topic);
      queues->set_read_queues(entry.queues.read_queues);
      queues->set_write_queues(entry.queues.write_queues);
      queues->set_perm(entry.queues.perm);
      queues->set_message_type(entry.queues.message_type);
    }
    reply->set_found(reply->route().entries_size() > 0);
    for (std::string& name : table_->GroupsWithKnownTopics()) {
      reply->add_known_groups(std::move(name));
    }
    return Answer(context);
  }

  grpc::ServerUnaryReactor* GetClusterInfo(grpc::CallbackServerContext* context,
                                           const pb::ClusterInfoRequest*,
                                           pb::ClusterInfoReply* reply) override {
    for (const Group& group : table_->Groups()) ToProto(group, reply->add_groups());
    return Answer(context);
  }

  grpc::ServerUnaryReactor* ListTopics(grpc::CallbackServerContext* context,
                                       const pb::ListTopicsRequest*,
                                       pb::ListTopicsReply* reply) override {
    for (const std::string& topic : table_->Topics()) reply->add_topics(topic);
    return Answer(context);
  }

 private:
  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  RouteTable* const table_;
  std::atomic<RouteTable::StreamId> next_stream_{1};
};

// The public protocol's QueryRoute with the physical route: each queue once, at the leader's
// address, followed by the other members': where a client goes when the leader has just died.
class RouteQueryService final : public v2::MessagingService::CallbackService {
 public:
  explicit RouteQueryService(RouteTable* table) : table_(table) {}

  grpc::ServerUnaryReactor* QueryRoute(grpc::CallbackServerContext* context,
                                       const v2::QueryRouteRequest* request,
                                       v2::QueryRouteResponse* response) override {
    const std::string& topic = request->topic().name();
    for (const TopicRouteEntry& entry : table_->Route(topic)) AddQueues(entry, response);
    v2::Status* status = response->mutable_status();
    if (response->message_queues_size() == 0) {
      status->set_code(v2::TOPIC_NOT_FOUND);
      status->set_message(StrCat("topic ", topic, " is served by no broker group"));
    } else {
      status->set_code(v2::OK);
    }
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  static void AddQueues(const TopicRouteEntry& entry, v2::QueryRouteResponse* response) {
    v2::Endpoints endpoints;
    endpoints.set_scheme(v2::DOMAIN_NAME);
    std::vector<GroupMember> members = entry.group.members;
    std::stable_partition(members.begin(), members.end(),
                          [](const GroupMember& m) { return m.leader; });
    for (const GroupMember& member : members) {
      if (!member.serving && !member.leader) continue;
      const size_t colon = member.client_address.rfind(':');
      if (colon == std::string::npos) continue;
      v2::Address* address = endpoints.add_addresses();
      address->set_host(member.client_address.substr(0, colon));
      address->set_port(std::atoi(member.client_address.c_str() + colon + 1));
    }
    const TopicQueues& queues = entry.queues;
    for (int id = 0; id < std::max(queues.read_queues, queues.write_queues); ++id) {
      const bool readable = (queues.perm & 4) && id < queues.read_queues;
      const bool writable = (queues.perm & 2) && id < queues.write_queues;
      if (!readable && !writable) continue;
      v2::MessageQueue* queue = response->add_message_queues();
      queue->mutable_topic()->set_name(queues.topic);
      queue->set_id(id);
      queue->set_permission(readable && writable ? v2::READ_WRITE
                                                 : (readable ? v2::READ : v2::WRITE));
      queue->mutable_broker()->set_name(entry.group.broker_name);
      *queue->mutable_broker()->mutable_endpoints() = endpoints;
      AddTypes(queues.message_type, queue);
    }
  }

  static void AddTypes(const std::string& type, v2::MessageQueue* queue) {
    if (type == "MIXED") {
      for (v2::MessageType t : {v2::NORMAL, v2::FIFO, v2::DELAY, v2::TRANSACTION}) {
        queue->add_accept_message_types(t);
      }
      return;
    }
    v2::MessageType parsed;
    if (v2::MessageType_Parse(type, &parsed)) queue->add_accept_message_types(parsed);
  }

  RouteTable* const table_;
};

}  // namespace

struct NameServer::Impl {
  Impl(NameServerOptions o, const Clock* clock)
      : options(std::move(o)), table(options.table, clock), registry(&table), queries(&table) {}

  void ScheduleScan() {
    scan.RunAfter(options.scan_interval_ms * 1'000'000, [this] {
      for (const std::string& name : table.Expire()) {
        LOG(WARNING) << "broker " << name << " was silent for " << options.table.lease_ms
                     << " ms and is left out of routes";
      }
      ScheduleScan();
    });
  }

  const NameServerOptions options;
  RouteTable table;
  RegistryService registry;
  RouteQueryService queries;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
  EventLoop scan{"route-scan"};
};

absl::StatusOr<std::unique_ptr<NameServer>> NameServer::Start(NameServerOptions options,
                                                              const Clock* clock) {
  KeepGrpcCallbackQueue();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto impl = std::make_unique<Impl>(std::move(options), clock);
  grpc::ServerBuilder builder;
  // Registrations of groups with very many topics exceed gRPC's default of 4 MiB.
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // Two servers on one port would split the brokers' registrations between them.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(impl->options.listen_address, grpc::InsecureServerCredentials(),
                           &impl->port);
  builder.RegisterService(&impl->registry);
  builder.RegisterService(&impl->queries);
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || impl->port == 0) {
    return absl::UnavailableError(StrCat("cannot listen on ", impl->options.listen_address,
                                         ": is another process using the port?"));
  }
  impl->ScheduleScan();
  return std::unique_ptr<NameServer>(new NameServer(std::move(impl)));
}

NameServer::NameServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

NameServer::~NameServer() { Shutdown(); }

int NameServer::port() const { return impl_->port; }

RouteTable& NameServer::table() { return impl_->table; }

void NameServer::Shutdown() {
  impl_->scan.Stop();
  // Streams never end by themselves: a past deadline cancels them at once.
  impl_->server->Shutdown(std::chrono::system_clock::time_point());
}

}  // namespace raftmq::namesrv
