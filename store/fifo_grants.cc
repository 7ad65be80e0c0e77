#include "store/fifo_grants.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "store/message_encoding.h"

namespace raftmq::store {

namespace {

// Of a lease from before the group was orderly, or of a record that can't be read: any group.
constexpr uint64_t kUnknownGroup = 0;

class OrderlyPick {
 public:
  OrderlyPick(const BrokerState& state, const GrantRequest& request, const LeaseOwner& receiver,
              size_t full_window)
      : state_(state), request_(request), receiver_(receiver), full_window_(full_window) {
    const GroupConfig* group = state.FindGroup(request.group);
    if (group != nullptr) max_attempts_ = group->max_attempts();
  }

  GrantPlan Run() {
    for (const GrantRequest::Queue& queue : request_.queues) {
      if (Full()) break;
      PickFrom(queue);
    }
    for (size_t i = 0; i < plan_.items.size(); ++i) {
      plan_.items[i].lease_id = state_.next_lease_id() + i;
    }
    if (!plan_.items.empty()) plan_.next_visible_ms.reset();
    return std::move(plan_);
  }

 private:
  bool Full() const { return given_ >= request_.max_messages; }
  bool Blocked(uint64_t group) const {
    if (group == kUnknownGroup) return all_blocked_ || !blocked_.empty();
    return all_blocked_ || blocked_.contains(group);
  }
  void Block(uint64_t group) {
    all_blocked_ |= group == kUnknownGroup;
    blocked_.insert(group);
  }

  // Whose last attempt is over waits for being dead-lettered.
  bool IsFree(const Lease& lease) const {
    if (lease.until_ms <= request_.lease_now_ms) return lease.attempt < max_attempts_;
    return !receiver_.attempt_id.empty() && lease.owner->attempt_id == receiver_.attempt_id &&
           lease.owner->client_id == receiver_.client_id;
  }

  void Give(GrantItem item) {
    plan_.items.push_back(item);
    ++given_;
    // Nothing is known to be behind it in its own group.
    if (item.message_group == kUnknownGroup) Block(kUnknownGroup);
  }

  void PickFrom(const GrantRequest::Queue& queue) {
    blocked_.clear();
    all_blocked_ = false;
    const auto progress = state_.FindProgress(request_.group, request_.topic, queue.queue);
    if (!progress.has_value()) return;
    const Position* position = state_.FindPosition(request_.group, request_.topic, queue.queue);
    if (position != nullptr) PickAgain(queue.queue, *position);
    if (!Full() && !all_blocked_) PickNew(queue, progress->next_offset, progress->inflight);
  }

  // What is in flight, in order: at most max_inflight.
  void PickAgain(QueueId queue, const Position& position) {
    for (const auto& [offset, lease] : position.inflight()) {
      if (Full() || all_blocked_) return;
      if (IsFree(lease) && !Blocked(lease.message_group)) {
        Give({queue, offset, lease.attempt + 1, 0, lease.message_group});
        continue;
      }
      Block(lease.message_group);
      if (lease.until_ms > request_.lease_now_ms) {
        plan_.next_visible_ms =
            std::min(lease.until_ms, plan_.next_visible_ms.value_or(lease.until_ms));
      }
    }
  }

  // What lies before the next message that can be given: of use only if there is one.
  struct PassedOver {
    std::vector<GrantItem> items;
    std::vector<FilteredRange> filtered;
  };

  void Take(PassedOver* passed) {
    plan_.items.insert(plan_.items.end(), passed->items.begin(), passed->items.end());
    plan_.filtered.insert(plan_.filtered.end(), passed->filtered.begin(), passed->filtered.end());
    *passed = {};
  }

  void PickNew(const GrantRequest::Queue& queue, QueueOffset next, int64_t inflight) {
    if (next >= queue.limit) return;
    const FilterWindow* window = queue.window;
    if (window == nullptr || window->groups.size() != window->pass.size() || next < window->from ||
        next >= window->from + static_cast<int64_t>(window->pass.size())) {
      plan_.rescan.push_back(queue.queue);
      return;
    }
    const QueueOffset window_end = window->from + static_cast<int64_t>(window->pass.size());
    const QueueOffset end = std::min(queue.limit, window_end);
    PassedOver passed;
    QueueOffset filtered_from = next;
    QueueOffset at = next;
    const auto close_range = [&] {
      if (filtered_from < at) passed.filtered.push_back({queue.queue, filtered_from, at});
      if (passed.items.empty()) Take(&passed);
    };
    for (; at < end && !Full() && !all_blocked_; ++at) {
      if (!window->pass[at - window->from]) continue;
      if (inflight >= request_.max_inflight) {
        plan_.inflight_full = true;
        break;
      }
      const uint64_t group = window->groups[at - window->from];
      if (group == kUnknownGroup && Blocked(group)) break;
      close_range();
      if (Blocked(group)) {
        passed.items.push_back({queue.queue, at, 0, 0, group});
      } else {
        Take(&passed);
        Give({queue.queue, at, 1, 0, group});
      }
      filtered_from = at + 1;
      ++inflight;
    }
    close_range();
    const bool more = at == end && end < queue.limit && !Full() && !all_blocked_;
    if (more && (passed.items.empty() || window->pass.size() < full_window_)) {
      plan_.rescan.push_back(queue.queue);
    }
  }

  const BrokerState& state_;
  const GrantRequest& request_;
  const LeaseOwner& receiver_;
  const size_t full_window_;
  int64_t max_attempts_ = 0;
  GrantPlan plan_;
  int64_t given_ = 0;
  // Of the queue that is looked at.
  absl::flat_hash_set<uint64_t> blocked_;
  bool all_blocked_ = false;
};

}  // namespace

uint64_t FifoGroupOf(const PropertiesView& properties) {
  std::string_view group;
  if (!properties.Find(property::kShardingKey, &group)) return kUngrouped;
  return std::max(MessageGroupHash(group), kUngrouped + 1);
}

GrantPlan PickInOrder(const BrokerState& state, const GrantRequest& request,
                      const LeaseOwner& receiver, size_t full_window) {
  return OrderlyPick(state, request, receiver, full_window).Run();
}

}  // namespace raftmq::store
