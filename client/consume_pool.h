// ConsumePool: the threads that call a push consumer's listener; how many can change as they run.
// What waits for them is bounded by what the consumer holds (ProcessQueue::Thresholds).
//
// Thread-safe.
#pragma once

#include <deque>
#include <list>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "base/thread.h"

namespace raftmq::client {

class ConsumePool {
 public:
  using Task = absl::AnyInvocable<void()>;

  explicit ConsumePool(int threads) { Resize(threads); }
  // Runs what is still waiting.
  ~ConsumePool() {
    std::list<std::thread> all;
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
      all.splice(all.end(), workers_);
      all.splice(all.end(), ended_);
    }
    for (std::thread& thread : all) thread.join();
  }

  ConsumePool(const ConsumePool&) = delete;
  ConsumePool& operator=(const ConsumePool&) = delete;

  void Submit(Task task) {
    absl::MutexLock lock(&mu_);
    tasks_.push_back(std::move(task));
  }

  // More threads take tasks at once; those that are too many go when they have ended what they do.
  // 1 at least. Not on a thread of the pool.
  void Resize(int threads) {
    std::list<std::thread> ended;
    {
      absl::MutexLock lock(&mu_);
      for (; running_ < threads; ++running_) {
        std::thread& thread = workers_.emplace_back();
        thread = StartThread("mq-consume", [this, &thread] { Run(&thread); });
      }
      wanted_ = threads;
      ended.swap(ended_);
    }
    for (std::thread& thread : ended) thread.join();
  }

  int running() const {
    absl::MutexLock lock(&mu_);
    return running_;
  }

 private:
  void Run(const std::thread* self) {
    for (;;) {
      Task task;
      {
        absl::MutexLock lock(&mu_);
        const auto ready = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return stopping_ || running_ > wanted_ || !tasks_.empty();
        };
        mu_.Await(absl::Condition(&ready));
        if (running_ > wanted_ && !stopping_) return Leave(self);
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  // Its thread is joined by the next Resize, or at the end.
  void Leave(const std::thread* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    --running_;
    for (auto it = workers_.begin(); it != workers_.end(); ++it) {
      if (&*it != self) continue;
      ended_.splice(ended_.end(), workers_, it);
      return;
    }
  }

  mutable absl::Mutex mu_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int wanted_ ABSL_GUARDED_BY(mu_) = 0;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  std::list<std::thread> workers_ ABSL_GUARDED_BY(mu_);
  std::list<std::thread> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace raftmq::client
