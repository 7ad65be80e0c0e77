#include "store/log_retention.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

using dledger::ProposalOutcome;
using dledger::ProposalWriter;

// RocketMQ removes ten files in a round.
constexpr int64_t kSegmentsPerCall = 10;
// What one command has copied, and how large it is; the latter also a small part of a segment.
constexpr int64_t kKeptBytesPerCommand = 4 << 20;
constexpr int64_t kMaxCommandBytes = 64 << 10;
constexpr size_t kQueuesPerCommand = 100;
constexpr int64_t kQueueBytes = 14;  // and its topic
constexpr int64_t kKeptItemBytes = 12;
// How often leases that came meanwhile are looked up.
constexpr int kMaxLookUps = 32;

using Place = std::tuple<std::string, QueueId, QueueOffset>;

}  // namespace

class LogRetention::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(LogRetention* owner, Limits limits, ExpireCallback done)
      : owner_(owner), context_(owner->context_), limits_(limits), done_(std::move(done)) {}

  ~Run() {
    if (done_ != nullptr) End(Refuse(Reason::kStopped, "retention: this broker is stopping"));
  }

  void Start() {
    context_->read->Post([self = shared_from_this()] {
      const absl::Status planned = self->Plan();
      if (!planned.ok()) return self->End(planned);
      if (!self->log_expires() && self->queues_.empty()) return self->End(self->outcome_);
      self->Propose();
    });
  }

  absl::Status Decide(ProposalWriter& writer);
  void OnDecided(const ProposalOutcome& outcome);

 private:
  struct Queue {
    std::string topic;
    LogIndex created_index;
    QueueId queue;
    QueueOffset min;
    int64_t oldest_ms = 0;  // by its topic's reserve time; 0: as old as the log
  };

  bool log_expires() const { return target_ > outcome_.previous; }

  // Read runner.
  absl::Status Plan();
  absl::StatusOr<LogPosition> PickTarget(const dledger::LedgerStatus& status);
  absl::StatusOr<int64_t> NewestBefore(LogPosition boundary);
  absl::Status FindQueues();
  int64_t OldestOf(const BrokerState& state, const TopicConfig& topic) const;
  absl::StatusOr<QueueOffset> NewMinOf(const Queue& queue, ConsumeQueue* consume_queue);
  absl::StatusOr<QueueOffset> FirstNotOlder(const Queue& queue, ConsumeQueue* consume_queue);
  absl::Status FindPending();
  absl::Status LookUp(const Place& place);
  void LookUpMissing();

  // Replica thread.
  size_t TakeQueues(LeaderView& view, Retain* retain);
  void Propose();
  void End(absl::StatusOr<Outcome> outcome) {
    owner_->running_.store(false);
    auto done = std::exchange(done_, nullptr);
    done(std::move(outcome));
  }

  LogRetention* const owner_;
  StoreContext* const context_;
  const Limits limits_;
  ExpireCallback done_;
  Outcome outcome_;
  LogPosition target_;
  int64_t log_ms_ = 0;  // of the plan
  int64_t max_command_bytes_ = kMaxCommandBytes;

  std::vector<Retain::Kept> pending_;  // to be kept ahead, in log order
  std::vector<Queue> queues_;
  std::map<Place, Retain::Kept> leased_;  // where leased messages are
  size_t next_pending_ = 0;
  size_t next_queue_ = 0;
  int look_ups_ = 0;

  // Of the proposal under way.
  size_t taken_pending_ = 0;
  size_t taken_queues_ = 0;
  bool last_ = false;
  std::vector<Place> missing_;
};

class LogRetention::Step final : public dledger::Proposal {
 public:
  explicit Step(std::shared_ptr<Run> run) : run_(std::move(run)) {}
  absl::Status Decide(ProposalWriter& writer) override { return run_->Decide(writer); }
  void Done(const ProposalOutcome& outcome) override { run_->OnDecided(outcome); }

 private:
  const std::shared_ptr<Run> run_;
};

// ---- Read runner

absl::Status LogRetention::Run::Plan() {
  const std::shared_ptr<const dledger::LedgerStatus> status = context_->ledger->Status();
  if (status->role != dledger::Role::kLeader || !status->serving) {
    return Refuse(Reason::kNotLeader, "retention is decided by the leader");
  }
  max_command_bytes_ = std::min(kMaxCommandBytes, status->segment_size / 16);
  outcome_.previous = outcome_.min_position =
      context_->applied.Read([](const BrokerState& state) { return state.min_position(); });
  RAFTMQ_ASSIGN_OR_RETURN(target_, PickTarget(*status));
  if (!log_expires() && !limits_.by_topic) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(FindQueues());
  return FindPending();
}

absl::StatusOr<LogPosition> LogRetention::Run::PickTarget(const dledger::LedgerStatus& status) {
  const int64_t size = status.segment_size;
  const auto boundary = [size](LogPosition p) { return LogPosition(p.value() / size * size); };
  const LogPosition begin = boundary(std::max(outcome_.min_position, status.first_position));
  // Not the segment that is written, nor what is not applied here: its offsets are not known.
  // Nor what repeated sends are known by: a restart reads it again. Which that is the log's time
  // says, as the decision will move it: nothing else does on an idle broker.
  log_ms_ = std::max(
      context_->clock->WallMillis(),
      context_->applied.Read([](const BrokerState& state) { return state.log_time_ms(); }));
  const LogPosition known = boundary(
      std::min({status.end_position, context_->applied.end(), context_->sends->OldestAt(log_ms_)}));
  LogPosition wanted = begin;
  if (limits_.max_bytes > 0) {
    const int64_t over = status.end_position - begin - limits_.max_bytes;
    if (over > 0) wanted = std::min(known, begin + (over + size - 1) / size * size);
  }
  if (limits_.reserved_ms > 0) {
    const int64_t oldest_ms = context_->clock->WallMillis() - limits_.reserved_ms;
    const LogPosition end = std::min(known, begin + kSegmentsPerCall * size);
    for (LogPosition next = std::max(wanted, begin) + size; next <= end; next += size) {
      RAFTMQ_ASSIGN_OR_RETURN(const int64_t newest_ms, NewestBefore(next));
      if (newest_ms >= oldest_ms) break;
      wanted = next;
    }
  }
  const LogPosition limit = boundary(status.held_by_all);
  if (wanted > limit) {
    outcome_.held_up_by = status.held_up_by;
    wanted = limit;
  }
  const LogPosition most = begin + kSegmentsPerCall * size;
  outcome_.more = wanted > most;
  return std::min(wanted, most);
}

// No message before `boundary` is newer than this: the store time of the first one from there on,
// or of the very last one.
absl::StatusOr<int64_t> LogRetention::Run::NewestBefore(LogPosition boundary) {
  Age& age = owner_->age_;
  if (age.boundary == boundary) return age.newest_ms;
  ConsumeQueueEntry first;
  first.position = LogPosition(std::numeric_limits<int64_t>::max());
  for (const auto& queue : context_->queues->List()) {
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset offset, queue->FirstFrom(boundary));
    if (offset >= queue->MaxOffset()) continue;
    RAFTMQ_ASSIGN_OR_RETURN(const ConsumeQueueEntry entry, queue->Get(offset));
    if (entry.position < first.position) first = entry;
  }
  if (first.size > 0) {
    RAFTMQ_ASSIGN_OR_RETURN(age.newest_ms, context_->records.StoreTime(first));
  } else {
    age.newest_ms =
        context_->applied.Read([](const BrokerState& state) { return state.log_time_ms(); });
  }
  age.boundary = boundary;
  return age.newest_ms;
}

// Lite topics go by what their parent says.
int64_t LogRetention::Run::OldestOf(const BrokerState& state, const TopicConfig& topic) const {
  if (!limits_.by_topic) return 0;
  const TopicConfig* config =
      IsLiteTopic(topic.name) ? state.FindTopic(ParentOfLite(topic.name)) : &topic;
  if (config == nullptr || config->reserve_hours < 0) return 0;
  return context_->clock->WallMillis() - int64_t{config->reserve_hours} * 3'600'000;
}

absl::StatusOr<QueueOffset> LogRetention::Run::FirstNotOlder(const Queue& queue,
                                                             ConsumeQueue* consume_queue) {
  const ConsumeQueue::StoreTimeOf store_time_of = [this](const ConsumeQueueEntry& entry) {
    return context_->records.StoreTime(entry);
  };
  // Mostly there is nothing to do, which the first message tells.
  RAFTMQ_ASSIGN_OR_RETURN(const ConsumeQueueEntry first, consume_queue->Get(queue.min));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t first_ms, store_time_of(first));
  if (first_ms >= queue.oldest_ms) return queue.min;
  return consume_queue->OffsetByTime(queue.oldest_ms, TimeBoundary::kLower, store_time_of);
}

absl::StatusOr<QueueOffset> LogRetention::Run::NewMinOf(const Queue& queue,
                                                        ConsumeQueue* consume_queue) {
  QueueOffset min = queue.min;
  if (log_expires()) {
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset first, consume_queue->FirstFrom(target_));
    min = std::max(min, first);
  }
  if (queue.oldest_ms <= 0) return min;
  const absl::StatusOr<QueueOffset> young = FirstNotOlder(queue, consume_queue);
  if (young.ok()) return std::max(min, *young);
  // One record that cannot be read here does not hold up the log.
  LOG(ERROR) << "retention of topic " << queue.topic << " queue " << queue.queue
             << " by its reserve.time: " << young.status();
  return min;
}

absl::Status LogRetention::Run::FindQueues() {
  context_->applied.Read([&](const BrokerState& state) {
    for (const TopicConfig& topic : state.Topics()) {
      const int64_t oldest_ms = OldestOf(state, topic);
      if (!log_expires() && oldest_ms <= 0) continue;
      for (int32_t q = 0; q < state.QueueCount(topic.name); ++q) {
        const QueueEnds ends = *state.FindQueue(topic.name, QueueId(q));
        if (ends.min == ends.max) continue;
        queues_.push_back({topic.name, topic.created_index, QueueId(q), ends.min, oldest_ms});
      }
    }
  });
  std::vector<Queue> moved;
  for (Queue& queue : queues_) {
    const auto consume_queue = context_->queues->Find(queue.topic, queue.queue);
    if (consume_queue == nullptr) continue;  // deleted since
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset first, NewMinOf(queue, consume_queue.get()));
    if (first <= queue.min) continue;
    queue.min = first;
    moved.push_back(std::move(queue));
  }
  queues_ = std::move(moved);
  return absl::OkStatus();
}

// What is kept ahead: most of it. Nothing more waits below the target later, except for leases.
absl::Status LogRetention::Run::FindPending() {
  std::vector<Place> leases;
  context_->applied.Read([&](const BrokerState& state) {
    const auto add = [&](LogPosition position, int32_t size) {
      if (position < target_ && !state.kept().Contains(position)) {
        pending_.push_back({position, size});
      }
    };
    if (log_expires()) {
      state.timers().ForEach(
          [&](const Timer& timer) { add(timer.ref.position, timer.record_size); });
      state.transactions().ForEach(
          [&](LogPosition position, const HalfMessage& half) { add(position, half.record_size); });
    }
    for (const Queue& queue : queues_) {
      const QueueOffset kept_below = state.FindQueue(queue.topic, queue.queue)->min;
      for (const QueueOffset offset :
           state.InflightBetween(queue.topic, queue.queue, kept_below, queue.min)) {
        leases.emplace_back(queue.topic, queue.queue, offset);
      }
    }
  });
  for (const Place& place : leases) {
    const absl::Status found = LookUp(place);
    if (absl::IsOutOfRange(found)) continue;  // its topic was deleted meanwhile
    RAFTMQ_RETURN_IF_ERROR(found);
    pending_.push_back(leased_[place]);
  }
  std::sort(pending_.begin(), pending_.end(),
            [](const Retain::Kept& a, const Retain::Kept& b) { return a.position < b.position; });
  pending_.erase(std::unique(pending_.begin(), pending_.end()), pending_.end());
  return absl::OkStatus();
}

absl::Status LogRetention::Run::LookUp(const Place& place) {
  if (leased_.contains(place)) return absl::OkStatus();
  const auto& [topic, queue, offset] = place;
  const auto consume_queue = context_->queues->Find(topic, queue);
  if (consume_queue == nullptr) return absl::OutOfRangeError(StrCat("topic ", topic, " is gone"));
  RAFTMQ_ASSIGN_OR_RETURN(const ConsumeQueueEntry entry, consume_queue->Get(offset));
  leased_[place] = {entry.position, entry.size};
  return absl::OkStatus();
}

// What was leased between the plan and the decision.
void LogRetention::Run::LookUpMissing() {
  if (++look_ups_ > kMaxLookUps) {
    return End(Refuse(Reason::kBusy, "retention: consumers take what is to expire too fast"));
  }
  for (const Place& place : missing_) {
    const absl::Status found = LookUp(place);
    if (!found.ok()) return End(found);
  }
  Propose();
}

// ---- Replica thread

void LogRetention::Run::Propose() {
  context_->ledger->Propose(std::make_unique<Step>(shared_from_this()));
}

// As many of the queues as fit, with all that is leased in them below their new first offset; names
// what is not looked up yet.
size_t LogRetention::Run::TakeQueues(LeaderView& view, Retain* retain) {
  size_t taken = 0;
  int64_t bytes = 0;
  context_->applied.Read([&](const BrokerState& applied) {
    for (size_t i = next_queue_; i < queues_.size() && taken < kQueuesPerCommand; ++i) {
      const Queue& queue = queues_[i];
      if (taken > 0 && bytes > max_command_bytes_) break;
      ++taken;
      const TopicConfig* topic = applied.FindTopic(queue.topic);
      const bool same = topic != nullptr && topic->created_index == queue.created_index &&
                        !view.TopicChangePending(queue.topic, applied.applied_index());
      const auto ends = view.state().FindQueue(queue.topic, queue.queue);
      // A topic that was deleted has no old messages, nor has its namesake.
      if (!same || !ends.has_value() || queue.min <= ends->min) continue;
      retain->queues.push_back({queue.topic, queue.queue, queue.min});
      bytes += kQueueBytes + static_cast<int64_t>(queue.topic.size());
      // What is leased below the present first offset was kept when that moved.
      for (const QueueOffset offset :
           view.state().InflightBetween(queue.topic, queue.queue, ends->min, queue.min)) {
        const Place place(queue.topic, queue.queue, offset);
        const auto found = leased_.find(place);
        if (found == leased_.end()) {
          missing_.push_back(place);
          continue;
        }
        retain->kept.push_back(found->second);
        bytes += kKeptItemBytes;
      }
    }
  });
  return taken;
}

absl::Status LogRetention::Run::Decide(ProposalWriter& writer) {
  LeaderView& view = context_->view();
  taken_pending_ = taken_queues_ = 0;
  last_ = false;
  missing_.clear();
  // Else what goes may be in the dedupe window again, for a leader that does not have it.
  if (log_expires() && view.LogTimeMs() < log_ms_) {
    return Refuse(Reason::kBusy, "the clock was set back meanwhile: try again in a moment");
  }
  Retain retain;
  retain.min_position = view.state().min_position();
  if (next_pending_ < pending_.size()) {
    int64_t copied = 0;
    int64_t bytes = 0;
    for (size_t i = next_pending_;
         i < pending_.size() && bytes < max_command_bytes_ && copied < kKeptBytesPerCommand; ++i) {
      retain.kept.push_back(pending_[i]);
      bytes += kKeptItemBytes;
      copied += pending_[i].size;
      ++taken_pending_;
    }
  } else {
    taken_queues_ = TakeQueues(view, &retain);
    last_ = next_queue_ + taken_queues_ == queues_.size();
    if (last_) retain.min_position = std::max(retain.min_position, target_);
  }
  if (!missing_.empty()) return absl::OkStatus();
  return view.Log(std::move(retain), writer);
}

void LogRetention::Run::OnDecided(const ProposalOutcome& outcome) {
  if (!outcome.status.ok()) return End(StatusOf(outcome, "retention"));
  if (!missing_.empty()) {
    context_->read->Post([self = shared_from_this()] { self->LookUpMissing(); });
    return;
  }
  next_pending_ += taken_pending_;
  next_queue_ += taken_queues_;
  if (!last_) return Propose();
  outcome_.queues_moved = static_cast<int64_t>(queues_.size());
  outcome_.moved = log_expires();
  if (outcome_.moved) outcome_.min_position = target_;
  // The next call looks at what this one has changed.
  context_->applied.WhenApplied(outcome.index, [self = shared_from_this()](absl::Status applied) {
    if (!applied.ok()) return self->End(Refuse(Reason::kStopped, Message(applied)));
    self->End(self->outcome_);
  });
}

// ---- Any thread

void LogRetention::Expire(Limits limits, ExpireCallback done) {
  if (running_.exchange(true)) {
    return done(Refuse(Reason::kBusy, "retention is under way already: try again in a moment"));
  }
  std::make_shared<Run>(this, limits, std::move(done))->Start();
}

Retention::Counters LogRetention::counters() const {
  Counters counters;
  context_->applied.Read([&](const BrokerState& state) {
    counters.min_position = state.min_position();
    counters.kept_records = static_cast<int64_t>(state.kept().size());
    counters.kept_bytes = state.kept().bytes();
  });
  counters.missed_messages = missed_();
  return counters;
}

}  // namespace raftmq::store
