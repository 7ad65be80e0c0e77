#include "store/log_lite_topics.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/strings.h"
#include "store/lite_subscribe_proposal.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

// Deletions of one proposal: one entry that is quickly applied.
constexpr size_t kMaxExpired = 256;

// Nothing was sent to it for so long, or its parent is no more.
bool IsIdle(const BrokerState& state, const std::string& topic, int64_t now_ms) {
  const TopicConfig* lite = state.FindTopic(topic);
  if (lite == nullptr) return false;
  const TopicConfig* parent = state.FindTopic(ParentOfLite(topic));
  if (parent == nullptr) return true;
  if (parent->lite_expiration_minutes < 0) return false;
  const int64_t used_ms =
      std::max(lite->created_ms, state.FindQueue(topic, QueueId(0))->last_store_ms);
  return now_ms - used_ms > int64_t{parent->lite_expiration_minutes} * 60'000;
}

class ExpireProposal final : public dledger::Proposal {
 public:
  ExpireProposal(StoreContext* context, std::vector<std::string> topics,
                 LiteTopics::ExpireCallback done)
      : context_(context), topics_(std::move(topics)), done_(std::move(done)) {}

  // Somebody may have sent to one meanwhile.
  absl::Status Decide(dledger::ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    for (const std::string& topic : topics_) {
      if (!IsIdle(view.state(), topic, view.LogTimeMs())) continue;
      const absl::Status logged = view.Log(DeleteTopic{topic}, writer);
      if (!logged.ok()) return deleted_.empty() ? logged : absl::OkStatus();
      view.TopicChangeLogged(topic);
      context_->sends->PendingDeletion(topic);
      deleted_.push_back(topic);
    }
    return absl::OkStatus();
  }

  void Done(const dledger::ProposalOutcome& outcome) override {
    if (!outcome.status.ok()) return done_(StatusOf(outcome, "expiry of lite topics"));
    if (context_->leading != nullptr && context_->leading->term() == outcome.term) {
      for (const std::string& topic : deleted_) {
        context_->leading->TopicChangeIndexed(topic, outcome.index);
      }
    }
    done_(static_cast<int64_t>(deleted_.size()));
  }

  size_t ByteSize() const override { return 256 * (topics_.size() + 1); }

 private:
  StoreContext* const context_;
  const std::vector<std::string> topics_;
  LiteTopics::ExpireCallback done_;
  std::vector<std::string> deleted_;
};

}  // namespace

absl::Status EnsureLiteTopic(StoreContext& context, const std::string& topic,
                             dledger::ProposalWriter& writer, bool* made) {
  LeaderView& view = context.view();
  const BrokerState& state = view.state();
  const std::string parent_name(ParentOfLite(topic));
  const TopicConfig* parent = state.FindTopic(parent_name);
  if (parent == nullptr) {
    return Refuse(Reason::kTopicNotFound,
                  StrCat("topic ", parent_name, " does not exist; create it first"));
  }
  if (parent->type != TopicType::kLite) {
    return Refuse(Reason::kTypeConflict,
                  StrCat("topic ", parent_name, " is not of type LITE: it has no lite topics"));
  }
  if ((parent->perm & kPermWrite) == 0) {
    return Refuse(Reason::kForbidden,
                  StrCat("topic ", parent_name, " does not take messages (perm ",
                         static_cast<int>(parent->perm), ")"));
  }
  if (state.FindTopic(topic) != nullptr) return absl::OkStatus();
  const auto count = static_cast<int64_t>(state.lite_topic_count());
  if (count >= context.options.max_lite_topics) {
    return Refuse(Reason::kLiteTopicQuota,
                  StrCat("lite topic ", LiteTopicOf(topic), " of topic ", parent_name,
                         " would be one more than the ", context.options.max_lite_topics,
                         " that this broker group may have (maxLmqConsumeQueueNum)"));
  }
  TopicConfig config;
  config.name = topic;
  config.read_queues = config.write_queues = 1;
  config.type = TopicType::kLite;
  RAFTMQ_RETURN_IF_ERROR(view.Log(PutTopic{std::move(config)}, writer));
  view.TopicChangeLogged(topic);
  *made = true;
  return absl::OkStatus();
}

void LogLiteTopics::Subscribe(LiteSubscribeRequest request, SubscribeCallback done) {
  LiteSubscribeProposal::Start(context_, std::move(request), std::move(done));
}

void LogLiteTopics::ExpireIdle(ExpireCallback done) {
  context_->read->Post([context = context_, done = std::move(done)]() mutable {
    std::vector<std::string> idle;
    const int64_t now_ms = context->clock->WallMillis();
    const auto parents =
        context->applied.Read([](const BrokerState& state) { return state.LiteParents(); });
    for (const std::string& parent : parents) {
      std::string after;
      while (idle.size() < kMaxExpired) {
        // Some at a time: the apply thread waits.
        const size_t looked_at = context->applied.Read([&](const BrokerState& state) {
          const auto topics = state.LiteTopicsOf(parent, after, kMaxExpired);
          for (const std::string& topic : topics) {
            if (IsIdle(state, topic, now_ms)) idle.push_back(topic);
          }
          if (!topics.empty()) after = topics.back();
          return topics.size();
        });
        if (looked_at < kMaxExpired) break;
      }
    }
    if (idle.empty()) return done(int64_t{0});
    context->ledger->Propose(
        std::make_unique<ExpireProposal>(context, std::move(idle), std::move(done)));
  });
}

std::vector<std::string> LogLiteTopics::SubscribersOf(const std::string& topic,
                                                      const std::string& group) const {
  std::vector<std::string> clients;
  context_->applied.Read([&](const BrokerState& state) {
    const auto subscribers =
        state.lite_subscriptions().SubscribersOf(ParentOfLite(topic), LiteTopicOf(topic));
    for (const LiteSubscriber& subscriber : subscribers) {
      if (group.empty() || subscriber.group == group) clients.push_back(subscriber.client_id);
    }
  });
  return clients;
}

std::vector<LiteSubscribeRequest> LogLiteTopics::Clients() const {
  std::vector<LiteSubscribeRequest> clients;
  context_->applied.Read([&](const BrokerState& state) {
    for (const auto& [client_id, client] : state.lite_subscriptions().clients()) {
      LiteSubscribeRequest& row = clients.emplace_back();
      row.action = LiteSubscribeRequest::Action::kReplace;
      row.group = client.group;
      row.topic = client.topic;
      row.client_id = client_id;
      row.lite_topics.assign(client.lite_topics.begin(), client.lite_topics.end());
    }
  });
  return clients;
}

int64_t LogLiteTopics::Count(const std::string& parent) const {
  return static_cast<int64_t>(context_->applied.Read(
      [&](const BrokerState& state) { return state.LiteTopicCount(parent); }));
}

std::vector<LiteTopicStatus> LogLiteTopics::List(const std::string& parent,
                                                 const std::string& after, size_t max) const {
  std::vector<LiteTopicStatus> rows;
  context_->applied.Read([&](const BrokerState& state) {
    const std::string from = after.empty() ? "" : LiteTopicName(parent, after);
    for (const std::string& topic : state.LiteTopicsOf(parent, from, max)) {
      LiteTopicStatus& row = rows.emplace_back();
      row.lite_topic = std::string(LiteTopicOf(topic));
      const QueueEnds ends = *state.FindQueue(topic, QueueId(0));
      row.min_offset = ends.min;
      row.max_offset = ends.max;
      row.last_store_ms = ends.last_store_ms;
      for (LiteSubscriber& subscriber :
           state.lite_subscriptions().SubscribersOf(parent, row.lite_topic)) {
        row.subscribers.push_back(std::move(subscriber.client_id));
      }
    }
  });
  return rows;
}

}  // namespace raftmq::store
