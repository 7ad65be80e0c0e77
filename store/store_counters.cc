#include "store/store_counters.h"

#include <algorithm>
#include <variant>

#include "store/message_properties.h"
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

void NamedCounts::Add(std::string_view topic, std::string_view group) {
  absl::MutexLock lock(&mutex_);
  Name name(topic, group);
  if (counts_.size() >= kMaxNames && !counts_.contains(name)) name = {};
  ++counts_[std::move(name)];
}

std::map<NamedCounts::Name, int64_t> NamedCounts::Take() const {
  absl::MutexLock lock(&mutex_);
  return counts_;
}

void StoreCounters::CountRecord(const RecordHeaderView& record, const BrokerState& state) {
  const bool leads = leads_.load(std::memory_order_relaxed);
  if (record.topic == kHalfTopic) {
    half_topics_[record.physical_offset] = record.properties.Get(property::kRealTopic);
  }
  if (leads) {
    Add(&bytes_in, static_cast<int64_t>(record.bytes.size()));
    if (IsDeadLetterTopic(record.topic)) {
      Add(&dead_letters);
      dead_letters_of.Add(record.properties.Get(property::kDlqOriginTopic),
                          record.topic.substr(kDeadLetterTopicPrefix.size()));
    } else if (record.topic == kTimerTopic) {
      Add(&timers_added);
      timers_added_of.Add(record.properties.Get(property::kRealTopic));
    }
  }
  if (record.settles.data() == nullptr) return;
  const auto settlement = ParseSettlement(record.settles);
  if (!settlement.ok()) return;
  if (leads) CountSettled(*settlement, record, state);
  if (const auto* half = std::get_if<HalfRef>(&*settlement)) half_topics_.erase(half->position);
}

std::string StoreCounters::TakeHalfTopic(LogPosition position) {
  const auto found = half_topics_.find(position);
  if (found == half_topics_.end()) return "";
  std::string topic = std::move(found->second);
  half_topics_.erase(found);
  return topic;
}

void StoreCounters::CountSettled(const Settlement& settlement, const RecordHeaderView& record,
                                 const BrokerState& state) {
  const int64_t now_ms = record.store_timestamp_ms;
  if (const auto* timer = std::get_if<TimerRef>(&settlement)) {
    Add(&timers_delivered);
    timers_delivered_of.Add(record.topic);
    timer_lateness.Record(now_ms - timer->due_ms);
  } else if (const auto* half = std::get_if<HalfRef>(&settlement)) {
    if (record.topic == kCheckMaxTimeTopic) return Add(&given_up);
    Add(&committed);
    committed_of.Add(record.topic);
    const HalfMessage* open = state.transactions().Find(half->position);
    if (open != nullptr) finish_time.Record(now_ms - open->stored_ms);
  } else if (std::holds_alternative<RedriveRef>(settlement)) {
    Add(&redriven);
  }
}

void StoreCounters::CountCommand(const Command& command, const BrokerState& state) {
  const auto* settle = std::get_if<Settle>(&command.body);
  const auto* half = settle == nullptr ? nullptr : std::get_if<HalfRef>(&settle->settles);
  const std::string half_topic = half == nullptr ? "" : TakeHalfTopic(half->position);
  if (!leads_.load(std::memory_order_relaxed)) return;
  if (settle != nullptr) {
    if (std::holds_alternative<TimerRef>(settle->settles)) Add(&timers_dropped);
    if (half != nullptr) {
      Add(&rolled_back);
      rolled_back_of.Add(half_topic);
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
