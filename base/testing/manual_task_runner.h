// ManualTaskRunner: a TaskRunner that a test turns by hand, over a FakeClock.
//
// Post and RunAfter are thread-safe; the Run methods are for one thread at a time. Tasks due at the
// same time run in the order they were posted.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/task_runner.h"
#include "base/testing/fake_clock.h"

namespace raftmq {

class ManualTaskRunner final : public TaskRunner {
 public:
  // `clock` outlives the runner; several runners may share one.
  explicit ManualTaskRunner(FakeClock* clock) : clock_(clock) {}

  void Post(Task task) override { RunAfter(0, std::move(task)); }

  void RunAfter(int64_t delay_nanos, Task task) override {
    absl::MutexLock lock(&mutex_);
    tasks_.emplace(std::pair(clock_->MonotonicNanos() + delay_nanos, next_sequence_++),
                   std::move(task));
  }

  // Runs one task that is due; false if none is.
  bool RunOne() {
    Task task;
    {
      absl::MutexLock lock(&mutex_);
      auto first = tasks_.begin();
      if (first == tasks_.end() || first->first.first > clock_->MonotonicNanos()) return false;
      task = std::move(first->second);
      tasks_.erase(first);
    }
    task();
    return true;
  }

  // Runs what is due, and what that posts for now, until nothing is. Returns how many ran.
  int RunDue() {
    int ran = 0;
    while (RunOne()) ++ran;
    return ran;
  }

  // Moves the clock on by `nanos`, stopping at each task on the way to run it.
  void RunFor(int64_t nanos) {
    const int64_t end = clock_->MonotonicNanos() + nanos;
    for (;;) {
      RunDue();
      const int64_t next = NextDueNanos();
      if (next > end) break;
      clock_->Advance(next - clock_->MonotonicNanos());
    }
    clock_->Advance(end - clock_->MonotonicNanos());
  }

  // When the next task is due, in monotonic nanoseconds; INT64_MAX if there is none.
  int64_t NextDueNanos() const {
    absl::MutexLock lock(&mutex_);
    return tasks_.empty() ? INT64_MAX : tasks_.begin()->first.first;
  }

  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return tasks_.size();
  }

  // Drops all tasks unrun, as the end of a process does.
  void Clear() {
    std::map<std::pair<int64_t, uint64_t>, Task> dropped;
    absl::MutexLock lock(&mutex_);
    dropped.swap(tasks_);
  }

  FakeClock* clock() const { return clock_; }

 private:
  FakeClock* const clock_;
  mutable absl::Mutex mutex_;
  std::map<std::pair<int64_t, uint64_t>, Task> tasks_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace raftmq
