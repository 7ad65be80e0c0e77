// RouteTable: which broker groups there are, where their members live, who leads, which topics they
// serve. All a NameServer knows; in memory only (RocketMQ: RouteInfoManager).
//
// A member is known through a registration stream: it is evicted when its stream ends, or when it
// was not refreshed for the lease. A group's leader and topics are those of the highest term that
// was reported: a late word from a deposed leader changes nothing.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ids.h"

namespace raftmq::namesrv {

struct TopicQueues {
  std::string topic;
  int32_t read_queues = 0;
  int32_t write_queues = 0;
  int32_t perm = 0;
  std::string message_type;

  bool operator==(const TopicQueues&) const = default;
};

struct Registration {
  std::string cluster;
  std::string broker_name;
  MemberId member;
  std::string member_name;
  std::string client_address;
  Term term;
  bool leader = false;
  // Taken from a leader only:
  std::vector<TopicQueues> topics;
  std::vector<MemberId> serving;  // who serves clients; none: whoever is registered
  MemberId preferred;             // first in every route; kNoMember: none
  std::string group_dns_name;     // host:port of all members; "": none
};

struct GroupMember {
  MemberId id;
  std::string name;
  std::string client_address;
  bool leader = false;
  bool serving = true;
};

struct Group {
  std::string cluster;
  std::string broker_name;
  Term term;
  std::vector<GroupMember> members;  // by id
  MemberId preferred;
  std::string group_dns_name;
};

struct TopicRouteEntry {
  Group group;
  TopicQueues queues;
};

struct RouteTableOptions {
  int64_t lease_ms = 120'000;
  // Bounds against a broken or hostile registrant.
  size_t max_groups = 10'000;
  size_t max_topics_per_group = 1'000'000;
};

class RouteTable {
 public:
  // Names the stream a registration came by; never re-used.
  using StreamId = uint64_t;

  RouteTable(RouteTableOptions options, const Clock* clock);

  // Adds or refreshes a member. InvalidArgument for an incomplete registration;
  // FailedPrecondition if the broker name belongs to another cluster, or the member's id to another
  // live address; ResourceExhausted at a bound.
  absl::Status Register(StreamId stream, const Registration& registration);

  // The stream ended: forgets the member unless a newer stream has registered it since.
  void EndStream(StreamId stream);

  // Forgets members whose lease is over; returns "broker/member" of each, for the log.
  std::vector<std::string> Expire();

  // By broker name; empty if no group has the topic.
  std::vector<TopicRouteEntry> Route(const std::string& topic) const;
  std::vector<Group> Groups() const;
  // Of which a leader has said what they serve.
  std::vector<std::string> GroupsWithKnownTopics() const;
  std::vector<std::string> Topics() const;

 private:
  struct MemberState {
    std::string name;
    std::string client_address;
    StreamId stream = 0;
    int64_t lease_until_ms = 0;  // monotonic
  };
  struct GroupState {
    std::string cluster;
    Term term;
    MemberId leader;  // of `term`; kNoMember: not known, or evicted
    std::map<MemberId, MemberState> members;
    // The newest leader's word; goes on while there is no leader.
    bool described = false;
    std::map<std::string, TopicQueues> topics;
    std::vector<MemberId> serving;
    MemberId preferred;
    std::string group_dns_name;
  };

  Group Describe(const std::string& broker_name, const GroupState& group) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Forget(const std::string& broker_name, MemberId member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RouteTableOptions options_;
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  std::map<std::string, GroupState> groups_ ABSL_GUARDED_BY(mu_);
};

}  // namespace raftmq::namesrv
