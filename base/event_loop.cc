#include "base/event_loop.h"

#include <chrono>
#include <utility>

#include "base/event_loop_asio.h"
#include "base/thread.h"
#include "glog/logging.h"

namespace raftmq {
namespace {

// Asio copies handlers in places; AnyInvocable only moves, so tasks ride in a shared_ptr.
struct SharedTask {
  std::shared_ptr<TaskRunner::Task> task;
  void operator()() { (*task)(); }
};

thread_local PostCork* cork = nullptr;

}  // namespace

PostCork::PostCork() {
  CHECK(cork == nullptr) << "this thread's posts are gathered already";
  cork = this;
}

PostCork::~PostCork() {
  Flush();
  cork = nullptr;
}

void PostCork::Flush() {
  for (auto& [loop, task] : std::exchange(held_, {})) loop->PostNow(std::move(task));
}

EventLoop::EventLoop(const std::string& thread_name) : impl_(std::make_unique<Impl>()) {
  impl_->thread = StartThread(thread_name, [impl = impl_.get()] { impl->io.run(); });
  impl_->id = impl_->thread.get_id();
}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Stop() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

bool EventLoop::InLoop() const { return std::this_thread::get_id() == impl_->id; }

void EventLoop::Post(Task task) {
  if (cork != nullptr) {
    cork->held_.emplace_back(this, std::move(task));
    return;
  }
  PostNow(std::move(task));
}

void EventLoop::PostNow(Task task) {
  asio::post(impl_->io, SharedTask{std::make_shared<Task>(std::move(task))});
}

void EventLoop::RunAfter(int64_t delay_nanos, Task task) {
  auto timer = std::make_shared<asio::steady_timer>(impl_->io);
  timer->expires_after(std::chrono::nanoseconds(delay_nanos));
  timer->async_wait([timer, task = std::make_shared<Task>(std::move(task))](
                        const asio::error_code& error) {
    if (!error) (*task)();
  });
}

}  // namespace raftmq
