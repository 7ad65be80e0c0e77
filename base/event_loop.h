// EventLoop: a TaskRunner on one thread of its own, over an Asio io_context so that sockets can
// live on the same thread. Asio stays out of this header: those who need the io_context include
// base/event_loop_asio.h.
//
// Created and destroyed by the process's wiring; destruction stops and joins the thread, and tasks
// still queued are dropped (destroyed unrun).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/task_runner.h"

namespace raftmq {

class EventLoop final : public TaskRunner {
 public:
  explicit EventLoop(const std::string& thread_name);
  ~EventLoop() override;

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Post(Task task) override;
  void RunAfter(int64_t delay_nanos, Task task) override;

  // Whether the caller is on the loop's thread.
  bool InLoop() const;

  // Stops running tasks and joins; later posts are dropped. Called at most once, off the loop.
  void Stop();

  struct Impl;
  Impl* impl() { return impl_.get(); }

 private:
  friend class PostCork;
  void PostNow(Task task);

  std::unique_ptr<Impl> impl_;
};

// Gathers what one thread posts to event loops, for a thread that gets its work in bursts: a loop
// is woken once for a burst, and finds all of it. While a PostCork exists, Posts of its thread wait,
// in order, for Flush or its end; RunAfter does not. Made and used on the thread that it gathers
// for, at most one there at a time; every loop that the thread posts to outlives it.
class PostCork {
 public:
  PostCork();
  ~PostCork();

  PostCork(const PostCork&) = delete;
  PostCork& operator=(const PostCork&) = delete;

  size_t size() const { return held_.size(); }
  void Flush();

 private:
  friend class EventLoop;

  std::vector<std::pair<EventLoop*, TaskRunner::Task>> held_;
};

}  // namespace raftmq
