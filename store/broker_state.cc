#include "store/broker_state.h"

#include <algorithm>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::store {

BrokerState::BrokerState(const BrokerState& other)
    : topics_(other.topics_),
      groups_(other.groups_),
      final_leases_(other.final_leases_),
      dead_lettered_(other.dead_lettered_),
      redriven_(other.redriven_),
      queue_locks_(other.queue_locks_),
      lite_topics_(other.lite_topics_),
      lite_topic_count_(other.lite_topic_count_),
      lite_subscriptions_(other.lite_subscriptions_),
      min_position_(other.min_position_),
      log_time_ms_(other.log_time_ms_),
      lease_time_ms_(other.lease_time_ms_),
      next_lease_id_(other.next_lease_id_),
      applied_index_(other.applied_index_),
      is_copy_(true) {}

void BrokerState::AdvanceTo(LogIndex applied) {
  CHECK_GE(applied, applied_index_);
  if (applied != applied_index_) applied_index_ = applied;
}

absl::Status BrokerState::Apply(const Command& command, LogIndex index) {
  if (index <= applied_index_) {
    return absl::InternalError(
        StrCat("entry ", index, " comes again: entry ", applied_index_, " is applied already"));
  }
  log_time_ms_ = std::max(log_time_ms_, command.log_time_ms);
  lease_time_ms_ = std::max(lease_time_ms_, command.lease_time_ms);
  absl::Status status =
      std::visit([&](const auto& body) { return ApplyBody(body, index); }, command.body);
  if (!status.ok()) {
    return Annotate(status, StrCat("entry ", index, " (", CommandName(command.body),
                                   ") contradicts the replicated state"));
  }
  return status;
}

absl::Status BrokerState::ApplyRecord(std::string_view name, QueueId queue, QueueOffset offset,
                                      int64_t store_ms, LogIndex index, Audience audience) {
  if (index <= applied_index_) {
    return absl::InternalError(
        StrCat("entry ", index, " comes again: entry ", applied_index_, " is applied already"));
  }
  TopicState* topic = MutableTopic(name);
  if (topic == nullptr || topic->config.created_index > index) {
    return absl::InternalError(StrCat("entry ", index, " holds a message of topic ", name,
                                      ", which does not exist at that index"));
  }
  if (queue.value() < 0 || queue.value() >= static_cast<int32_t>(topic->queues.size())) {
    return absl::InternalError(StrCat("entry ", index, " holds a message of queue ", queue,
                                      " of topic ", name, ", which has ", topic->queues.size(),
                                      " queues"));
  }
  QueueState& state = topic->queues[queue.value()];
  if (state.ends.max != offset) {
    return absl::InternalError(StrCat("entry ", index, " holds offset ", offset, " of queue ",
                                      queue, " of topic ", name, ", expected ", state.ends.max));
  }
  ++state.ends.max;
  state.ends.last_store_ms = store_ms;
  if (audience == Audience::kOneGroup) {
    // What expired since the last one needs no looking at.
    if (state.ends.for_one_end <= state.ends.min) state.ends.for_one_begin = offset;
    state.ends.for_one_end = state.ends.max;
  }
  log_time_ms_ = std::max(log_time_ms_, store_ms);
  MarkQueue(name, queue, &state);
  return absl::OkStatus();
}

}  // namespace raftmq::store
