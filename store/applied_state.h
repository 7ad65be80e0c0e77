// AppliedState: the replicated state as the committed log made it on this member, for many readers
// and one writer, the apply thread.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "store/broker_state.h"

namespace raftmq::store {

class AppliedState {
 public:
  // Calls look(const BrokerState&) under a shared lock. What it returns must not point into the
  // state. Keep it short: the apply thread waits.
  template <typename Look>
  auto Read(Look&& look) const {
    absl::ReaderMutexLock lock(&mutex_);
    return look(static_cast<const BrokerState&>(state_));
  }

  // The same for changes.
  template <typename Change>
  auto Write(Change&& change) {
    absl::WriterMutexLock lock(&mutex_);
    return change(state_);
  }

  // For BrokerState::FinishBatch, which changes only what readers don't look at (which rows wait
  // for the database) and takes long when many do: under the shared lock, so that readers go on.
  // One caller at a time, and nobody in Write or Copy meanwhile.
  template <typename Mirror>
  void HandOverRows(Mirror&& mirror) {
    absl::ReaderMutexLock lock(&mutex_);
    mirror(const_cast<BrokerState&>(static_cast<const BrokerState&>(state_)));
  }

  // Index of the last applied entry, and the log position where it ends (0 until anything was
  // applied since the start).
  LogIndex index() const { return LogIndex(index_.load(std::memory_order_acquire)); }
  LogPosition end() const { return LogPosition(end_.load(std::memory_order_acquire)); }

  // Everything up to `index` can be read; runs what waited for it. `end` of the replayed part may
  // lie behind what `index` says, when the state is ahead of other parts.
  void Publish(LogIndex index, LogPosition end);

  // Runs `then` with OK once `index` is applied: at once on this thread, or on the apply thread;
  // with an error if the store stops before. Must not block.
  using Then = absl::AnyInvocable<void(absl::Status)>;
  void WhenApplied(LogIndex index, Then then);

  // The same once everything before `end` in the log is applied.
  void WhenAppliedTo(LogPosition end, Then then);

  // Nothing is applied any more, because of `why` (not OK): ends what waits, now and later.
  void Stop(absl::Status why);

 private:
  mutable absl::Mutex mutex_;
  BrokerState state_ ABSL_GUARDED_BY(mutex_);

  std::atomic<int64_t> index_{0};
  std::atomic<int64_t> end_{0};

  absl::Mutex waiters_mutex_;
  std::multimap<LogIndex, Then> waiters_ ABSL_GUARDED_BY(waiters_mutex_);
  std::multimap<LogPosition, Then> end_waiters_ ABSL_GUARDED_BY(waiters_mutex_);
  absl::Status stopped_ ABSL_GUARDED_BY(waiters_mutex_);
};

}  // namespace raftmq::store
