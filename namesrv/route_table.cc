#include "namesrv/route_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/strings.h"

namespace raftmq::namesrv {
namespace {

absl::Status CheckComplete(const Registration& r) {
  auto missing = [](std::string_view field) {
    return absl::InvalidArgumentError(StrCat("registration without ", field));
  };
  if (r.cluster.empty()) return missing("cluster");
  if (r.broker_name.empty()) return missing("broker_name");
  if (r.member <= kNoMember) return missing("member_id");
  if (r.client_address.empty()) return missing("client_address");
  for (const TopicQueues& queues : r.topics) {
    if (queues.topic.empty() || queues.read_queues < 0 || queues.write_queues < 0) {
      return absl::InvalidArgumentError(StrCat("registration of ", r.broker_name, ": topic '",
                                               queues.topic, "' with ", queues.read_queues,
                                               " read and ", queues.write_queues, " write queues"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

RouteTable::RouteTable(RouteTableOptions options, const Clock* clock)
    : options_(options), clock_(clock) {}

absl::Status RouteTable::Register(StreamId stream, const Registration& r) {
  RAFTMQ_RETURN_IF_ERROR(CheckComplete(r));
  if (r.topics.size() > options_.max_topics_per_group) {
    return absl::ResourceExhaustedError(StrCat("broker ", r.broker_name, " registers ",
                                               r.topics.size(), " topics, at most ",
                                               options_.max_topics_per_group, " are taken"));
  }
  absl::MutexLock lock(&mu_);
  auto found = groups_.find(r.broker_name);
  if (found == groups_.end() && groups_.size() >= options_.max_groups) {
    return absl::ResourceExhaustedError(
        StrCat("broker ", r.broker_name, ": already ", groups_.size(), " broker groups"));
  }
  if (found != groups_.end()) {
    const GroupState& group = found->second;
    if (group.cluster != r.cluster) {
      return absl::FailedPreconditionError(StrCat("broker ", r.broker_name, " belongs to cluster ",
                                                  group.cluster, ", not ", r.cluster,
                                                  "; broker names are unique over all clusters"));
    }
    auto member = group.members.find(r.member);
    if (member != group.members.end() && member->second.stream != stream &&
        member->second.client_address != r.client_address && member->second.stream > stream) {
      return absl::FailedPreconditionError(
          StrCat("broker ", r.broker_name, " member ", r.member, " is registered at ",
                 member->second.client_address, " by a newer stream"));
    }
  }
  GroupState& group = groups_[r.broker_name];
  group.cluster = r.cluster;
  MemberState& member = group.members[r.member];
  member.name = r.member_name;
  member.client_address = r.client_address;
  member.stream = stream;
  member.lease_until_ms = clock_->MonotonicMillis() + options_.lease_ms;

  if (r.leader && r.term >= group.term) {
    group.term = r.term;
    group.leader = r.member;
    group.described = true;
    group.topics.clear();
    for (const TopicQueues& queues : r.topics) group.topics[queues.topic] = queues;
    group.serving = r.serving;
    group.preferred = r.preferred;
    group.group_dns_name = r.group_dns_name;
  } else if (!r.leader && (group.leader == r.member || r.term > group.term)) {
    // It says itself that it leads no more, or it has seen a newer term whose leader we wait for.
    if (r.term >= group.term) {
      group.term = r.term;
      group.leader = kNoMember;
    }
  }
  return absl::OkStatus();
}

void RouteTable::Forget(const std::string& broker_name, MemberId member) {
  auto found = groups_.find(broker_name);
  if (found == groups_.end()) return;
  GroupState& group = found->second;
  group.members.erase(member);
  if (group.leader == member) group.leader = kNoMember;
  if (group.members.empty()) groups_.erase(found);
}

void RouteTable::EndStream(StreamId stream) {
  absl::MutexLock lock(&mu_);
  for (const auto& [broker_name, group] : groups_) {
    for (const auto& [id, member] : group.members) {
      if (member.stream == stream) {
        // Copies: both names live in what Forget erases.
        Forget(std::string(broker_name), MemberId(id));
        return;
      }
    }
  }
}

std::vector<std::string> RouteTable::Expire() {
  absl::MutexLock lock(&mu_);
  const int64_t now = clock_->MonotonicMillis();
  std::vector<std::pair<std::string, MemberId>> silent;
  for (const auto& [broker_name, group] : groups_) {
    for (const auto& [id, member] : group.members) {
      if (member.lease_until_ms <= now) silent.emplace_back(broker_name, id);
    }
  }
  std::vector<std::string> names;
  for (const auto& [broker_name, id] : silent) {
    Forget(broker_name, id);
    names.push_back(StrCat(broker_name, "/", id));
  }
  return names;
}

Group RouteTable::Describe(const std::string& broker_name, const GroupState& state) const {
  Group group;
  group.cluster = state.cluster;
  group.broker_name = broker_name;
  group.term = state.term;
  for (const auto& [id, member] : state.members) {
    const bool serving =
        state.serving.empty() ||
        std::find(state.serving.begin(), state.serving.end(), id) != state.serving.end();
    group.members.push_back({id, member.name, member.client_address, id == state.leader, serving});
  }
  group.preferred = state.preferred;
  group.group_dns_name = state.group_dns_name;
  return group;
}

std::vector<TopicRouteEntry> RouteTable::Route(const std::string& topic) const {
  absl::MutexLock lock(&mu_);
  std::vector<TopicRouteEntry> entries;
  for (const auto& [broker_name, group] : groups_) {
    auto queues = group.topics.find(topic);
    if (queues == group.topics.end()) continue;
    entries.push_back({Describe(broker_name, group), queues->second});
  }
  return entries;
}

std::vector<Group> RouteTable::Groups() const {
  absl::MutexLock lock(&mu_);
  std::vector<Group> groups;
  for (const auto& [broker_name, group] : groups_) groups.push_back(Describe(broker_name, group));
  return groups;
}

std::vector<std::string> RouteTable::GroupsWithKnownTopics() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const auto& [broker_name, group] : groups_) {
    if (group.described) names.push_back(broker_name);
  }
  return names;
}

std::vector<std::string> RouteTable::Topics() const {
  absl::MutexLock lock(&mu_);
  std::set<std::string> topics;
  for (const auto& [broker_name, group] : groups_) {
    for (const auto& [topic, queues] : group.topics) topics.insert(topic);
  }
  return {topics.begin(), topics.end()};
}

}  // namespace raftmq::namesrv
