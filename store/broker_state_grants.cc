// BrokerState: choosing what to lease, and checking handles.

#include <algorithm>

#include "base/strings.h"
#include "store/broker_state.h"
#include "store/reason.h"
#include "store/receipt_handle.h"

namespace raftmq::store {
namespace {

bool Full(const GrantRequest& request, const GrantPlan& plan) {
  return static_cast<int64_t>(plan.items.size()) >= request.max_messages;
}

void KeepEarlier(std::optional<int64_t> candidate, std::optional<int64_t>* earliest) {
  if (candidate.has_value()) *earliest = std::min(*candidate, earliest->value_or(*candidate));
}

}  // namespace

GrantPlan BrokerState::PickGrants(const GrantRequest& request) {
  GrantPlan plan;
  const TopicState* topic = FindTopicState(request.topic);
  GroupState* group = MutableGroup(request.group);
  if (topic == nullptr || group == nullptr) return plan;
  auto it = group->topics.find(ToAbsl(request.topic));
  if (it == group->topics.end()) return plan;
  // One after another, or all at once.
  const size_t step = request.queue_by_queue ? 1 : std::max<size_t>(request.queues.size(), 1);
  for (size_t at = 0; at < request.queues.size(); at += step) {
    GrantRequest part = request;
    part.queues = request.queues.subspan(at, step);
    PickExpired(part, group->config.max_attempts(), it->second, &plan);
    PickNew(part, *topic, it->second, &plan);
    // What has to be looked at first may come before all that follows.
    if (request.queue_by_queue && part.queues[0].window == nullptr && !plan.rescan.empty()) break;
  }
  for (size_t i = 0; i < plan.items.size(); ++i) plan.items[i].lease_id = next_lease_id_ + i;
  if (!plan.items.empty()) return plan;
  // What is over now is to be dead-lettered: it does not become visible.
  for (const GrantRequest::Queue& queue : request.queues) {
    size_t at = queue.queue.value();
    if (at >= it->second.size()) continue;
    KeepEarlier(it->second[at].position.EarliestRunningEnd(), &plan.next_visible_ms);
  }
  return plan;
}

void BrokerState::PickExpired(const GrantRequest& request, int64_t max_attempts,
                              TopicPositions& positions, GrantPlan* plan) const {
  for (const GrantRequest::Queue& queue : request.queues) {
    size_t at = queue.queue.value();
    if (at >= positions.size()) continue;
    Position& position = positions[at].position;
    position.Settle(request.lease_now_ms);
    for (QueueOffset offset : position.ready()) {
      if (Full(request, *plan)) return;
      const int32_t attempt = position.Find(offset)->attempt;
      if (attempt < max_attempts) plan->items.push_back({queue.queue, offset, attempt + 1, 0});
    }
  }
}

void BrokerState::PickNew(const GrantRequest& request, const TopicState& topic,
                          const TopicPositions& positions, GrantPlan* plan) const {
  for (const GrantRequest::Queue& queue : request.queues) {
    if (Full(request, *plan)) return;
    size_t at = queue.queue.value();
    if (at >= topic.queues.size()) continue;
    if (at < positions.size() && positions[at].set) {
      const Position& position = positions[at].position;
      PickNewOf(request, queue, position.next(), position.inflight_size(), plan);
    } else {
      PickNewOf(request, queue, topic.queues[at].ends.min, 0, plan);
    }
  }
}

void BrokerState::PickNewOf(const GrantRequest& request, const GrantRequest::Queue& queue,
                            QueueOffset next, int64_t inflight, GrantPlan* plan) const {
  const FilterWindow* window = queue.window;
  QueueOffset end = queue.limit;
  if (next >= end) return;
  if (window == nullptr && next < queue.for_one_end) {
    // Which are not for this group is seen in their entries.
    if (next >= queue.for_one_begin) {
      plan->rescan.push_back(queue.queue);
      return;
    }
    end = std::min(end, queue.for_one_begin);
  } else if (window != nullptr) {
    QueueOffset window_end = window->from + static_cast<int64_t>(window->pass.size());
    if (next < window->from || next >= window_end) {
      plan->rescan.push_back(queue.queue);
      return;
    }
    end = std::min(end, window_end);
  }
  QueueOffset at = next;
  QueueOffset filtered_from = next;
  auto close_range = [&] {
    if (filtered_from < at) plan->filtered.push_back({queue.queue, filtered_from, at});
  };
  for (; at < end; ++at) {
    if (window != nullptr && !window->pass[at - window->from]) continue;
    if (Full(request, *plan)) break;
    if (inflight >= request.max_inflight) {
      plan->inflight_full = true;
      break;
    }
    close_range();
    plan->items.push_back({queue.queue, at, 1, 0});
    filtered_from = at + 1;
    ++inflight;
  }
  close_range();
  if (at == end && end < queue.limit && !Full(request, *plan)) {
    plan->rescan.push_back(queue.queue);
  }
}

absl::StatusOr<LeasedMessage> BrokerState::CheckHandle(std::string_view group,
                                                       std::string_view topic,
                                                       std::string_view text) const {
  RAFTMQ_ASSIGN_OR_RETURN(ReceiptHandle handle, ParseReceiptHandle(text));
  if (handle.names_crc != ReceiptNamesCrc(group, topic)) {
    return Refuse(
        Reason::kInvalidReceiptHandle,
        StrCat("the receipt handle was not made for group ", group, " and topic ", topic));
  }
  const Lease* lease = FindLease(group, topic, handle.queue, handle.offset);
  if (lease == nullptr || lease->lease_id != handle.lease_id) {
    return Refuse(Reason::kInvalidReceiptHandle,
                  StrCat("the receipt handle of queue ", handle.queue, " offset ", handle.offset,
                         " is out of date: the message was ",
                         lease == nullptr ? "acked or dead-lettered" : "given out again",
                         " for group ", group, " on topic ", topic));
  }
  return LeasedMessage{handle.queue, handle.offset, *lease};
}

}  // namespace raftmq::store
