// What to lease to a receiver: the question and the answer, before anything is logged.
//
// Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "store/commands.h"

namespace raftmq::store {

// Which messages of a queue pass a receiver's filter, as read from the consume queue beforehand.
struct FilterWindow {
  QueueOffset from;
  std::vector<bool> pass;  // of offset from + i
  // For an orderly group: FifoGroupOf the message, 0 if it can't be read or does not pass.
  std::vector<uint64_t> groups;
};

struct GrantRequest {
  struct Queue {
    QueueId queue;
    QueueOffset limit;                     // grant below this only: the applied end of the queue
    const FilterWindow* window = nullptr;  // none: every message passes, but…
    // …where some may be for one group alone (QueueEnds): without a window they are in
    // plan.rescan.
    QueueOffset for_one_begin;
    QueueOffset for_one_end;
  };
  std::string_view group;
  std::string_view topic;
  std::span<const Queue> queues;  // in the order in which they are looked at
  int64_t lease_now_ms = 0;
  int32_t max_messages = 32;
  int64_t max_inflight = 10'000;  // of the group on one queue: no new ones beyond it
  // Whether a queue's new messages come before those of the next queue that come again.
  bool queue_by_queue = false;
};

// What a Grant command needs. Nothing is changed by making one.
struct GrantPlan {
  std::vector<GrantItem> items;
  std::vector<FilteredRange> filtered;
  // Queues whose window does not reach (or no longer covers) all there is to look at.
  std::vector<QueueId> rescan;
  bool inflight_full = false;  // some queue had more, but its in-flight bound is reached
  // With no items: when the next lease on these queues ends, on the lease clock.
  std::optional<int64_t> next_visible_ms;

  // Nothing to log.
  bool empty() const { return items.empty() && filtered.empty(); }
};

}  // namespace raftmq::store
