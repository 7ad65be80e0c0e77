#include "store/lite_subscribe_proposal.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "base/strings.h"
#include "store/group_start.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

absl::Status Check(const LiteSubscribeRequest& request) {
  RAFTMQ_RETURN_IF_ERROR(CheckGroupName(request.group));
  RAFTMQ_RETURN_IF_ERROR(CheckTopicName(request.topic));
  if (request.client_id.empty() || request.client_id.size() > kMaxClientTextBytes) {
    return Refuse(Reason::kClientIdRequired,
                  StrCat("a subscription to lite topics needs a client id of 1 to ",
                         kMaxClientTextBytes, " bytes"));
  }
  if (request.lite_topics.size() > kMaxCommandItems) {
    return Refuse(Reason::kLiteSubscriptionQuota,
                  StrCat("one request names ", request.lite_topics.size(), " lite topics, at most ",
                         kMaxCommandItems, " are allowed"));
  }
  for (const std::string& lite_topic : request.lite_topics) {
    RAFTMQ_RETURN_IF_ERROR(CheckLiteTopic(lite_topic));
  }
  return absl::OkStatus();
}

}  // namespace

void LiteSubscribeProposal::Start(StoreContext* context, LiteSubscribeRequest request,
                                  LiteTopics::SubscribeCallback done) {
  if (absl::Status status = Check(request); !status.ok()) return done(std::move(status));
  // Named twice is named once.
  std::sort(request.lite_topics.begin(), request.lite_topics.end());
  request.lite_topics.erase(std::unique(request.lite_topics.begin(), request.lite_topics.end()),
                            request.lite_topics.end());
  const bool by_time =
      request.start.has_value() && request.start->kind == LiteStart::Kind::kTimestamp;
  auto proposal =
      std::make_unique<LiteSubscribeProposal>(context, std::move(request), std::move(done));
  if (!by_time) return context->ledger->Propose(std::move(proposal));
  context->read->Post([context, proposal = std::move(proposal)]() mutable {
    proposal->ReadTimes();
    context->ledger->Propose(std::move(proposal));
  });
}

std::string LiteSubscribeProposal::What() const {
  return StrCat("subscription of client ", request_.client_id, " to lite topics of topic ",
                request_.topic, " in group ", request_.group);
}

// Read runner. A lite topic that can't be looked up is consumed from where the group is.
void LiteSubscribeProposal::ReadTimes() {
  for (const std::string& lite_topic : request_.lite_topics) {
    const auto queue =
        context_->queues->Find(LiteTopicName(request_.topic, lite_topic), QueueId(0));
    if (queue == nullptr) continue;
    const auto offset = queue->OffsetByTime(
        request_.start->value, TimeBoundary::kLower,
        [&](const ConsumeQueueEntry& entry) { return context_->records.StoreTime(entry); });
    if (offset.ok()) {
      offsets_by_time_.emplace(lite_topic, *offset);
    } else {
      LOG(ERROR) << What() << ": " << lite_topic << " by time: " << offset.status();
    }
  }
}

absl::Status LiteSubscribeProposal::CheckParent(const BrokerState& state) const {
  const TopicConfig* topic = state.FindTopic(request_.topic);
  if (topic == nullptr) {
    return Refuse(Reason::kTopicNotFound, StrCat("topic ", request_.topic, " does not exist"));
  }
  if (topic->type != TopicType::kLite) {
    return Refuse(Reason::kIllegalTopic,
                  StrCat("topic ", request_.topic, " is not of type LITE: it has no lite topics"));
  }
  return absl::OkStatus();
}

LiteSubscribeProposal::Change LiteSubscribeProposal::Plan(const BrokerState& state,
                                                          bool exclusive) {
  Change change;
  const LiteClient* client = state.lite_subscriptions().Find(request_.client_id);
  const bool here =
      client != nullptr && client->group == request_.group && client->topic == request_.topic;
  static const std::set<std::string> kNone;
  const std::set<std::string>& now = here ? client->lite_topics : kNone;
  const std::set<std::string> named(request_.lite_topics.begin(), request_.lite_topics.end());
  const bool adds = request_.action == Action::kAdd || request_.action == Action::kReplace;
  for (const std::string& lite_topic : now) {
    if (request_.action == Action::kLeave ||
        (request_.action == Action::kReplace && !named.contains(lite_topic)) ||
        (request_.action == Action::kRemove && named.contains(lite_topic))) {
      change.removed.push_back(lite_topic);
    }
  }
  for (const std::string& lite_topic : named) {
    if (!adds || now.contains(lite_topic)) continue;
    bool is_free = true;
    if (exclusive) {
      for (LiteSubscriber& other :
           state.lite_subscriptions().SubscribersOf(request_.topic, lite_topic)) {
        if (other.group != request_.group || other.client_id == request_.client_id) continue;
        if (request_.action == Action::kAdd) {
          change.taken.push_back({std::move(other.client_id), lite_topic});
        } else {
          // It did not hear yet that it lost it: it is told again.
          is_free = false;
        }
      }
    }
    if (is_free) {
      change.added.push_back(lite_topic);
    } else {
      result_.lost.push_back({request_.client_id, lite_topic});
    }
  }
  change.size = now.size() + change.added.size() - change.removed.size();
  return change;
}

absl::Status LiteSubscribeProposal::CheckQuota(const BrokerState& state,
                                               const Change& change) const {
  if (change.added.empty()) return absl::OkStatus();
  const GroupConfig* group = state.FindGroup(request_.group);
  const auto quota = group == nullptr ? GroupConfig().lite_client_quota : group->lite_client_quota;
  if (change.size > static_cast<size_t>(std::max(quota, 0))) {
    return Refuse(Reason::kLiteSubscriptionQuota,
                  StrCat("client ", request_.client_id, " would have subscribed to ", change.size,
                         " lite topics, group ", request_.group, " allows ", quota,
                         " (lite.sub.client.quota)"));
  }
  const size_t all = state.lite_subscriptions().size() + change.added.size();
  if (all > static_cast<size_t>(context_->options.max_lite_subscriptions)) {
    return Refuse(
        Reason::kLiteSubscriptionQuota,
        StrCat("this broker group would have ", all, " subscriptions to lite topics, at most ",
               context_->options.max_lite_subscriptions,
               " are allowed (maxLiteSubscriptionCount)"));
  }
  return absl::OkStatus();
}

absl::Status LiteSubscribeProposal::LogOne(CommandBody body, dledger::ProposalWriter& writer) {
  RAFTMQ_RETURN_IF_ERROR(context_->view().Log(std::move(body), writer));
  logged_ = true;
  return absl::OkStatus();
}

absl::Status LiteSubscribeProposal::Decide(dledger::ProposalWriter& writer) {
  const BrokerState& state = context_->view().state();
  if (request_.action != Action::kLeave && request_.action != Action::kRemove) {
    RAFTMQ_RETURN_IF_ERROR(CheckParent(state));
  }
  const GroupConfig* group = state.FindGroup(request_.group);
  const Change change = Plan(state, group != nullptr && group->lite_exclusive);
  RAFTMQ_RETURN_IF_ERROR(CheckQuota(state, change));
  absl::Status logged = LogAll(change, writer);
  if (!logged_) return logged;
  cut_short_ = std::move(logged);
  return absl::OkStatus();
}

absl::Status LiteSubscribeProposal::LogAll(const Change& change, dledger::ProposalWriter& writer) {
  const BrokerState& state = context_->view().state();
  const LiteClient* client = state.lite_subscriptions().Find(request_.client_id);
  if (client != nullptr && (client->group != request_.group || client->topic != request_.topic)) {
    SubscribeLite leave{client->group, client->topic, request_.client_id, {}, {}};
    leave.removed.assign(client->lite_topics.begin(), client->lite_topics.end());
    RAFTMQ_RETURN_IF_ERROR(LogOne(std::move(leave), writer));
  }
  for (const LiteSubscribeResult::Lost& taken : change.taken) {
    RAFTMQ_RETURN_IF_ERROR(LogOne(
        SubscribeLite{request_.group, request_.topic, taken.client_id, {}, {taken.lite_topic}},
        writer));
    result_.lost.push_back(taken);
  }
  if (!change.added.empty() && state.FindGroup(request_.group) == nullptr) {
    GroupConfig config;
    config.name = request_.group;
    RAFTMQ_RETURN_IF_ERROR(LogOne(PutGroup{std::move(config)}, writer));
  }
  if (!change.added.empty() || !change.removed.empty()) {
    RAFTMQ_RETURN_IF_ERROR(LogOne(SubscribeLite{request_.group, request_.topic, request_.client_id,
                                                change.added, change.removed},
                                  writer));
  }
  return LogStarts(request_.start.has_value() ? request_.lite_topics : change.added, writer);
}

std::optional<QueueOffset> LiteSubscribeProposal::StartOf(const std::string& lite_topic,
                                                          const QueueEnds& ends) const {
  if (!request_.start.has_value() || request_.action != Action::kAdd) return std::nullopt;
  const int64_t value = std::max<int64_t>(request_.start->value, 0);
  switch (request_.start->kind) {
    case LiteStart::Kind::kMin:
      return ends.min;
    case LiteStart::Kind::kMax:
      return ends.max;
    case LiteStart::Kind::kOffset:
      return std::clamp(QueueOffset(value), ends.min, ends.max);
    case LiteStart::Kind::kTailN:
      return value >= ends.max - ends.min ? ends.min : ends.max - value;
    case LiteStart::Kind::kTimestamp: {
      const auto offset = offsets_by_time_.find(lite_topic);
      if (offset == offsets_by_time_.end()) return std::nullopt;
      return std::clamp(offset->second, ends.min, ends.max);
    }
  }
  return std::nullopt;
}

absl::Status LiteSubscribeProposal::LogStarts(const std::vector<std::string>& lite_topics,
                                              dledger::ProposalWriter& writer) {
  LeaderView& view = context_->view();
  for (const std::string& lite_topic : lite_topics) {
    const std::string topic = LiteTopicName(request_.topic, lite_topic);
    const auto ends = view.state().FindQueue(topic, QueueId(0));
    const GroupConfig* group = view.state().FindGroup(request_.group);
    if (!ends.has_value() || group == nullptr) continue;
    const std::optional<QueueOffset> start = StartOf(lite_topic, *ends);
    const bool begins = !view.state().HasPositions(request_.group, topic);
    // Of a group that begins with what comes from now on, now is now. Any other is started when
    // something is first received.
    if (begins && (start.has_value() || group->consume_from == ConsumeFrom::kLast)) {
      InitPositions init{request_.group, topic, {{QueueId(0), start.value_or(ends->max)}}};
      RAFTMQ_RETURN_IF_ERROR(LogOne(std::move(init), writer));
    } else if (start.has_value()) {
      RAFTMQ_RETURN_IF_ERROR(
          LogOne(UpdateOffset{request_.group, topic, QueueId(0), *start}, writer));
    }
  }
  return absl::OkStatus();
}

void LiteSubscribeProposal::Done(const dledger::ProposalOutcome& outcome) {
  if (!outcome.status.ok()) return done_(StatusOf(outcome, What()));
  if (!cut_short_.ok()) {
    return done_(
        Refuse(Reason::kBusy, StrCat(What(), " was taken in part only: ", Message(cut_short_))));
  }
  if (!logged_) return done_(std::move(result_));
  context_->applied.WhenApplied(
      outcome.index, [what = What(), result = std::move(result_),
                      done = std::move(done_)](const absl::Status& applied) mutable {
        if (applied.ok()) return done(std::move(result));
        done(Refuse(Reason::kUnknownOutcome,
                    StrCat(what, ": committed, but this broker stopped before applying it: ",
                           Message(applied))));
      });
}

}  // namespace raftmq::store
