// ConsumePool: the threads that call a push consumer's listener. What waits for them is bounded by
// what the consumer holds (ProcessQueue::Thresholds).
//
// Thread-safe.
#pragma once

#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "base/thread.h"

namespace raftmq::client {

class ConsumePool {
 public:
  using Task = absl::AnyInvocable<void()>;

  explicit ConsumePool(int threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.push_back(StartThread("mq-consume", [this] { Run(); }));
    }
  }
  // Runs what is still waiting.
  ~ConsumePool() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    for (std::thread& thread : threads_) thread.join();
  }

  ConsumePool(const ConsumePool&) = delete;
  ConsumePool& operator=(const ConsumePool&) = delete;

  void Submit(Task task) {
    absl::MutexLock lock(&mu_);
    tasks_.push_back(std::move(task));
  }

 private:
  void Run() {
    for (;;) {
      Task task;
      {
        absl::MutexLock lock(&mu_);
        const auto ready = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return stopping_ || !tasks_.empty();
        };
        mu_.Await(absl::Condition(&ready));
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  absl::Mutex mu_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace raftmq::client
