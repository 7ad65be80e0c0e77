// TimerScheduler: delivers delayed messages when they are due. Works while this member leads; it
// only proposes, so that two leaders that both think a timer is theirs deliver it once.
//
// It sleeps until the earliest timer is due, or an earlier one is applied. What is due is taken in
// batches, one at a time, so that messages come in the order in which they are due; the rate of
// batches is bounded, so that any number of timers due at once leaves room for sends. A batch that
// fails is tried again; a message that cannot be read is logged, left aside for a while, and does
// not hold up the others.
//
// OnTimersApplied may be called on any thread; the rest belongs to the task runner's. Outlives the
// runner's tasks and the store's callbacks.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/alarm.h"
#include "store/waiting_messages.h"

namespace raftmq::broker {

class TimerScheduler {
 public:
  struct Options {
    size_t max_batch = 256;
    int64_t max_per_second = 20'000;  // timerMaxDeliveriesPerSecond
    // The wall clock is looked at so often at least: it may be set.
    int64_t max_sleep_ms = 1'000;
    int64_t retry_ms = 50;  // after a refusal of the leader's
    int64_t retry_unreadable_ms = 10'000;
    size_t max_unreadable = 10'000;
  };

  TimerScheduler(Options options, store::WaitingMessages* waiting, Clock* clock, TaskRunner* timer)
      : options_(options),
        waiting_(waiting),
        clock_(clock),
        timer_(timer),
        alarm_(clock, timer, [this] { Look(); }) {}

  void SetLeading(bool leads);
  // Timers were applied: one of them may be the earliest.
  void OnTimersApplied();

 private:
  void Look();
  std::vector<store::Timer> TakeDue(int64_t wall_ms);
  void Deliver(std::vector<store::Timer> timers);
  void OnDelivered(const std::vector<store::Timer>& timers,
                   const std::vector<absl::Status>& statuses);

  const Options options_;
  store::WaitingMessages* const waiting_;
  Clock* const clock_;
  TaskRunner* const timer_;
  Alarm alarm_;  // for Look

  bool leads_ = false;
  bool delivering_ = false;
  int64_t not_before_nanos_ = 0;                   // of the next batch
  std::map<store::TimerRef, int64_t> unreadable_;  // until when they are left aside
};

}  // namespace raftmq::broker
