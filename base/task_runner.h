// TaskRunner: runs closures one at a time, in order, now or later. The seam between code that
// owns state single-threadedly and what drives it: a thread in production (EventLoop), a queue
// ordered by simulated time in tests.
//
// Post and RunAfter may be called from any thread, also from within a task. A task never runs
// inside the call that posts it.
#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"

namespace raftmq {

class TaskRunner {
 public:
  using Task = absl::AnyInvocable<void()>;

  virtual ~TaskRunner() = default;

  virtual void Post(Task task) = 0;

  // Runs `task` once, no earlier than `delay_nanos` from now. There is no cancel: a task that may
  // have become stale checks for itself (a generation number, say).
  virtual void RunAfter(int64_t delay_nanos, Task task) = 0;
};

}  // namespace raftmq
