// BrokerState: what retention changes, and the records that are kept beyond it.

#include <algorithm>

#include "base/strings.h"
#include "store/broker_state.h"
#include "store/names.h"
#include "store/state_rows.h"

namespace raftmq::store {
namespace {

// Bytes that wait for the database as if they were so many to a row.
constexpr size_t kBytesOfARow = 256;

}  // namespace

absl::Status BrokerState::ApplyBody(const Retain& retain, LogIndex) {
  if (retain.min_position < min_position_) {
    return absl::InternalError(StrCat("the log is kept from ", min_position_,
                                      " on already, and is to be from ", retain.min_position));
  }
  min_position_ = retain.min_position;
  for (const Retain::Queue& item : retain.queues) {
    TopicState* topic = MutableTopic(item.topic);
    if (topic == nullptr || item.queue.value() >= static_cast<int32_t>(topic->queues.size())) {
      return absl::InternalError(
          StrCat("queue ", item.queue, " of topic ", item.topic, " does not exist"));
    }
    QueueState& state = topic->queues[item.queue.value()];
    if (item.min < state.ends.min || item.min > state.ends.max) {
      return absl::InternalError(StrCat("queue ", item.queue, " of topic ", item.topic, " has ",
                                        state.ends.min, " to ", state.ends.max,
                                        ", its first offset is to be ", item.min));
    }
    state.ends.min = item.min;
    MarkQueue(item.topic, item.queue, &state);
    MovePositionsUp(item.topic, item.queue, item.min);
  }
  return absl::OkStatus();
}

void BrokerState::MovePositionsUp(const std::string& topic, QueueId queue, QueueOffset min) {
  const size_t at = queue.value();
  for (auto& [name, group] : groups_) {
    const auto positions = group.topics.find(topic);
    if (positions == group.topics.end() || at >= positions->second.size()) continue;
    PositionState& state = positions->second[at];
    if (!state.set || state.position.next() >= min) continue;
    if (!is_copy_) missed_.push_back({name, topic, min - state.position.next()});
    state.position.AdvanceNext(min);
    MarkPosition(name, topic, queue, &state);
  }
}

std::vector<QueueOffset> BrokerState::InflightBetween(std::string_view topic, QueueId queue,
                                                      QueueOffset from, QueueOffset end) const {
  std::vector<QueueOffset> offsets;
  for (const auto& [name, group] : groups_) {
    const Position* position = FindPosition(name, topic, queue);
    if (position == nullptr) continue;
    const auto& inflight = position->inflight();
    for (auto it = inflight.lower_bound(from); it != inflight.end() && it->first < end; ++it) {
      offsets.push_back(it->first);
    }
  }
  std::sort(offsets.begin(), offsets.end());
  return offsets;
}

// ---- Kept records

void BrokerState::KeepRecord(LogPosition position, const KeptRecord& record,
                             KeptRecords::Bytes bytes, int64_t due_ms) {
  if (is_copy_ || kept_.Contains(position)) return;
  bool waits = false;
  if (record.topic == kTimerTopic) {
    waits = timers_.Contains({due_ms, position});
  } else if (record.topic == kHalfTopic) {
    waits = transactions_.Find(position) != nullptr;
  } else {
    for (const auto& [name, group] : groups_) {
      if (FindLease(name, record.topic, record.queue, record.offset) == nullptr) continue;
      waits = true;
      break;
    }
  }
  if (!waits) return;
  kept_.Add(position, record, std::move(bytes));
  if (changes_ == nullptr) return;
  dirty_kept_[position] = false;
  pending_rows_ += 2 + static_cast<size_t>(record.size) / kBytesOfARow;
}

void BrokerState::DropKeptAt(LogPosition position) {
  if (!kept_.Erase(position) || changes_ == nullptr) return;
  dirty_kept_[position] = true;
  pending_rows_ += 2;
}

void BrokerState::DropKept(std::string_view topic, QueueId queue, QueueOffset offset) {
  if (kept_.empty() || topic == kTimerTopic || topic == kHalfTopic) return;
  const LogPosition* position = kept_.Find(topic, queue, offset);
  if (position == nullptr) return;
  for (const auto& [name, group] : groups_) {
    if (FindLease(name, topic, queue, offset) != nullptr) return;
  }
  DropKeptAt(LogPosition(*position));
}

void BrokerState::DropKeptOf(std::string_view topic, const TopicPositions& positions) {
  if (kept_.empty()) return;
  for (size_t q = 0; q < positions.size(); ++q) {
    for (const auto& [offset, lease] : positions[q].position.inflight()) {
      DropKept(topic, QueueId(static_cast<int32_t>(q)), offset);
    }
  }
}

void BrokerState::PutKeptRows() {
  for (const auto& [position, gone] : dirty_kept_) {
    const std::string key = KeptKeyOf(position);
    if (gone) {
      changes_->Delete(StateColumn::kKept, key);
      changes_->Delete(StateColumn::kKeptBytes, key);
    } else {
      changes_->Put(StateColumn::kKept, key, KeptValue(kept_.At(position)));
      changes_->Put(StateColumn::kKeptBytes, key,
                    KeptBytesValue(*kept_.UncommittedBytes(position)));
    }
  }
  dirty_kept_.clear();
}

absl::Status BrokerState::LoadKept(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(const LogPosition position, ParseKeptKey(key));
  RAFTMQ_ASSIGN_OR_RETURN(KeptRecord record, ParseKeptValue(value));
  kept_.Add(position, std::move(record), nullptr);
  return absl::OkStatus();
}

}  // namespace raftmq::store
