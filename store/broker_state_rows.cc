// BrokerState and its rows: what goes to the sink, and how it comes back.

#include <algorithm>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/broker_state.h"
#include "store/state_rows.h"

namespace raftmq::store {
namespace {

absl::Status Orphan(std::string_view what, std::string_view of) {
  return absl::DataLossError(
      StrCat("the state database holds a ", what, " of ", of, ", which it does not hold"));
}

}  // namespace

void BrokerState::SetChanges(StateChanges* changes) {
  CHECK(changes == nullptr || !is_copy_) << "a copy does not know which rows its original wrote";
  changes_ = changes;
}

void BrokerState::FinishBatch(LogIndex applied) {
  AdvanceTo(applied);
  if (changes_ == nullptr) return;
  PutDirtyQueues();
  PutDirtyPositions();
  PutWaitingRows();
  PutKeptRows();
  PutLockRows();
  PutLiteRows();
  PutMeta();
  pending_rows_ = 0;
}

void BrokerState::MarkQueue(std::string_view topic, QueueId queue, QueueState* state) {
  if (changes_ == nullptr || state->dirty) return;
  state->dirty = true;
  ++pending_rows_;
  dirty_queues_.emplace_back(topic, queue);
}

void BrokerState::MarkPosition(std::string_view group, std::string_view topic, QueueId queue,
                               PositionState* state) {
  if (changes_ == nullptr || state->dirty) return;
  state->dirty = true;
  ++pending_rows_;
  dirty_positions_.push_back({std::string(group), std::string(topic), queue});
}

void BrokerState::PutDirtyQueues() {
  for (const auto& [name, queue] : dirty_queues_) {
    TopicState* topic = MutableTopic(name);
    if (topic == nullptr || queue.value() >= static_cast<int32_t>(topic->queues.size())) continue;
    QueueState& state = topic->queues[queue.value()];
    if (!state.dirty) continue;
    state.dirty = false;
    changes_->Put(StateColumn::kQueues, QueueKeyOf(name, queue), QueueValue(state.ends));
  }
  dirty_queues_.clear();
}

void BrokerState::PutDirtyPositions() {
  for (const PositionName& name : dirty_positions_) {
    GroupState* group = MutableGroup(name.group);
    if (group == nullptr) continue;
    auto it = group->topics.find(name.topic);
    if (it == group->topics.end()) continue;
    if (name.queue.value() >= static_cast<int32_t>(it->second.size())) continue;
    PositionState& state = it->second[name.queue.value()];
    if (!state.dirty) continue;
    state.dirty = false;
    changes_->Put(StateColumn::kPositions, PositionKeyOf(name.group, name.topic, name.queue),
                  PositionValue(state.position.next()));
    PutLeaseRows(name, &state);
  }
  dirty_positions_.clear();
}

void BrokerState::PutMeta() {
  changes_->Put(
      StateColumn::kMeta, kMetaKey,
      MetaValue({applied_index_, log_time_ms_, lease_time_ms_, next_lease_id_, min_position_}));
}

void BrokerState::PutTopicRow(const TopicState& topic) {
  if (changes_ == nullptr) return;
  changes_->Put(StateColumn::kTopics, topic.config.name,
                TopicValue({topic.config, static_cast<int32_t>(topic.queues.size())}));
}

void BrokerState::PutGroupRow(const GroupConfig& group) {
  if (changes_ == nullptr) return;
  changes_->Put(StateColumn::kGroups, group.name, GroupValue(group));
}

void BrokerState::MarkErased(PositionState* state, QueueOffset offset) {
  if (changes_ == nullptr || !state->position.Find(offset)->stored) return;
  ++pending_rows_;
  state->erased_leases.push_back(offset);
}

void BrokerState::MarkTouched(PositionState* state, QueueOffset offset) {
  if (changes_ == nullptr) return;
  ++pending_rows_;
  state->touched_leases.push_back(offset);
}

void BrokerState::PutLeaseRows(const PositionName& name, PositionState* state) {
  auto key = [&name](QueueOffset offset) {
    return LeaseKeyOf(name.group, name.topic, name.queue, offset);
  };
  for (QueueOffset offset : state->erased_leases) {
    changes_->Delete(StateColumn::kLeases, key(offset));
  }
  state->erased_leases.clear();
  std::vector<QueueOffset>& touched = state->touched_leases;
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (QueueOffset offset : touched) {
    const Lease* lease = state->position.Find(offset);
    if (lease == nullptr) continue;
    changes_->Put(StateColumn::kLeases, key(offset), LeaseValue(*lease));
    state->position.MarkStored(offset);
  }
  touched.clear();
}

void BrokerState::DeletePositionRows(std::string_view group, std::string_view topic,
                                     const TopicPositions& positions) {
  if (changes_ == nullptr) return;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (!positions[i].set) continue;
    QueueId queue(static_cast<int32_t>(i));
    auto erase = [&](QueueOffset offset) {
      changes_->Delete(StateColumn::kLeases, LeaseKeyOf(group, topic, queue, offset));
    };
    for (QueueOffset offset : positions[i].erased_leases) erase(offset);
    for (const auto& [offset, lease] : positions[i].position.inflight()) {
      if (lease.stored) erase(offset);
    }
    changes_->Delete(StateColumn::kPositions, PositionKeyOf(group, topic, queue));
  }
}

// ---- Loading

absl::Status BrokerState::LoadRow(StateColumn column, std::string_view key,
                                  std::string_view value) {
  switch (column) {
    case StateColumn::kMeta:
      return LoadMeta(key, value);
    case StateColumn::kTopics:
      return LoadTopic(key, value);
    case StateColumn::kGroups:
      return LoadGroup(key, value);
    case StateColumn::kQueues:
      return LoadQueue(key, value);
    case StateColumn::kPositions:
      return LoadPosition(key, value);
    case StateColumn::kLeases:
      return LoadLease(key, value);
    case StateColumn::kTimers:
    case StateColumn::kTransactions:
    case StateColumn::kEndedTransactions:
    case StateColumn::kDeadLettered:
    case StateColumn::kRedriven:
      return LoadWaiting(column, key, value);
    case StateColumn::kKept:
      return LoadKept(key, value);
    case StateColumn::kKeptBytes:
      RAFTMQ_RETURN_IF_ERROR(ParseKeptKey(key).status());
      return ParseKeptBytesValue(value).status();
    case StateColumn::kQueueLocks:
      return LoadLock(key, value);
    case StateColumn::kOffsetMoves:
      return LoadMove(key, value);
    case StateColumn::kLiteSubscriptions:
      return LoadLite(key, value);
  }
  return absl::DataLossError(StrCat("column ", static_cast<int>(column), " is unknown"));
}

absl::Status BrokerState::LoadMeta(std::string_view key, std::string_view value) {
  if (key != kMetaKey) {
    return absl::DataLossError(StrCat("the state database holds a meta row of ", key.size(),
                                      " key bytes, expected \"", kMetaKey, "\" only"));
  }
  RAFTMQ_ASSIGN_OR_RETURN(MetaRow row, ParseMetaValue(value));
  applied_index_ = row.applied;
  log_time_ms_ = row.log_time_ms;
  lease_time_ms_ = row.lease_time_ms;
  next_lease_id_ = row.next_lease_id;
  min_position_ = row.min_position;
  return absl::OkStatus();
}

absl::Status BrokerState::LoadTopic(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(TopicRow row, ParseTopicValue(value));
  TopicState& topic = topics_[std::string(key)];
  topic.config = std::move(row.config);
  topic.config.name = std::string(key);
  topic.queues.resize(row.queue_count);
  NoteLiteTopic(topic.config.name);
  return absl::OkStatus();
}

absl::Status BrokerState::LoadGroup(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(GroupConfig config, ParseGroupValue(value));
  config.name = std::string(key);
  groups_[std::string(key)].config = std::move(config);
  return absl::OkStatus();
}

absl::Status BrokerState::LoadQueue(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(QueueKey name, ParseQueueKey(key));
  RAFTMQ_ASSIGN_OR_RETURN(QueueEnds ends, ParseQueueValue(value));
  TopicState* topic = MutableTopic(name.topic);
  if (topic == nullptr || name.queue.value() >= static_cast<int32_t>(topic->queues.size())) {
    return Orphan("queue", StrCat("queue ", name.queue, " of topic ", name.topic));
  }
  topic->queues[name.queue.value()].ends = ends;
  return absl::OkStatus();
}

absl::Status BrokerState::LoadPosition(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(PositionKey name, ParsePositionKey(key));
  RAFTMQ_ASSIGN_OR_RETURN(QueueOffset next, ParsePositionValue(value));
  GroupState* group = MutableGroup(name.group);
  if (group == nullptr) return Orphan("position", StrCat("group ", name.group));
  if (name.queue.value() >= QueueCount(name.topic)) {
    return Orphan("position", StrCat("queue ", name.queue, " of topic ", name.topic));
  }
  TopicPositions& positions = group->topics[name.topic];
  size_t at = name.queue.value();
  positions.resize(std::max(positions.size(), at + 1));
  positions[at].set = true;
  positions[at].position = Position(next);
  return absl::OkStatus();
}

absl::Status BrokerState::LoadLease(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(LeaseKey name, ParseLeaseKey(key));
  RAFTMQ_ASSIGN_OR_RETURN(Lease lease, ParseLeaseValue(value));
  const PositionKey& of = name.position;
  absl::StatusOr<PositionState*> found = PositionToChange(of.group, of.topic, of.queue, true);
  if (!found.ok() || (*found)->position.next() <= name.offset) {
    return Orphan("lease", StrCat("offset ", name.offset, " of group ", of.group, " on queue ",
                                  of.queue, " of topic ", of.topic));
  }
  // Leases of one grant are neighbours: they share their owner again.
  Position& position = (*found)->position;
  if (!position.inflight().empty()) {
    const auto& before = std::prev(position.inflight().end())->second.owner;
    if (before->client_id == lease.owner->client_id &&
        before->attempt_id == lease.owner->attempt_id) {
      lease.owner = before;
    }
  }
  lease.stored = true;
  NoteFinal(*FindGroup(of.group), of.topic, of.queue, name.offset, lease);
  position.PutLease(name.offset, std::move(lease));
  return absl::OkStatus();
}

}  // namespace raftmq::store
