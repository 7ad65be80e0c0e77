// Alarm: one thing to be done at the earliest of the times at which somebody wants it done.
//
// RingNow may be called on any thread, and costs one task however often it is called before that
// ran; the rest belongs to the task runner's. Outlives the runner's tasks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "base/task_runner.h"

namespace raftmq::broker {

class Alarm {
 public:
  // `ring` runs on `runner`.
  Alarm(Clock* clock, TaskRunner* runner, std::function<void()> ring)
      : clock_(clock), runner_(runner), ring_(std::move(ring)) {}

  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  void RingNow() {
    if (posted_.exchange(true)) return;
    runner_->Post([this] {
      posted_.store(false);
      ring_();
    });
  }

  // Does nothing if it rings before that anyway.
  void RingAfter(int64_t nanos) {
    const int64_t at = clock_->MonotonicNanos() + nanos;
    if (rings_at_nanos_ != 0 && rings_at_nanos_ <= at) return;
    rings_at_nanos_ = at;
    runner_->RunAfter(nanos, [this, generation = ++generation_] {
      if (generation != generation_) return;  // an earlier time was asked for meanwhile
      rings_at_nanos_ = 0;
      ring_();
    });
  }

 private:
  Clock* const clock_;
  TaskRunner* const runner_;
  const std::function<void()> ring_;
  std::atomic<bool> posted_{false};
  int64_t rings_at_nanos_ = 0;  // 0: no time was asked for
  uint64_t generation_ = 0;     // of that time
};

}  // namespace raftmq::broker
