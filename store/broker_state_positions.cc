// BrokerState: positions and leases.

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/broker_state.h"

namespace raftmq::store {
namespace {

// One part of a Grant on one queue: an item, or a filtered range (item is null).
struct GrantStep {
  QueueId queue;
  QueueOffset from;
  QueueOffset to;
  const GrantItem* item = nullptr;
};

// By queue and offset, so that each queue's next offset moves forward step by step.
std::vector<GrantStep> StepsOf(const Grant& grant) {
  std::vector<GrantStep> steps;
  steps.reserve(grant.items.size() + grant.filtered.size());
  for (const GrantItem& item : grant.items) {
    steps.push_back({item.queue, item.offset, item.offset + 1, &item});
  }
  for (const FilteredRange& range : grant.filtered) {
    steps.push_back({range.queue, range.from, range.to});
  }
  std::sort(steps.begin(), steps.end(), [](const GrantStep& a, const GrantStep& b) {
    return std::tie(a.queue, a.from) < std::tie(b.queue, b.from);
  });
  return steps;
}

// Whether the lease may be granted anew though its time is not over.
bool IsOwn(const Lease& lease, const Grant& grant) {
  return grant.in_order && !grant.attempt_id.empty() &&
         lease.owner->attempt_id == grant.attempt_id && lease.owner->client_id == grant.client_id;
}

// Whether `step` of `grant` may come now on a queue at `position` that ends at `max`.
absl::Status CheckStep(const GrantStep& step, const Grant& grant, const Position& position,
                       QueueOffset max, int64_t lease_time_ms) {
  if (step.from >= position.next()) {
    if (step.from > position.next()) {
      return absl::InternalError(StrCat("queue ", step.queue, ": offsets from ", position.next(),
                                        " to ", step.from, " are neither granted nor filtered"));
    }
    if (step.to > max) {
      return absl::InternalError(
          StrCat("queue ", step.queue, " ends at ", max, ", granted up to ", step.to));
    }
    if (step.item != nullptr && step.item->attempt != 1 &&
        !(grant.in_order && step.item->attempt == 0)) {
      return absl::InternalError(StrCat("queue ", step.queue, " offset ", step.from,
                                        ": first delivery has attempt ", step.item->attempt));
    }
    return absl::OkStatus();
  }
  if (step.item == nullptr) {
    return absl::InternalError(StrCat("queue ", step.queue, ": offsets from ", step.from,
                                      " are filtered out, but below next offset ",
                                      position.next()));
  }
  const Lease* lease = position.Find(step.from);
  if (lease == nullptr) {
    return absl::InternalError(
        StrCat("queue ", step.queue, " offset ", step.from, " is acked and granted again"));
  }
  if ((lease->until_ms > lease_time_ms && !IsOwn(*lease, grant)) ||
      step.item->attempt != lease->attempt + 1) {
    return absl::InternalError(StrCat("queue ", step.queue, " offset ", step.from,
                                      " is granted as attempt ", step.item->attempt, " at ",
                                      lease_time_ms, ", but attempt ", lease->attempt,
                                      " is leased until ", lease->until_ms));
  }
  return absl::OkStatus();
}

// Whether the message is in flight under `lease_id`.
absl::Status CheckLeased(const Position& position, QueueId queue, QueueOffset offset,
                         uint64_t lease_id) {
  const Lease* lease = position.Find(offset);
  if (lease != nullptr && lease->lease_id == lease_id) return absl::OkStatus();
  return absl::InternalError(
      StrCat("queue ", queue, " offset ", offset, " should be in flight under lease ", lease_id,
             ", found ", lease == nullptr ? "it acked" : StrCat("lease ", lease->lease_id)));
}

QueueProgress ProgressOf(std::string_view topic, QueueId queue, const QueueEnds& ends,
                         const Position* position) {
  QueueProgress row;
  row.topic = std::string(topic);
  row.queue = queue;
  row.min_offset = ends.min;
  row.max_offset = ends.max;
  row.commit_offset = position == nullptr ? ends.min : position->commit();
  row.next_offset = position == nullptr ? ends.min : position->next();
  row.inflight = position == nullptr ? 0 : position->inflight_size();
  return row;
}

}  // namespace

absl::StatusOr<BrokerState::PositionState*> BrokerState::PositionToChange(
    std::string_view group_name, std::string_view topic_name, QueueId queue, bool must_have) {
  TopicState* topic = MutableTopic(topic_name);
  if (topic == nullptr || queue.value() < 0 ||
      queue.value() >= static_cast<int32_t>(topic->queues.size())) {
    return absl::InternalError(
        StrCat("queue ", queue, " of topic ", topic_name, " does not exist"));
  }
  GroupState* group = MutableGroup(group_name);
  if (group == nullptr) return absl::InternalError(StrCat("group ", group_name, " does not exist"));
  auto it = group->topics.find(ToAbsl(topic_name));
  if (it == group->topics.end()) {
    if (must_have) {
      return absl::InternalError(
          StrCat("group ", group_name, " has no positions on topic ", topic_name));
    }
    it = group->topics.try_emplace(std::string(topic_name)).first;
  }
  TopicPositions& positions = it->second;
  size_t at = queue.value();
  if (positions.size() <= at) positions.resize(topic->queues.size());
  PositionState& state = positions[at];
  if (!state.set) {
    state.set = true;
    state.position = Position(topic->queues[at].ends.min);
    MarkPosition(group_name, topic_name, queue, &state);
  }
  return &state;
}

absl::Status BrokerState::ApplyBody(const InitPositions& init, LogIndex) {
  if (HasPositions(init.group, init.topic)) {
    return absl::InternalError(
        StrCat("group ", init.group, " has positions on topic ", init.topic, " already"));
  }
  for (const InitPositions::Item& item : init.items) {
    RAFTMQ_ASSIGN_OR_RETURN(PositionState * state,
                            PositionToChange(init.group, init.topic, item.queue, false));
    if (QueueEnds ends = *FindQueue(init.topic, item.queue); item.offset > ends.max) {
      return absl::InternalError(StrCat("offset ", item.offset, " is past the end ", ends.max,
                                        " of queue ", item.queue, " of topic ", init.topic));
    }
    state->position = Position(std::max(item.offset, FindQueue(init.topic, item.queue)->min));
    MarkPosition(init.group, init.topic, item.queue, state);
  }
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyBody(const Grant& grant, LogIndex) {
  for (const GrantItem& item : grant.items) {
    if (item.lease_id != next_lease_id_) {
      return absl::InternalError(
          StrCat("lease id ", item.lease_id, " is granted, expected ", next_lease_id_));
    }
    ++next_lease_id_;
  }
  auto owner = std::make_shared<const LeaseOwner>(LeaseOwner{grant.client_id, grant.attempt_id});
  const GroupConfig* config = FindGroup(grant.group);
  PositionState* state = nullptr;
  QueueId queue(-1);
  QueueOffset max;
  for (const GrantStep& step : StepsOf(grant)) {
    if (step.queue != queue) {
      queue = step.queue;
      RAFTMQ_ASSIGN_OR_RETURN(state, PositionToChange(grant.group, grant.topic, queue, true));
      max = FindQueue(grant.topic, queue)->max;
    }
    Position& position = state->position;
    RAFTMQ_RETURN_IF_ERROR(CheckStep(step, grant, position, max, lease_time_ms_));
    if (step.from == position.next()) position.AdvanceNext(step.to);
    MarkPosition(grant.group, grant.topic, queue, state);
    if (step.item == nullptr) continue;
    // What is not given out has a lease that is over.
    const int64_t until_ms = step.item->attempt == 0 ? 0 : grant.lease_until_ms;
    if (const Lease* before = position.Find(step.from)) ForgetFinal(*before);
    position.PutLease(step.from, {step.item->lease_id, until_ms, step.item->attempt, owner,
                                  step.item->message_group});
    NoteFinal(*config, grant.topic, queue, step.from, *position.Find(step.from));
    MarkTouched(state, step.from);
  }
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyBody(const Ack& ack, LogIndex) {
  PositionState* state = nullptr;
  QueueId queue(-1);
  for (const Ack::Item& item : ack.items) {
    if (item.queue != queue) {
      queue = item.queue;
      RAFTMQ_ASSIGN_OR_RETURN(state, PositionToChange(ack.group, ack.topic, queue, true));
      MarkPosition(ack.group, ack.topic, queue, state);
    }
    RAFTMQ_RETURN_IF_ERROR(CheckLeased(state->position, queue, item.offset, item.lease_id));
    MarkErased(state, item.offset);
    ForgetFinal(*state->position.Find(item.offset));
    state->position.EraseLease(item.offset);
    DropKept(ack.topic, item.queue, item.offset);
  }
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyBody(const ChangeInvisible& change, LogIndex) {
  RAFTMQ_ASSIGN_OR_RETURN(PositionState * state,
                          PositionToChange(change.group, change.topic, change.queue, true));
  RAFTMQ_RETURN_IF_ERROR(
      CheckLeased(state->position, change.queue, change.offset, change.lease_id));
  const Lease& lease = *state->position.Find(change.offset);
  ForgetFinal(lease);
  state->position.MoveLeaseEnd(change.offset, change.lease_until_ms);
  NoteFinal(*FindGroup(change.group), change.topic, change.queue, change.offset, lease);
  MarkTouched(state, change.offset);
  MarkPosition(change.group, change.topic, change.queue, state);
  return absl::OkStatus();
}

absl::Status BrokerState::ApplyBody(const UpdateOffset& update, LogIndex) {
  RAFTMQ_ASSIGN_OR_RETURN(PositionState * state,
                          PositionToChange(update.group, update.topic, update.queue, false));
  return StartAnew({update.group, update.topic, update.queue}, state, update.offset);
}

absl::Status BrokerState::StartAnew(const PositionName& name, PositionState* state,
                                    QueueOffset new_offset) {
  const QueueEnds ends = *FindQueue(name.topic, name.queue);
  if (new_offset > ends.max) {
    return absl::InternalError(StrCat("offset ", new_offset, " is past the end ", ends.max,
                                      " of queue ", name.queue, " of topic ", name.topic));
  }
  for (const auto& [offset, lease] : state->position.inflight()) {
    MarkErased(state, offset);
    ForgetFinal(lease);
  }
  const Position before = std::exchange(state->position, Position(std::max(new_offset, ends.min)));
  for (const auto& [offset, lease] : before.inflight()) {
    DropKept(name.topic, name.queue, offset);
  }
  MarkPosition(name.group, name.topic, name.queue, state);
  return absl::OkStatus();
}

// ---- Last attempts

void BrokerState::ForgetFinal(const Lease& lease) {
  final_leases_.Erase(lease.until_ms, lease.lease_id);
}

void BrokerState::NoteFinal(const GroupConfig& group, std::string_view topic, QueueId queue,
                            QueueOffset offset, const Lease& lease) {
  if (lease.attempt < group.max_attempts()) return;
  final_leases_.Put(
      lease.until_ms,
      {{group.name, std::string(topic), queue, offset, lease.lease_id}, lease.attempt});
}

void BrokerState::ForgetFinals(const TopicPositions& positions) {
  if (final_leases_.empty()) return;
  for (const PositionState& state : positions) {
    for (const auto& [offset, lease] : state.position.inflight()) ForgetFinal(lease);
  }
}

void BrokerState::NoteFinals(const GroupState& group) {
  for (const auto& [topic, positions] : group.topics) {
    for (size_t q = 0; q < positions.size(); ++q) {
      for (const auto& [offset, lease] : positions[q].position.inflight()) {
        NoteFinal(group.config, topic, QueueId(static_cast<int32_t>(q)), offset, lease);
      }
    }
  }
}

// ---- Looking

const BrokerState::TopicPositions* BrokerState::FindPositions(std::string_view group,
                                                              std::string_view topic) const {
  auto it = groups_.find(ToAbsl(group));
  if (it == groups_.end()) return nullptr;
  auto positions = it->second.topics.find(ToAbsl(topic));
  return positions == it->second.topics.end() ? nullptr : &positions->second;
}

bool BrokerState::HasPositions(std::string_view group, std::string_view topic) const {
  return FindPositions(group, topic) != nullptr;
}

std::optional<QueueProgress> BrokerState::FindProgress(std::string_view group,
                                                       std::string_view topic,
                                                       QueueId queue) const {
  const TopicPositions* positions = FindPositions(group, topic);
  std::optional<QueueEnds> ends = FindQueue(topic, queue);
  if (positions == nullptr || !ends.has_value()) return std::nullopt;
  size_t at = queue.value();
  bool set = at < positions->size() && (*positions)[at].set;
  return ProgressOf(topic, queue, *ends, set ? &(*positions)[at].position : nullptr);
}

std::vector<std::string> BrokerState::TopicsOf(std::string_view group) const {
  std::vector<std::string> topics;
  auto it = groups_.find(ToAbsl(group));
  if (it == groups_.end()) return topics;
  for (const auto& [topic, positions] : it->second.topics) topics.push_back(topic);
  std::sort(topics.begin(), topics.end());
  return topics;
}

std::vector<QueueProgress> BrokerState::Progress(std::string_view group) const {
  std::vector<QueueProgress> rows;
  for (const std::string& topic : TopicsOf(group)) {
    for (int32_t queue = 0; queue < QueueCount(topic); ++queue) {
      rows.push_back(*FindProgress(group, topic, QueueId(queue)));
    }
  }
  return rows;
}

const Position* BrokerState::FindPosition(std::string_view group, std::string_view topic,
                                          QueueId queue) const {
  const TopicPositions* positions = FindPositions(group, topic);
  if (positions == nullptr || queue.value() < 0 ||
      queue.value() >= static_cast<int32_t>(positions->size())) {
    return nullptr;
  }
  const PositionState& state = (*positions)[queue.value()];
  return state.set ? &state.position : nullptr;
}

const Lease* BrokerState::FindLease(std::string_view group, std::string_view topic, QueueId queue,
                                    QueueOffset offset) const {
  const TopicPositions* positions = FindPositions(group, topic);
  if (positions == nullptr || queue.value() < 0 ||
      queue.value() >= static_cast<int32_t>(positions->size())) {
    return nullptr;
  }
  return (*positions)[queue.value()].position.Find(offset);
}

}  // namespace raftmq::store
