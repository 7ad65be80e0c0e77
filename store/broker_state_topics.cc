// BrokerState: topics and groups.

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "store/broker_state.h"
#include "store/state_rows.h"

namespace raftmq::store {

absl::Status BrokerState::ApplyBody(const PutTopic& put, LogIndex index) {
  TopicState& topic = topics_[put.config.name];
  bool fresh = topic.config.name.empty();
  TopicConfig config = put.config;
  config.created_index = fresh ? index : topic.config.created_index;
  config.created_ms = fresh ? log_time_ms_ : topic.config.created_ms;
  topic.config = std::move(config);
  // Queues never go away: what is in them stays readable.
  size_t wanted = std::max(topic.config.read_queues, topic.config.write_queues);
  topic.queues.resize(std::max(topic.queues.size(), wanted));
  PutTopicRow(topic);
  if (fresh) NoteLiteTopic(put.config.name);
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyBody(const DeleteTopic& del, LogIndex) {
  auto it = topics_.find(del.name);
  if (it == topics_.end()) {
    return absl::InternalError(StrCat("topic ", del.name, " to delete does not exist"));
  }
  for (auto& [name, group] : groups_) {
    group.moves.ForgetItemsOf(
        del.name, [&, &of = name](const OffsetMove& changed) { PutMoveRow(of, changed); });
    auto positions = group.topics.find(del.name);
    if (positions == group.topics.end()) continue;
    DeletePositionRows(name, del.name, positions->second);
    ForgetFinals(positions->second);
    const TopicPositions gone = std::move(positions->second);
    group.topics.erase(positions);
    DropKeptOf(del.name, gone);
  }
  EraseLocksIf([&del](const LockedQueue& lock) { return lock.topic == del.name; });
  EraseLiteClientsIf([&del](const LiteClient& client) { return client.topic == del.name; });
  ForgetLiteTopic(del.name);
  if (changes_ != nullptr) {
    const std::vector<QueueState>& queues = it->second.queues;
    for (size_t i = 0; i < queues.size(); ++i) {
      if (queues[i].ends == QueueEnds{}) continue;  // has no row
      changes_->Delete(StateColumn::kQueues,
                       QueueKeyOf(del.name, QueueId(static_cast<int32_t>(i))));
    }
    changes_->Delete(StateColumn::kTopics, del.name);
  }
  redriven_.EraseTopic(del.name, [&](QueueId queue, QueueOffset begin) {
    if (changes_ == nullptr) return;
    changes_->Delete(StateColumn::kRedriven, RedrivenKeyOf(del.name, queue, begin));
  });
  topics_.erase(it);
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyBody(const PutGroup& put, LogIndex index) {
  GroupState& group = groups_[put.config.name];
  bool fresh = group.config.name.empty();
  GroupConfig config = put.config;
  config.created_index = fresh ? index : group.config.created_index;
  config.created_ms = fresh ? log_time_ms_ : group.config.created_ms;
  const bool other_attempts = config.retry_max_times != group.config.retry_max_times;
  group.config = std::move(config);
  if (!fresh && other_attempts) {
    for (const auto& [topic, positions] : group.topics) ForgetFinals(positions);
    NoteFinals(group);
  }
  PutGroupRow(group.config);
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyBody(const DeleteGroup& del, LogIndex) {
  auto it = groups_.find(del.name);
  if (it == groups_.end()) {
    return absl::InternalError(StrCat("group ", del.name, " to delete does not exist"));
  }
  for (const auto& [topic, positions] : it->second.topics) {
    DeletePositionRows(del.name, topic, positions);
    ForgetFinals(positions);
  }
  DeleteMoveRows(del.name, it->second.moves);
  EraseLocksIf([&del](const LockedQueue& lock) { return lock.group == del.name; });
  EraseLiteClientsIf([&del](const LiteClient& client) { return client.group == del.name; });
  if (changes_ != nullptr) changes_->Delete(StateColumn::kGroups, del.name);
  const GroupState gone = std::move(it->second);
  groups_.erase(it);
  for (const auto& [topic, positions] : gone.topics) DropKeptOf(topic, positions);
  return absl::OkStatus();
}

const TopicConfig* BrokerState::FindTopic(std::string_view name) const {
  const TopicState* topic = FindTopicState(name);
  return topic == nullptr ? nullptr : &topic->config;
}

const GroupConfig* BrokerState::FindGroup(std::string_view name) const {
  auto it = groups_.find(ToAbsl(name));
  return it == groups_.end() ? nullptr : &it->second.config;
}

std::vector<TopicConfig> BrokerState::Topics() const {
  std::vector<TopicConfig> topics;
  topics.reserve(topics_.size());
  for (const auto& [name, topic] : topics_) topics.push_back(topic.config);
  std::sort(topics.begin(), topics.end(),
            [](const TopicConfig& a, const TopicConfig& b) { return a.name < b.name; });
  return topics;
}

std::vector<GroupConfig> BrokerState::Groups() const {
  std::vector<GroupConfig> groups;
  groups.reserve(groups_.size());
  for (const auto& [name, group] : groups_) groups.push_back(group.config);
  std::sort(groups.begin(), groups.end(),
            [](const GroupConfig& a, const GroupConfig& b) { return a.name < b.name; });
  return groups;
}

int32_t BrokerState::QueueCount(std::string_view name) const {
  const TopicState* topic = FindTopicState(name);
  return topic == nullptr ? 0 : static_cast<int32_t>(topic->queues.size());
}

std::optional<QueueEnds> BrokerState::FindQueue(std::string_view name, QueueId queue) const {
  const TopicState* topic = FindTopicState(name);
  if (topic == nullptr || queue.value() < 0 ||
      queue.value() >= static_cast<int32_t>(topic->queues.size())) {
    return std::nullopt;
  }
  return topic->queues[queue.value()].ends;
}

BrokerState::TopicState* BrokerState::MutableTopic(std::string_view name) {
  auto it = topics_.find(ToAbsl(name));
  return it == topics_.end() ? nullptr : &it->second;
}

BrokerState::GroupState* BrokerState::MutableGroup(std::string_view name) {
  auto it = groups_.find(ToAbsl(name));
  return it == groups_.end() ? nullptr : &it->second;
}

const BrokerState::TopicState* BrokerState::FindTopicState(std::string_view name) const {
  auto it = topics_.find(ToAbsl(name));
  return it == topics_.end() ? nullptr : &it->second;
}

}  // namespace raftmq::store
