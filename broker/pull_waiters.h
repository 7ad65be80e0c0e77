// PullWaiters: long polling of pulls. A pull that finds nothing from its offset on is parked until
// a message arrives in that queue whose tag it may want, or its time is up (RocketMQ:
// PullRequestHoldService). Nothing polls. Messages of other tags, or for another group alone, do
// not wake it: its offset moves behind them.
//
// It needs no leader: it waits where the pull is served, for what this member applies. Thread-safe.
// `woken` callbacks run on the apply thread, the timer's, or the caller's; they must not block.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/alarm.h"
#include "store/entry_tag.h"
#include "store/message_store.h"

namespace raftmq::broker {

class PullWaiters final : public store::ArrivalListener {
 public:
  struct Options {
    size_t max_waiting = 20'000;
  };
  enum class Outcome {
    kLookAgain,  // there is a message at the offset or behind it
    kOver,       // the time is up, the client gone, or this member is stopping
  };
  // `offset`: where to look next; what lies before it is not wanted.
  using Woken = absl::AnyInvocable<void(Outcome, QueueOffset offset)>;
  using WaiterId = uint64_t;

  // All outlive it, and nothing calls it any more when it is destroyed.
  PullWaiters(Options options, const store::MessageStore* store, Clock* clock, TaskRunner* timer);

  // Room for one pull to wait, again and again, until End. kBusy: too many wait already.
  absl::StatusOr<WaiterId> Begin();
  void End(WaiterId id);

  // `woken` is called exactly once: at once if the queue goes beyond `offset` already. `wanted`:
  // what it may want of what arrives.
  // REQUIRES: `id` does not wait now.
  void Wait(WaiterId id, const std::string& topic, QueueId queue, QueueOffset offset,
            store::EntryTagFilter wanted, int64_t until_ms, Woken woken);

  // The client is gone: the wait ends, and so does every later one. Does nothing after End.
  void Cancel(WaiterId id);

  // Ends all waits, now and later: this member is stopping.
  void Close();

  void OnArrival(const std::string& topic, QueueId queue, const store::Arrival& arrival) override;

  size_t parked() const;

 private:
  using Queue = std::pair<std::string, QueueId>;
  struct Waiter {
    bool cancelled = false;
    bool parked = false;
    Queue queue;
    QueueOffset offset;
    store::EntryTagFilter wanted;
    int64_t until_ms = 0;
    Woken woken;
  };

  static bool Unwanted(const Waiter& waiter, const store::Arrival& arrival);
  Woken Unpark(WaiterId id, Waiter* waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnTimer();

  const Options options_;
  const store::MessageStore* const store_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  WaiterId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<WaiterId, Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  std::map<Queue, std::set<std::pair<QueueOffset, WaiterId>>> parked_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<int64_t, WaiterId>> deadlines_ ABSL_GUARDED_BY(mutex_);
  Alarm alarm_;
};

}  // namespace raftmq::broker
