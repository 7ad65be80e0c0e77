#include "store/store_counters.h"

#include <algorithm>
#include <variant>

#include "store/names.h"
#include "store/settlement.h"

namespace raftmq::store {
namespace {

void Add(StoreCounters::Counter* counter, int64_t n = 1) {
  counter->fetch_add(n, std::memory_order_relaxed);
}

}  // namespace

void TimeCounts::Record(int64_t ms) {
  const auto bound = std::lower_bound(kBoundsMs.begin(), kBoundsMs.end(), ms);
  counts_[bound - kBoundsMs.begin()].fetch_add(1, std::memory_order_relaxed);
  sum_ms_.fetch_add(std::max<int64_t>(ms, 0), std::memory_order_relaxed);
}

TimeCounts::Snapshot TimeCounts::Take() const {
  Snapshot snapshot;
  for (size_t i = 0; i < counts_.size(); ++i) {
    snapshot.counts[i] = counts_[i].load(std::memory_order_relaxed);
  }
  snapshot.sum_ms = sum_ms_.load(std::memory_order_relaxed);
  return snapshot;
}

void StoreCounters::CountRecord(const RecordHeaderView& record, const BrokerState& state) {
  if (!leads_.load(std::memory_order_relaxed)) return;
  if (IsDeadLetterTopic(record.topic)) Add(&dead_letters);
  if (record.topic == kTimerTopic) Add(&timers_added);
  if (record.settles.data() == nullptr) return;
  const auto settlement = ParseSettlement(record.settles);
  if (settlement.ok()) CountSettled(*settlement, record, state);
}

void StoreCounters::CountSettled(const Settlement& settlement, const RecordHeaderView& record,
                                 const BrokerState& state) {
  const int64_t now_ms = record.store_timestamp_ms;
  if (const auto* timer = std::get_if<TimerRef>(&settlement)) {
    Add(&timers_delivered);
    timer_lateness.Record(now_ms - timer->due_ms);
  } else if (const auto* half = std::get_if<HalfRef>(&settlement)) {
    if (record.topic == kCheckMaxTimeTopic) return Add(&given_up);
    Add(&committed);
    const HalfMessage* open = state.transactions().Find(half->position);
    if (open != nullptr) finish_time.Record(now_ms - open->stored_ms);
  } else if (std::holds_alternative<RedriveRef>(settlement)) {
    Add(&redriven);
  }
}

void StoreCounters::CountCommand(const Command& command, const BrokerState& state) {
  if (!leads_.load(std::memory_order_relaxed)) return;
  if (const auto* settle = std::get_if<Settle>(&command.body)) {
    if (std::holds_alternative<TimerRef>(settle->settles)) Add(&timers_dropped);
    if (const auto* half = std::get_if<HalfRef>(&settle->settles)) {
      Add(&rolled_back);
      const HalfMessage* open = state.transactions().Find(half->position);
      if (open != nullptr) finish_time.Record(command.log_time_ms - open->stored_ms);
    }
  } else if (const auto* check = std::get_if<CheckTransactions>(&command.body)) {
    Add(&checks, static_cast<int64_t>(check->items.size()));
  } else if (const auto* retain = std::get_if<Retain>(&command.body)) {
    for (const Retain::Queue& queue : retain->queues) {
      const auto ends = state.FindQueue(queue.topic, queue.queue);
      if (ends.has_value() && queue.min > ends->min) Add(&expired, queue.min - ends->min);
    }
  }
}

}  // namespace raftmq::store
