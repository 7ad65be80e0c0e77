#include "tests/sim/sim_scheduler.h"

#include <algorithm>
#include <utility>

namespace raftmq::sim {
namespace {

// How long a posted task waits for its thread: what draws the interleaving of threads.
constexpr int64_t kMaxWakeUpNanos = 60 * kMicrosecond;

// 2026-01-01, so that wall time looks like wall time.
constexpr int64_t kWallEpochMillis = 1'767'225'600'000;

}  // namespace

SimTaskRunner::SimTaskRunner(SimScheduler* scheduler, std::string name)
    : scheduler_(scheduler), state_(std::make_shared<State>()) {
  state_->name = std::move(name);
}

SimTaskRunner::~SimTaskRunner() { state_->alive = false; }

void SimTaskRunner::Post(Task task) {
  const int64_t wake_up = static_cast<int64_t>(scheduler_->random_.Below(kMaxWakeUpNanos));
  state_->last_post_at = std::max(state_->last_post_at, scheduler_->now() + wake_up);
  scheduler_->Schedule(state_->last_post_at, state_, std::move(task));
}

void SimTaskRunner::RunAfter(int64_t delay_nanos, Task task) {
  const int64_t late = static_cast<int64_t>(scheduler_->random_.Below(kMaxWakeUpNanos));
  scheduler_->Schedule(scheduler_->now() + delay_nanos + late, state_, std::move(task));
}

void SimTaskRunner::SetTaskNanos(int64_t min, int64_t max) {
  state_->min_task_nanos = min;
  state_->max_task_nanos = max;
}

void SimTaskRunner::PauseFor(int64_t nanos) {
  state_->paused_until = std::max(state_->paused_until, scheduler_->now() + nanos);
}

SimScheduler::SimScheduler(uint64_t seed) : random_(seed) {}

SimScheduler::~SimScheduler() = default;

std::unique_ptr<SimTaskRunner> SimScheduler::NewRunner(std::string name) {
  return std::unique_ptr<SimTaskRunner>(new SimTaskRunner(this, std::move(name)));
}

int64_t SimScheduler::SimClock::WallMillis() const {
  return kWallEpochMillis + scheduler_->now() / kMillisecond;
}

int64_t SimScheduler::SimClock::MonotonicNanos() const { return scheduler_->now(); }

void SimScheduler::Schedule(int64_t at, std::shared_ptr<SimTaskRunner::State> runner,
                            TaskRunner::Task task) {
  heap_.push_back(
      {at, next_order_++, std::move(runner), std::make_shared<TaskRunner::Task>(std::move(task))});
  std::push_heap(heap_.begin(), heap_.end(), Later);
}

bool SimScheduler::RunOne() {
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    Event event = std::move(heap_.back());
    heap_.pop_back();
    if (!event.runner->alive) continue;
    if (event.runner->paused_until > event.at) {
      // Keeps its order number: posted tasks still run in order.
      event.at = event.runner->paused_until;
      heap_.push_back(std::move(event));
      std::push_heap(heap_.begin(), heap_.end(), Later);
      continue;
    }
    now_ = std::max(now_, event.at);
    ++tasks_run_;
    if (event.runner->max_task_nanos > 0) {
      event.runner->paused_until = std::max(
          event.runner->paused_until,
          now_ + random_.Between(event.runner->min_task_nanos, event.runner->max_task_nanos));
    }
    (*event.task)();
    return true;
  }
  return false;
}

void SimScheduler::RunFor(int64_t nanos) {
  const int64_t end = now_ + nanos;
  while (!heap_.empty() && heap_.front().at <= end) {
    const bool ran = RunOne();
    if (!ran) break;
    if (now_ > end) return;
  }
  now_ = std::max(now_, end);
}

bool SimScheduler::RunUntil(const std::function<bool()>& done, int64_t nanos) {
  const int64_t end = now_ + nanos;
  while (!done()) {
    if (now_ >= end || !RunOne()) return false;
  }
  return true;
}

}  // namespace raftmq::sim
