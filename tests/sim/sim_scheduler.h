// SimScheduler: simulated time and simulated threads, so that a whole cluster runs in one real
// thread and a run is repeated exactly from its seed.
//
// Each SimTaskRunner stands for one thread: its posted tasks run in order, one at a time; how the
// threads of a run interleave is drawn from the seed. Time stands still while a task runs and
// jumps to the next task's moment afterwards.
//
// Single-threaded. The scheduler outlives its runners; a runner must not be destroyed from within
// one of its own tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/task_runner.h"

namespace raftmq::sim {

inline constexpr int64_t kMicrosecond = 1'000;
inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;

class SimScheduler;

class SimTaskRunner final : public TaskRunner {
 public:
  ~SimTaskRunner() override;

  void Post(Task task) override;
  void RunAfter(int64_t delay_nanos, Task task) override;

  // Each task keeps the thread busy for a time drawn from [min, max]: what a disk takes, say. What
  // the task does happens when it starts; the next one starts when it has ended.
  void SetTaskNanos(int64_t min, int64_t max);

  // Runs nothing until `nanos` from now, as a stopped process or a starved thread does. What comes
  // due meanwhile runs afterwards, in order.
  void PauseFor(int64_t nanos);

 private:
  friend class SimScheduler;
  struct State {
    std::string name;
    bool alive = true;
    int64_t paused_until = 0;  // or busy
    int64_t min_task_nanos = 0;
    int64_t max_task_nanos = 0;
    int64_t last_post_at = 0;  // posted tasks keep their order
  };

  SimTaskRunner(SimScheduler* scheduler, std::string name);

  SimScheduler* const scheduler_;
  const std::shared_ptr<State> state_;
};

class SimScheduler {
 public:
  explicit SimScheduler(uint64_t seed);
  ~SimScheduler();

  SimScheduler(const SimScheduler&) = delete;
  SimScheduler& operator=(const SimScheduler&) = delete;

  // What a runner posted and did not run is dropped with it, like the tasks of a killed process.
  std::unique_ptr<SimTaskRunner> NewRunner(std::string name);

  Clock* clock() { return &clock_; }
  Random& random() { return random_; }
  int64_t now() const { return now_; }

  // Runs the next task, moving time to its moment. False: nothing is left to run.
  bool RunOne();

  // Runs all that comes due within `nanos`, and moves time by exactly that.
  void RunFor(int64_t nanos);

  // Runs until `done()` holds, looked at after each task. False: it did not within `nanos`.
  bool RunUntil(const std::function<bool()>& done, int64_t nanos);

  uint64_t tasks_run() const { return tasks_run_; }

 private:
  friend class SimTaskRunner;

  struct Event {
    int64_t at;
    uint64_t order;  // breaks ties in order of scheduling
    std::shared_ptr<SimTaskRunner::State> runner;
    std::shared_ptr<TaskRunner::Task> task;
  };
  static bool Later(const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  class SimClock final : public Clock {
   public:
    explicit SimClock(const SimScheduler* scheduler) : scheduler_(scheduler) {}
    int64_t WallMillis() const override;
    int64_t MonotonicNanos() const override;

   private:
    const SimScheduler* scheduler_;
  };

  void Schedule(int64_t at, std::shared_ptr<SimTaskRunner::State> runner, TaskRunner::Task task);

  int64_t now_ = kSecond;
  uint64_t next_order_ = 0;
  uint64_t tasks_run_ = 0;
  Random random_;
  SimClock clock_{this};
  std::vector<Event> heap_;
};

}  // namespace raftmq::sim
