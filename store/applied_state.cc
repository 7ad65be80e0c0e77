#include "store/applied_state.h"

#include <algorithm>

namespace raftmq::store {

namespace {

template <typename Waiters, typename Key>
void TakeReady(Waiters& waiters, const Key& applied, std::vector<AppliedState::Then>* ready) {
  const auto last = waiters.upper_bound(applied);
  for (auto it = waiters.begin(); it != last; ++it) ready->push_back(std::move(it->second));
  waiters.erase(waiters.begin(), last);
}

}  // namespace

void AppliedState::Publish(LogIndex index, LogPosition end) {
  end_.store(std::max(end_.load(std::memory_order_relaxed), end.value()),
             std::memory_order_release);
  std::vector<Then> ready;
  {
    absl::MutexLock lock(&waiters_mutex_);
    index_.store(std::max(index_.load(std::memory_order_relaxed), index.value()),
                 std::memory_order_release);
    TakeReady(waiters_, this->index(), &ready);
    TakeReady(end_waiters_, this->end(), &ready);
  }
  for (Then& then : ready) then(absl::OkStatus());
}

void AppliedState::WhenApplied(LogIndex index, Then then) {
  absl::Status status;
  {
    absl::MutexLock lock(&waiters_mutex_);
    if (this->index() < index) {
      if (stopped_.ok()) {
        waiters_.emplace(index, std::move(then));
        return;
      }
      status = stopped_;
    }
  }
  then(std::move(status));
}

void AppliedState::WhenAppliedTo(LogPosition end, Then then) {
  absl::Status status;
  {
    absl::MutexLock lock(&waiters_mutex_);
    if (this->end() < end) {
      if (stopped_.ok()) {
        end_waiters_.emplace(end, std::move(then));
        return;
      }
      status = stopped_;
    }
  }
  then(std::move(status));
}

void AppliedState::Stop(absl::Status why) {
  std::multimap<LogIndex, Then> waiters;
  std::multimap<LogPosition, Then> end_waiters;
  {
    absl::MutexLock lock(&waiters_mutex_);
    if (stopped_.ok()) stopped_ = why;
    waiters.swap(waiters_);
    end_waiters.swap(end_waiters_);
  }
  for (auto& [index, then] : waiters) then(why);
  for (auto& [end, then] : end_waiters) then(why);
}

}  // namespace raftmq::store
