#include "store/leader_view.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::store {

LeaderView::LeaderView(Term term, BrokerState state, const Clock* clock)
    : term_(term),
      state_(std::move(state)),
      clock_(clock),
      lease_base_ms_(state_.lease_time_ms()),
      began_nanos_(clock->MonotonicNanos()) {}

int64_t LeaderView::LogTimeMs() const {
  return std::max(clock_->WallMillis(), state_.log_time_ms());
}

int64_t LeaderView::LeaseTimeMs() const {
  return lease_base_ms_ + (clock_->MonotonicNanos() - began_nanos_) / 1'000'000;
}

int64_t LeaderView::LeaseEndMs(int64_t invisible_ms) const {
  // The clock's milliseconds are rounded down, so an end is rounded up: else a lease that begins
  // late in one millisecond and is looked at early in another would be too short.
  if (invisible_ms == 0) return LeaseTimeMs();
  const int64_t since_nanos = clock_->MonotonicNanos() - began_nanos_;
  return lease_base_ms_ + (since_nanos + 999'999) / 1'000'000 + invisible_ms;
}

absl::Status LeaderView::Log(CommandBody body, dledger::ProposalWriter& writer) {
  const Command command{LogTimeMs(), LeaseTimeMs(), std::move(body)};
  RAFTMQ_RETURN_IF_ERROR(writer.AppendCommand(EncodeCommand(command)));
  const absl::Status applied = state_.Apply(command, kPendingIndex);
  // Every member will fail on this entry, so it must not get further than here.
  CHECK(applied.ok()) << CommandName(command.body)
                      << " was decided but does not apply: " << applied;
  if (const auto* settle = std::get_if<Settle>(&command.body)) {
    RememberSettled(settle->settles, TransactionEnd::kRolledBack);
  }
  return absl::OkStatus();
}

bool LeaderView::IsOpen(const Settlement& settlement, const BrokerState& applied) {
  if (const auto* lease = std::get_if<LeaseRef>(&settlement)) {
    const Lease* found = state_.FindLease(lease->group, lease->topic, lease->queue, lease->offset);
    return found != nullptr && found->lease_id == lease->lease_id;
  }
  if (const auto* redrive = std::get_if<RedriveRef>(&settlement)) {
    const std::optional<QueueEnds> ends = state_.FindQueue(redrive->topic, redrive->queue);
    return ends.has_value() && redrive->offset < ends->max &&
           !state_.redriven().Contains(redrive->topic, redrive->queue, redrive->offset);
  }
  if (settled_.size() >= prune_settled_at_) PruneSettled(applied);
  if (const auto* timer = std::get_if<TimerRef>(&settlement)) {
    return applied.timers().Contains(*timer) && !settled_.contains(timer->position);
  }
  const LogPosition position = std::get<HalfRef>(settlement).position;
  return applied.transactions().Find(position) != nullptr && !settled_.contains(position);
}

void LeaderView::Settled(const Settlement& settlement, TransactionEnd end) {
  const absl::Status applied = state_.ApplySettlement(settlement, end);
  CHECK(applied.ok()) << "a settlement was decided but does not apply: " << applied;
  RememberSettled(settlement, end);
}

void LeaderView::RememberSettled(const Settlement& settlement, TransactionEnd end) {
  if (const auto* timer = std::get_if<TimerRef>(&settlement)) {
    settled_.emplace(timer->position, PendingEnd{settlement, end});
  } else if (const auto* half = std::get_if<HalfRef>(&settlement)) {
    settled_.emplace(half->position, PendingEnd{settlement, end});
  }
}

std::optional<TransactionEnd> LeaderView::FindEnd(LogPosition position,
                                                  const BrokerState& applied) const {
  const auto pending = settled_.find(position);
  if (pending != settled_.end() && std::holds_alternative<HalfRef>(pending->second.settlement)) {
    return pending->second.end;
  }
  return applied.ended_transactions().Find(position);
}

void LeaderView::PruneSettled(const BrokerState& applied) {
  absl::erase_if(settled_, [&applied](const auto& entry) {
    if (const auto* timer = std::get_if<TimerRef>(&entry.second.settlement)) {
      return !applied.timers().Contains(*timer);
    }
    return applied.transactions().Find(entry.first) == nullptr;
  });
  prune_settled_at_ = std::max<size_t>(1024, 2 * settled_.size());
}

void LeaderView::AddRecord(const std::string& topic, QueueId queue, QueueOffset offset,
                           int64_t store_ms, Audience audience) {
  const absl::Status applied =
      state_.ApplyRecord(topic, queue, offset, store_ms, kPendingIndex, audience);
  CHECK(applied.ok()) << "a record was decided but does not apply: " << applied;
}

void LeaderView::TopicChangeLogged(const std::string& topic) { ++topic_changes_[topic].unindexed; }

void LeaderView::TopicChangeIndexed(const std::string& topic, LogIndex index) {
  auto change = topic_changes_.find(topic);
  CHECK(change != topic_changes_.end() && change->second.unindexed > 0) << topic;
  --change->second.unindexed;
  change->second.last = std::max(change->second.last, index);
}

bool LeaderView::TopicChangePending(const std::string& topic, LogIndex applied) {
  if (topic_changes_.empty()) return false;
  auto change = topic_changes_.find(topic);
  if (change == topic_changes_.end()) return false;
  if (change->second.unindexed > 0 || change->second.last > applied) return true;
  topic_changes_.erase(change);
  return false;
}

}  // namespace raftmq::store
