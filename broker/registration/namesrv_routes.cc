#include "broker/registration/namesrv_routes.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "broker/cq_tag.h"
#include "broker/registration/grpc_namesrv_channel.h"
#include "broker/topic_type_name.h"
#include "raftmq/v1/namesrv.grpc.pb.h"

namespace raftmq::broker {
namespace {

namespace pb = ::raftmq::v1;
using Entry = pb::TopicRoute::Entry;

// One question to all NameServers.
struct Round {
  std::string topic;
  size_t unanswered = 0;
  bool answered = false;                // by one at least
  std::map<std::string, Entry> groups;  // by broker name
  std::set<std::string> known;          // groups whose topics some NameServer knows
};

// Whether `a` is news to one who was told `b`.
bool IsNewer(const Entry& a, const Entry& b) {
  return std::pair(a.group().term(), a.group().members_size()) >
         std::pair(b.group().term(), b.group().members_size());
}

store::TopicConfig ToTopic(const pb::TopicQueues& queues) {
  store::TopicConfig topic;
  topic.name = queues.topic();
  topic.read_queues = queues.read_queues();
  topic.write_queues = queues.write_queues();
  topic.perm = static_cast<uint8_t>(queues.perm());
  topic.type = TopicTypeFromName(queues.message_type()).value_or(store::TopicType::kNormal);
  return topic;
}

std::vector<std::string> HostsOf(const Entry& entry) {
  std::vector<std::string> hosts;
  for (const pb::BrokerMember& member : entry.group().members()) {
    if (const auto at = ParseHostPort(member.client_address()); at.ok()) hosts.push_back(at->host);
  }
  return hosts;
}

GroupRoute ToRoute(const Entry& entry, HostNames* hosts) {
  const pb::BrokerGroup& group = entry.group();
  GroupRoute route{{}, ToTopic(entry.queues())};
  route.view.broker_name = group.broker_name();
  if (const auto dns = ParseHostPort(group.group_dns_name()); dns.ok()) {
    route.view.dns_host = dns->host;
    route.view.dns_port = dns->port;
  }
  for (const pb::BrokerMember& member : group.members()) {
    const absl::StatusOr<HostPort> at = ParseHostPort(member.client_address());
    if (!member.serving() || !at.ok()) continue;
    const ResolvedHost host = hosts->Lookup(at->host);
    route.view.members.push_back(RouteMember{MemberId(member.member_id()), member.member_name(),
                                             host.host, at->port, host.scheme, member.leader()});
  }
  OrderMembers(MemberId(group.preferred_member()), &route.view.members);
  return route;
}

}  // namespace

struct NamesrvRoutes::Core {
  struct Seen {
    Entry entry;
    int64_t seen_ms = 0;  // when a NameServer last named it
  };
  struct Topic {
    std::map<std::string, Seen> groups;
    Groups answer;  // null: none yet
    int64_t answered_ms = 0;
    bool asking = false;
    std::vector<Found> waiting;
  };

  // To one NameServer; owns itself.
  struct Question final : CqTag {
    Question(Core* core, std::shared_ptr<Round> round) : core(core), round(std::move(round)) {}

    void Proceed(bool) override {
      core->OnReply(round, status.ok() ? &reply : nullptr);
      delete this;
    }

    Core* const core;
    const std::shared_ptr<Round> round;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<pb::TopicRouteReply>> call;
    pb::TopicRouteReply reply;
    grpc::Status status;
  };

  Core(NamesrvRoutesOptions o, HostNames* h, const Clock* c, grpc::CompletionQueue* q)
      : options(std::move(o)), hosts(h), clock(c), queue(q) {
    for (const std::string& address : options.namesrv_addresses) {
      stubs.push_back(pb::NameServer::NewStub(MakeNamesrvChannel(address)));
    }
  }

  void Ask(const std::string& topic) {
    auto round = std::make_shared<Round>();
    round->topic = topic;
    round->unanswered = stubs.size();
    for (const auto& stub : stubs) {
      pb::TopicRouteRequest request;
      request.set_topic(topic);
      auto* question = new Question(this, round);
      question->context.set_deadline(gpr_time_add(
          gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(options.ask_ms, GPR_TIMESPAN)));
      question->call = stub->PrepareAsyncGetTopicRoute(&question->context, request, queue);
      question->call->StartCall();
      question->call->Finish(&question->reply, &question->status, static_cast<CqTag*>(question));
    }
  }

  // `reply`: null if that NameServer gave none.
  void OnReply(const std::shared_ptr<Round>& round, const pb::TopicRouteReply* reply) {
    std::vector<std::string> names;
    {
      absl::MutexLock lock(&mutex);
      if (reply != nullptr) {
        round->answered = true;
        round->known.insert(reply->known_groups().begin(), reply->known_groups().end());
        for (const Entry& entry : reply->route().entries()) {
          const auto [it, first] = round->groups.try_emplace(entry.group().broker_name(), entry);
          if (!first && IsNewer(entry, it->second)) it->second = entry;
        }
      }
      if (--round->unanswered > 0) return;
      Remember(*round);
      for (const auto& [name, seen] : topics[round->topic].groups) {
        for (std::string& host : HostsOf(seen.entry)) names.push_back(std::move(host));
      }
    }
    hosts->WhenKnown(names, [this, topic = round->topic] { Answer(topic); });
  }

  void Remember(const Round& round) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (!round.answered) return;
    const int64_t now_ms = clock->MonotonicMillis();
    std::map<std::string, Seen>& groups = topics[round.topic].groups;
    for (auto it = groups.begin(); it != groups.end();) {
      const bool unknown_yet = !round.known.contains(it->first);
      const bool keep = unknown_yet && now_ms - it->second.seen_ms < options.keep_ms;
      it = keep ? std::next(it) : groups.erase(it);
    }
    for (const auto& [name, entry] : round.groups) {
      if (name != options.own_broker_name) groups[name] = {entry, now_ms};
    }
  }

  void Answer(const std::string& name) {
    std::vector<Found> waiting;
    Groups answer;
    {
      absl::MutexLock lock(&mutex);
      Topic& topic = topics[name];
      auto routes = std::make_shared<std::vector<GroupRoute>>();
      for (const auto& [broker, seen] : topic.groups) {
        routes->push_back(ToRoute(seen.entry, hosts));
      }
      answer = topic.answer = std::move(routes);
      topic.answered_ms = clock->MonotonicMillis();
      topic.asking = false;
      waiting.swap(topic.waiting);
    }
    for (Found& found : waiting) found(answer);
    absl::MutexLock lock(&mutex);
    --rounds;
  }

  // Makes room for one more.
  void Forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (topics.size() < options.max_topics) return;
    const auto idle = std::find_if(topics.begin(), topics.end(),
                                   [](const auto& topic) { return !topic.second.asking; });
    if (idle != topics.end()) topics.erase(idle);
  }

  const NamesrvRoutesOptions options;
  HostNames* const hosts;
  const Clock* const clock;
  grpc::CompletionQueue* const queue;
  std::vector<std::unique_ptr<pb::NameServer::Stub>> stubs;
  absl::Mutex mutex;
  absl::flat_hash_map<std::string, Topic> topics ABSL_GUARDED_BY(mutex);
  int rounds ABSL_GUARDED_BY(mutex) = 0;  // under way
};

NamesrvRoutes::NamesrvRoutes(NamesrvRoutesOptions options, HostNames* hosts, const Clock* clock,
                             grpc::CompletionQueue* queue)
    : core_(std::make_unique<Core>(std::move(options), hosts, clock, queue)) {}

NamesrvRoutes::~NamesrvRoutes() {
  absl::MutexLock lock(&core_->mutex);
  core_->mutex.Await(absl::Condition(
      +[](int* n) { return *n == 0; }, &core_->rounds));
}

void NamesrvRoutes::Find(const std::string& name, Found found) {
  Groups fresh = core_->stubs.empty() ? std::make_shared<const std::vector<GroupRoute>>() : nullptr;
  if (fresh == nullptr) {
    absl::MutexLock lock(&core_->mutex);
    if (!core_->topics.contains(name)) core_->Forget();
    Core::Topic& topic = core_->topics[name];
    const int64_t age_ms = core_->clock->MonotonicMillis() - topic.answered_ms;
    if (topic.answer != nullptr && age_ms < core_->options.fresh_ms) {
      fresh = topic.answer;
    } else {
      topic.waiting.push_back(std::move(found));
      if (std::exchange(topic.asking, true)) return;
      ++core_->rounds;
    }
  }
  if (fresh != nullptr) return found(std::move(fresh));
  core_->Ask(name);
}

}  // namespace raftmq::broker
