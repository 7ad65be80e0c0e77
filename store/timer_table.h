// TimerTable: the delayed messages that are not delivered yet, in the order in which they are due.
//
// 32 bytes or so for each in memory; the record itself is in the log. Part of BrokerState, whose
// owner rules who may call it. Copies of a state (LeaderView's) have none of it: a timer is taken
// up only once it is applied, since its record must be read.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "base/ids.h"
#include "store/settlement.h"

namespace raftmq::store {

struct Timer {
  TimerRef ref;
  int32_t record_size = 0;
};

class TimerTable {
 public:
  void Add(const TimerRef& timer, int32_t record_size) { timers_[timer] = record_size; }
  // False: there is no such timer.
  bool Erase(const TimerRef& timer) { return timers_.erase(timer) == 1; }
  // REQUIRES: Contains(timer).
  int32_t SizeOf(const TimerRef& timer) const { return timers_.find(timer)->second; }
  bool Contains(const TimerRef& timer) const { return timers_.contains(timer); }

  // Those due at `now_ms`, earliest first (of one instant: in log order), at most `max`.
  std::vector<Timer> Due(int64_t now_ms, size_t max) const {
    std::vector<Timer> due;
    for (const auto& [ref, size] : timers_) {
      if (ref.due_ms > now_ms || due.size() >= max) break;
      due.push_back({ref, size});
    }
    return due;
  }

  std::optional<int64_t> EarliestDueMs() const {
    if (timers_.empty()) return std::nullopt;
    return timers_.begin()->first.due_ms;
  }

  size_t size() const { return timers_.size(); }

  // In order of due time.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    for (const auto& [ref, size] : timers_) visit(Timer{ref, size});
  }

 private:
  absl::btree_map<TimerRef, int32_t> timers_;
};

}  // namespace raftmq::store
