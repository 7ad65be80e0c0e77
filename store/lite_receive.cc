#include "store/lite_receive.h"

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/strings.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"
#include "store/receive_call.h"

namespace raftmq::store {
namespace {

// Lite topics that are looked at while the apply thread waits.
constexpr size_t kLooksAtOnce = 256;
// Grants of one receive.
constexpr size_t kMaxCandidates = 64;

void KeepEarlier(const std::optional<int64_t>& candidate, std::optional<int64_t>* earliest) {
  if (candidate.has_value()) *earliest = std::min(*candidate, earliest->value_or(*candidate));
}

}  // namespace

class LiteReceive::LookProposal final : public dledger::Proposal {
 public:
  explicit LookProposal(Ptr call) : call_(std::move(call)) {}

  absl::Status Decide(dledger::ProposalWriter&) override { return call_->Decide(); }
  void Done(const dledger::ProposalOutcome& outcome) override {
    Continue(std::move(call_), outcome);
  }

 private:
  Ptr call_;
};

// Collects the answers of the calls of one receive. The last one answers for all.
class LiteReceive::Join {
 public:
  Join(Ptr call, size_t calls) : call_(std::move(call)), left_(calls), results_(calls) {}

  void Add(size_t i, absl::StatusOr<ReceiveResult> result) {
    std::vector<absl::StatusOr<ReceiveResult>> results;
    {
      absl::MutexLock lock(&mutex_);
      results_[i] = std::move(result);
      if (--left_ > 0) return;
      results = std::move(results_);
    }
    Finish(std::move(results));
  }

 private:
  void Finish(std::vector<absl::StatusOr<ReceiveResult>> results) {
    ReceiveResult all;
    all.next_visible_in_ms = call_->next_visible_in_ms_;
    absl::Status error;
    for (absl::StatusOr<ReceiveResult>& result : results) {
      if (!result.ok()) {
        // One that was deleted meanwhile has nothing to give.
        if (error.ok() && ReasonOf(result.status()) != Reason::kTopicNotFound) {
          error = result.status();
        }
        continue;
      }
      std::move(result->deliveries.begin(), result->deliveries.end(),
                std::back_inserter(all.deliveries));
      KeepEarlier(result->next_visible_in_ms, &all.next_visible_in_ms);
    }
    // What was given must be delivered; who could not be asked is asked the next time.
    if (all.deliveries.empty() && !error.ok()) return call_->Answer(std::move(error));
    call_->Answer(std::move(all));
  }

  Ptr call_;
  absl::Mutex mutex_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::StatusOr<ReceiveResult>> results_ ABSL_GUARDED_BY(mutex_);
};

LiteReceive::LiteReceive(StoreContext* context, ReceiveRequest request,
                         MessageStore::ReceiveCallback done)
    : context_(context),
      request_(std::move(request)),
      done_(std::move(done)),
      turn_(context->receive_turn.fetch_add(1, std::memory_order_relaxed)) {
  request_.max_messages =
      std::min(request_.max_messages, context_->options.max_messages_per_receive);
}

LiteReceive::~LiteReceive() {
  if (done_ != nullptr) {
    Answer(Refuse(Reason::kStopped,
                  StrCat("receive of group ", request_.group, " from lite topics of topic ",
                         request_.topic, ": this broker is stopping")));
  }
  context_->pending_receives.fetch_sub(1, std::memory_order_relaxed);
}

void LiteReceive::Answer(absl::StatusOr<ReceiveResult> result) {
  auto done = std::exchange(done_, nullptr);
  done(std::move(result));
}

void LiteReceive::Start(StoreContext* context, ReceiveRequest request,
                        MessageStore::ReceiveCallback done) {
  const int32_t before = context->pending_receives.fetch_add(1, std::memory_order_relaxed);
  Ptr call(new LiteReceive(context, std::move(request), std::move(done)));
  if (before >= context->options.max_pending_receives) {
    return call->Answer(
        Refuse(Reason::kBusy, StrCat("there are ", before, " receives under way, at most ",
                                     context->options.max_pending_receives, " are allowed")));
  }
  if (call->request_.max_messages <= 0) {
    return call->Answer(
        Refuse(Reason::kMessageCorrupted,
               StrCat("max_messages is ", call->request_.max_messages, ", must be at least 1")));
  }
  context->ledger->Propose(std::make_unique<LookProposal>(std::move(call)));
}

absl::Status LiteReceive::Decide() {
  LeaderView& view = context_->view();
  const TopicConfig* topic = view.state().FindTopic(request_.topic);
  if (topic == nullptr) {
    return Refuse(Reason::kTopicNotFound, StrCat("topic ", request_.topic, " does not exist"));
  }
  if (topic->type != TopicType::kLite) {
    return Refuse(Reason::kIllegalTopic,
                  StrCat("topic ", request_.topic, " is not of type LITE: it has no lite topics"));
  }
  if ((topic->perm & kPermRead) == 0) {
    return Refuse(Reason::kForbidden, StrCat("topic ", request_.topic, " is not readable (perm ",
                                             static_cast<int>(topic->perm), ")"));
  }
  lease_now_ms_ = view.LeaseTimeMs();
  const LiteClient* client = view.state().lite_subscriptions().Find(request_.client_id);
  if (client != nullptr && client->group == request_.group && client->topic == request_.topic) {
    lite_topics_.assign(client->lite_topics.begin(), client->lite_topics.end());
  }
  return absl::OkStatus();
}

void LiteReceive::Continue(Ptr call, const dledger::ProposalOutcome& outcome) {
  if (!outcome.status.ok()) {
    return call->Answer(
        StatusOf(outcome, StrCat("receive of group ", call->request_.group,
                                 " from lite topics of topic ", call->request_.topic)));
  }
  if (call->lite_topics_.empty()) return call->Answer(ReceiveResult());
  TaskRunner* const read = call->context_->read;
  read->Post([call = std::move(call)]() mutable {
    call->Scan();
    if (call->candidates_.empty()) {
      ReceiveResult nothing;
      nothing.next_visible_in_ms = call->next_visible_in_ms_;
      call->Answer(std::move(nothing));
    } else {
      ReceiveAll(std::move(call));
    }
  });
}

// Whether the lite topic has something for the group; if not, when it will. What this finds is a
// guess that the grant itself is decided without.
void LiteReceive::Look(const BrokerState& state, const std::string& lite_topic) {
  std::string topic = LiteTopicName(request_.topic, lite_topic);
  const auto ends = state.FindQueue(topic, QueueId(0));
  if (!ends.has_value()) return;
  const Position* position = state.FindPosition(request_.group, topic, QueueId(0));
  if (position == nullptr) {
    if (ends->min < ends->max) candidates_.push_back({std::move(topic), ends->max - ends->min});
    return;
  }
  if (position->inflight_size() == 0) {
    if (position->next() < ends->max) {
      candidates_.push_back({std::move(topic), ends->max - position->next()});
    }
    return;
  }
  // The first that is not acked holds up the others.
  const Lease& first = position->inflight().begin()->second;
  const bool own = !request_.attempt_id.empty() && first.owner->attempt_id == request_.attempt_id &&
                   first.owner->client_id == request_.client_id;
  if (own || first.until_ms <= lease_now_ms_) {
    candidates_.push_back({std::move(topic), position->inflight_size()});
  } else {
    KeepEarlier(first.until_ms - lease_now_ms_, &next_visible_in_ms_);
  }
}

void LiteReceive::Scan() {
  const size_t most =
      std::min(kMaxCandidates, static_cast<size_t>(std::max(request_.max_messages, 1)));
  std::rotate(lite_topics_.begin(),
              lite_topics_.begin() + static_cast<ptrdiff_t>(turn_ % lite_topics_.size()),
              lite_topics_.end());
  for (size_t at = 0; at < lite_topics_.size() && candidates_.size() < most; at += kLooksAtOnce) {
    const size_t end = std::min(lite_topics_.size(), at + kLooksAtOnce);
    context_->applied.Read([&](const BrokerState& state) {
      for (size_t i = at; i < end && candidates_.size() < most; ++i) Look(state, lite_topics_[i]);
    });
  }
}

void LiteReceive::ReceiveAll(Ptr call) {
  std::vector<Candidate> candidates = std::move(call->candidates_);
  const ReceiveRequest request = call->request_;
  StoreContext* const context = call->context_;
  // Each its share, and the first ones what the others have no use for.
  int64_t left = request.max_messages;
  const int64_t share = std::max<int64_t>(1, left / static_cast<int64_t>(candidates.size()));
  std::vector<int64_t> messages;
  for (const Candidate& candidate : candidates) {
    messages.push_back(std::min(candidate.messages, share));
    left -= messages.back();
  }
  for (size_t i = 0; i < candidates.size() && left > 0; ++i) {
    const int64_t more = std::min(candidates[i].messages - messages[i], left);
    messages[i] += more;
    left -= more;
  }
  auto join = std::make_shared<Join>(std::move(call), candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    ReceiveRequest one = request;
    one.lite = false;
    one.topic = std::move(candidates[i].topic);
    one.max_messages = static_cast<int32_t>(messages[i]);
    ReceiveCall::Start(context, std::move(one), [join, i](absl::StatusOr<ReceiveResult> result) {
      join->Add(i, std::move(result));
    });
  }
}

}  // namespace raftmq::store
