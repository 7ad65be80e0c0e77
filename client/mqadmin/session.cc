#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "client/endpoint.h"
#include "client/mqadmin/grpc_session.h"
#include "raftmq/v1/namesrv.grpc.pb.h"

namespace raftmq::mqadmin {

namespace pb = ::raftmq::v1;

namespace {

// A connection that never came up: gRPC 1.51's text, the only thing that tells it from one that
// broke after the request was sent.
constexpr std::string_view kNeverConnected = "failed to connect to all addresses";

}  // namespace

bool Session::MayBeDone(const grpc::Status& status, const grpc::ClientContext& context) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      // A broker's own answer has a reason, and was not carried out: it starts, stops or knows no
      // leader.
      return !context.GetServerTrailingMetadata().contains("x-raftmq-reason") &&
             status.error_message().find(kNeverConnected) == std::string::npos;
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return true;
    default:
      return false;
  }
}

absl::Status Session::UnknownOutcome(const Once& once, const absl::Status& error) {
  return absl::UnknownError(StrCat("it is not known whether ", once.what,
                                   " was carried out: ", Message(error), ": see ", once.look_at,
                                   " before you try again"));
}

absl::StatusOr<std::vector<GroupPlace>> Session::AskNameServer(const std::string& address) {
  auto stub = pb::NameServer::NewStub(channels_.Get(address));
  grpc::ClientContext context;
  client::PrepareContext(&context, "mqadmin", timeout_ms_);
  pb::ClusterInfoReply info;
  const grpc::Status status = stub->GetClusterInfo(&context, {}, &info);
  if (!status.ok()) return client::FromGrpc(status, address);
  std::vector<GroupPlace> groups;
  for (const pb::BrokerGroup& in : info.groups()) {
    GroupPlace group{in.cluster(), in.broker_name(), in.term(), {}};
    for (const pb::BrokerMember& m : in.members()) {
      group.members.push_back({m.member_id(), m.member_name(), m.client_address(), m.leader()});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

absl::StatusOr<std::vector<GroupPlace>> Session::AskBroker(const std::string& address) {
  pb::GetMemberStatusResponse status;
  RAFTMQ_RETURN_IF_ERROR(
      CallAt(address, &Admin::Stub::GetMemberStatus, pb::GetMemberStatusRequest(), &status));
  GroupPlace group{status.identity().cluster(), status.identity().broker_name(), status.term(), {}};
  for (const pb::GroupMember& m : status.members()) {
    std::string at = m.id() == status.identity().member_id() ? address : m.client_address();
    if (at.empty()) continue;
    group.members.push_back({m.id(), m.name(), std::move(at), m.id() == status.leader_id()});
  }
  return std::vector<GroupPlace>{std::move(group)};
}

absl::StatusOr<std::vector<GroupPlace>> Session::Groups() {
  RAFTMQ_ASSIGN_OR_RETURN(auto addresses, client::ParseAddresses(namesrv_addr_, 9876));
  absl::Status last;
  for (const std::string& address : addresses) {
    auto groups = AskNameServer(address);
    // A broker's own address will do as well.
    if (absl::IsUnimplemented(groups.status())) groups = AskBroker(address);
    if (groups.ok()) return groups;
    last = groups.status();
  }
  return Annotate(last, "no NameServer or broker answers (-n or NAMESRV_ADDR names them)");
}

absl::StatusOr<std::vector<GroupPlace>> Session::Groups(const std::string& cluster,
                                                        const std::string& broker_address) {
  if (!read_.address.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(const auto named, client::ParseAddresses(read_.address, 8081));
    read_.address = named[0];
  }
  if (!broker_address.empty() || !read_.address.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(
        auto addresses,
        client::ParseAddresses(broker_address.empty() ? read_.address : broker_address, 8081));
    RAFTMQ_ASSIGN_OR_RETURN(auto groups, AskBroker(addresses[0]));
    if (!read_.address.empty()) RAFTMQ_RETURN_IF_ERROR(CheckReadFrom(groups[0]));
    return groups;
  }
  RAFTMQ_ASSIGN_OR_RETURN(auto groups, Groups());
  std::erase_if(groups,
                [&](const GroupPlace& g) { return !cluster.empty() && g.cluster != cluster; });
  if (groups.empty()) {
    return absl::NotFoundError(cluster.empty() ? std::string("no broker group is registered")
                                               : StrCat("no broker group of cluster ", cluster));
  }
  return groups;
}

absl::Status Session::CheckReadFrom(const GroupPlace& group) const {
  std::string members;
  for (const MemberPlace& member : group.members) {
    if (member.address == read_.address) return absl::OkStatus();
    members += StrCat(members.empty() ? "" : ", ", member.address);
  }
  return absl::InvalidArgumentError(StrCat("--readFrom ", read_.address,
                                           " is no member of broker group ", group.broker_name,
                                           ", which has ", members));
}

absl::Status Session::AwaitRoute(const std::string& topic, const QueueCounts& queues) {
  constexpr int64_t kLimitMs = 3'000;
  constexpr int64_t kAskAgainMs = 20;
  RAFTMQ_ASSIGN_OR_RETURN(const auto addresses, client::ParseAddresses(namesrv_addr_, 9876));
  const int64_t until = SystemClock()->MonotonicMillis() + kLimitMs;
  absl::Notification never;
  for (const std::string& address : addresses) {
    for (;;) {
      const auto known = QueuesAt(address, topic);
      // A broker, or a NameServer that is down: other commands pass it over as well.
      if (!known.ok()) break;
      if (std::includes(known->begin(), known->end(), queues.begin(), queues.end())) {
        break;
      }
      if (SystemClock()->MonotonicMillis() >= until) {
        return absl::DeadlineExceededError(
            StrCat("topic ", topic, " is changed, but after ", kLimitMs, " ms NameServer ", address,
                   " does not know it so in all of ", queues.size(),
                   " broker groups: mqadmin topicRoute -t ", topic, " shows when it does"));
      }
      never.WaitForNotificationWithTimeout(absl::Milliseconds(kAskAgainMs));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Session::QueueCounts> Session::QueuesAt(const std::string& address,
                                                       const std::string& topic) {
  auto stub = pb::NameServer::NewStub(channels_.Get(address));
  grpc::ClientContext context;
  client::PrepareContext(&context, "mqadmin", timeout_ms_);
  pb::TopicRouteRequest request;
  request.set_topic(topic);
  pb::TopicRouteReply reply;
  const grpc::Status status = stub->GetTopicRoute(&context, request, &reply);
  if (!status.ok()) return client::FromGrpc(status, address);
  QueueCounts queues;
  for (const auto& entry : reply.route().entries()) {
    queues[entry.group().broker_name()] = {entry.queues().read_queues(),
                                           entry.queues().write_queues()};
  }
  return queues;
}

}  // namespace raftmq::mqadmin
