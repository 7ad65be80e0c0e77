// Session: what a command needs to reach brokers: the cluster's groups and calls on their members.
// For sources of mqadmin only: it includes gRPC.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/strings.h"
#include "client/grpc_channels.h"
#include "client/mqadmin/read_flags.h"
#include "raftmq/v1/admin.grpc.pb.h"

namespace raftmq::mqadmin {

struct MemberPlace {
  int32_t id = 0;
  std::string name;
  std::string address;
  bool leader = false;
};

struct GroupPlace {
  std::string cluster;
  std::string broker_name;
  int64_t term = 0;
  std::vector<MemberPlace> members;  // by id
};

// What an operator must know of a call that must not be made again when it is not known if it took
// effect: a second one would do more, or tell what the first did as a failure. As the brokers'
// kSafeToRepeat has it. nullptr: it may be made again.
struct Once {
  const char* what;
  const char* look_at;  // what shows whether it was done
};
template <typename Request>
inline constexpr const Once* kOnce = nullptr;
inline constexpr Once kMoveOnce{"the offset move", "offsetHistory -g GROUP"};
template <>
inline constexpr const Once* kOnce<::raftmq::v1::MoveOffsetsRequest> = &kMoveOnce;
inline constexpr Once kDeleteTopicOnce{"the topic's deletion", "topicList"};
template <>
inline constexpr const Once* kOnce<::raftmq::v1::DeleteTopicRequest> = &kDeleteTopicOnce;
inline constexpr Once kDeleteGroupOnce{"the consumer group's deletion",
                                       "getConsumerConfig -g GROUP"};
template <>
inline constexpr const Once* kOnce<::raftmq::v1::DeleteGroupRequest> = &kDeleteGroupOnce;
inline constexpr Once kTransferOnce{"the transfer of leadership", "clusterList"};
template <>
inline constexpr const Once* kOnce<::raftmq::v1::TransferLeadershipRequest> = &kTransferOnce;

class Session {
 public:
  // `namesrv_addr`: NameServers or brokers. `timeout_ms` bounds each call. `read`: of all its calls
  // of brokers; its member's group is the only one then.
  Session(std::string namesrv_addr, int64_t timeout_ms, const TlsClientOptions& tls = {},
          ReadFlags read = {})
      : namesrv_addr_(std::move(namesrv_addr)),
        timeout_ms_(timeout_ms),
        read_(std::move(read)),
        channels_(tls) {}

  const std::string& namesrv_addr() const { return namesrv_addr_; }
  int64_t timeout_ms() const { return timeout_ms_; }
  client::ChannelCache* channels() { return &channels_; }

  // All broker groups, from the first NameServer that answers; from a broker, its own group.
  absl::StatusOr<std::vector<GroupPlace>> Groups();

  // Those of one cluster (all if ""), or the one with a member at `broker_address` if that is
  // given. NotFound if there is none. InvalidArgument: the member that is to answer is none of it.
  absl::StatusOr<std::vector<GroupPlace>> Groups(const std::string& cluster,
                                                 const std::string& broker_address);

  // By broker name: a topic's queues for reading and for writing there.
  using QueueCounts = std::map<std::string, std::pair<int32_t, int32_t>>;

  // Waits until every NameServer that is named and answers knows `topic` with these queues: a
  // broker tells them a moment after the change. DeadlineExceeded names the NameServer that still
  // doesn't. Brokers that are named instead know it at once.
  absl::Status AwaitRoute(const std::string& topic, const QueueCounts& queues);

  using Admin = ::raftmq::v1::Admin;

  // Calls one method at one address.
  template <typename Request, typename Response>
  absl::Status CallAt(const std::string& address,
                      grpc::Status (Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                          Response*),
                      const Request& request, Response* response) {
    grpc::ClientContext context;
    const grpc::Status status = Make(address, method, request, response, &context);
    return client::FromGrpc(status, address);
  }

  // Calls it at the leader, or at another member if the leader cannot be reached; or where the
  // flags say. What is to be done Once goes to another member only if the one before certainly did
  // nothing; Unknown: it may have been done, and the text says where to look.
  template <typename Request, typename Response>
  absl::Status Call(const GroupPlace& group,
                    grpc::Status (Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                    const Request& request, Response* response) {
    if (!read_.address.empty()) {
      const absl::Status done = CallAt(read_.address, method, request, response);
      answered_ = answered_ || done.ok();
      return done;
    }
    absl::Status last = absl::UnavailableError(StrCat(group.broker_name, " has no live member"));
    for (const bool leader_first : {true, false}) {
      for (const MemberPlace& member : group.members) {
        if (member.leader != leader_first) continue;
        grpc::ClientContext context;
        const grpc::Status status = Make(member.address, method, request, response, &context);
        last = client::FromGrpc(status, member.address);
        answered_ = answered_ || last.ok();
        if (kOnce<Request> != nullptr && MayBeDone(status, context)) {
          return UnknownOutcome(*kOnce<Request>, last);
        }
        if (last.ok() || !absl::IsUnavailable(last)) return last;
      }
    }
    return last;
  }

  // Whether any Call succeeded so far.
  bool answered() const { return answered_; }

  // Calls see(name, GroupProgressResponse) for each consumer group of a broker group.
  template <typename See>
  absl::Status ForEachGroup(const GroupPlace& place, See see) {
    ::raftmq::v1::ListGroupsResponse groups;
    RAFTMQ_RETURN_IF_ERROR(
        Call(place, &Admin::Stub::ListGroups, ::raftmq::v1::ListGroupsRequest(), &groups));
    for (const ::raftmq::v1::Group& group : groups.groups()) {
      ::raftmq::v1::GroupProgressRequest request;
      request.set_name(group.name());
      ::raftmq::v1::GroupProgressResponse progress;
      const absl::Status done = Call(place, &Admin::Stub::GroupProgress, request, &progress);
      if (absl::IsNotFound(done)) continue;  // deleted since
      RAFTMQ_RETURN_IF_ERROR(done);
      see(group.name(), progress);
    }
    return absl::OkStatus();
  }

 private:
  template <typename Request, typename Response>
  grpc::Status Make(const std::string& address,
                    grpc::Status (Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                    const Request& request, Response* response, grpc::ClientContext* context) {
    std::unique_ptr<Admin::Stub> stub = Admin::NewStub(channels_.Get(address));
    client::PrepareContext(context, "mqadmin", timeout_ms_);
    if (const std::string level = read_.level(); !level.empty()) {
      context->AddMetadata("x-raftmq-read", level);
    }
    response->Clear();
    return (stub.get()->*method)(context, request, response);
  }

  // Whether a call that failed reached the member and nothing is known of what it did.
  static bool MayBeDone(const grpc::Status& status, const grpc::ClientContext& context);
  static absl::Status UnknownOutcome(const Once& once, const absl::Status& error);

  absl::StatusOr<std::vector<GroupPlace>> AskNameServer(const std::string& address);
  absl::Status CheckReadFrom(const GroupPlace& group) const;
  // As a NameServer knows them.
  absl::StatusOr<QueueCounts> QueuesAt(const std::string& address, const std::string& topic);
  absl::StatusOr<std::vector<GroupPlace>> AskBroker(const std::string& address);

  const std::string namesrv_addr_;
  const int64_t timeout_ms_;
  ReadFlags read_;
  bool answered_ = false;
  client::ChannelCache channels_;
};

}  // namespace raftmq::mqadmin
