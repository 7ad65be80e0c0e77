// InlineRunner: runs what a log posts, for those who open one by themselves: bootstrapping and
// repairing a member. Nothing else happens in the process then.
//
// One thread.
#pragma once

#include <deque>
#include <utility>

#include "base/task_runner.h"

namespace raftmq::dledger {

class InlineRunner final : public TaskRunner {
 public:
  void Post(Task task) override { tasks_.push_back(std::move(task)); }
  // Only refreshes and retries are delayed: not needed in so short a life.
  void RunAfter(int64_t delay_nanos, Task task) override {
    if (delay_nanos <= 0) Post(std::move(task));
  }
  void RunAll() {
    while (!tasks_.empty()) {
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

 private:
  std::deque<Task> tasks_;
};

}  // namespace raftmq::dledger
