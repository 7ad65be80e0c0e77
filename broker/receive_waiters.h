// ReceiveWaiters: long polling. A receive that finds nothing is parked until a message arrives on
// its topic, a lease of its group ends, or its time is up; it is then asked of the store again.
// Nothing polls.
//
// Waiters of one group that want the same (queue, filter) stand in one line: an arrival wakes the
// first of each line whose tags it may have, and one that was given messages wakes the next, so
// that one message does not wake a thousand consumers.
//
// A receive from lite topics waits for those that its client has subscribed to: whom an arrival is
// for is asked of the store. What one client waits for is a topic of its own here.
//
// Thread-safe. `done` callbacks run on a thread of the store, of the timer, or of whoever cancels;
// they must not block. Parks where the leader is: on a loss of leadership Abandon ends the waits.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "store/entry_tag.h"
#include "store/lite_topics.h"
#include "store/message_store.h"

namespace raftmq::broker {

class ReceiveWaiters final : public store::ArrivalListener {
 public:
  // Receives that wait and those that were woken, in all and for one queue of a topic for one group
  // (who leaves the queue open counts as one). What is over it is not parked: it is refused as busy
  // unless there are messages for it right away.
  struct Options {
    size_t max_waiting = 100'000;          // maxPopPollingSize
    size_t max_waiting_per_queue = 1'024;  // popPollingSize
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<store::ReceiveResult>)>;
  using WaiterId = uint64_t;

  // All outlive it, and nothing calls it any more when it is destroyed.
  // `lite_topics` may be null where there are none.
  ReceiveWaiters(Options options, store::MessageStore* store, Clock* clock, TaskRunner* timer,
                 store::LiteTopics* lite_topics = nullptr);

  // A name for the next Receive, so that it can be cancelled from its very beginning. Each is used.
  WaiterId NewId();

  // Asks the store, and waits until `until_ms` (monotonic) for something to be there. `done` is
  // called exactly once; an empty result says that the time is up. kBusy: nothing is there, and too
  // many wait already.
  void Receive(WaiterId id, store::ReceiveRequest request, int64_t until_ms, Done done);

  // The client is gone. A parked receive ends with kCancelled now, one that did not begin yet when
  // it begins; one that the store is being asked for ends with what the store answers.
  void Cancel(WaiterId id);

  // Ends all parked receives with `status`.
  void Abandon(const absl::Status& status);

  // Messages of `group` on `topic` become visible in `delay_ms` though none arrived: an ack let the
  // next of a message group through, or a lease was given up.
  // `topic`: as it is stored, a lite topic's own name.
  void OnReleased(const std::string& group, const std::string& topic, int64_t delay_ms);

  // Messages were acked: a receive that waits because the group had too many in flight is asked
  // again.
  void OnAcked(const std::string& group, const std::string& topic);

  // The client subscribed to lite topics of `topic`, in which there may be messages.
  void OnSubscribed(const std::string& group, const std::string& topic,
                    const std::string& client_id);

  void OnArrival(const std::string& topic, QueueId queue, const store::Arrival& arrival) override;

  size_t waiting() const;

 private:
  // A line of waiters.
  struct Key {
    std::string group;
    std::optional<QueueId> queue;
    std::vector<std::string> tags;
    std::string sql;
    auto operator<=>(const Key&) const = default;
  };
  struct Waiter {
    WaiterId id = 0;
    store::ReceiveRequest request;
    std::string topic;  // where it waits, in topics_
    Key key;
    store::EntryTagFilter wanted;  // of what arrives
    int64_t until_ms = 0;
    Done done;
    uint64_t seen_events = 0;    // the topic's count when the store was last asked
    uint64_t seen_acks = 0;      // and the group's
    bool inflight_full = false;  // what the store said last
    bool has_place = false;      // counted in the bounds: from its first parking on
    bool parked = false;
    bool cancelled = false;
    std::list<std::shared_ptr<Waiter>>::iterator place;  // in its line, while parked
  };
  using WaiterPtr = std::shared_ptr<Waiter>;
  using Line = std::list<WaiterPtr>;
  struct Group {
    uint64_t acks = 0;
    size_t held = 0;  // parked because too much is in flight
    std::map<std::optional<QueueId>, size_t> places;
  };
  struct Topic {
    uint64_t events = 0;  // arrivals and releases
    size_t users = 0;     // waiters, parked or asking
    std::map<Key, Line> lines;
    std::map<std::string, Group> groups;
  };

  // Where a receive from lite topics waits.
  static std::string LitePlace(const std::string& topic, const std::string& client_id);
  // Whom to wake; what is not set does not matter.
  struct Call {
    const std::string* group = nullptr;
    const QueueId* queue = nullptr;
    const std::vector<int64_t>* tags = nullptr;  // EntryTag of what arrived
  };
  static bool IsFor(const Call& call, const Key& key, const Waiter& first);
  void WakeAll(const std::string& place, const Call& call);
  void Release(const std::string& group, const std::string& place, int64_t delay_ms);
  absl::Status Admit(const WaiterPtr& waiter);
  void Ask(WaiterPtr waiter);
  void OnAnswer(WaiterPtr waiter, absl::StatusOr<store::ReceiveResult> result);
  // Whether the waiter is done with that answer; otherwise it was parked, or is to be asked again,
  // or there is no place for it.
  enum class Next { kDone, kParked, kAskAgain, kNoPlace };
  Next Decide(const WaiterPtr& waiter, absl::StatusOr<store::ReceiveResult>* result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Why there is no place for one more like it; takes it if there is.
  absl::Status TakePlace(const WaiterPtr& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Park(const WaiterPtr& waiter, const std::optional<int64_t>& visible_in_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpark(const WaiterPtr& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(const WaiterPtr& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the first of the line, to be asked; null if none.
  WaiterPtr TakeFirst(Topic* topic, Line* line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<WaiterPtr> TakeFirsts(Topic* topic, const Call& call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeAt(const std::string& topic, const std::string& group, int64_t at_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ArmTimer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnTimer(uint64_t generation);

  const Options options_;
  store::MessageStore* const store_;
  Clock* const clock_;
  TaskRunner* const timer_;
  store::LiteTopics* const lite_topics_;

  mutable absl::Mutex mutex_;
  WaiterId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::flat_hash_map<WaiterId, bool> announced_ ABSL_GUARDED_BY(mutex_);  // value: cancelled
  absl::flat_hash_map<WaiterId, WaiterPtr> waiters_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::unique_ptr<Topic>> topics_ ABSL_GUARDED_BY(mutex_);
  size_t places_ ABSL_GUARDED_BY(mutex_) = 0;  // taken
  std::set<std::pair<int64_t, WaiterId>> deadlines_ ABSL_GUARDED_BY(mutex_);
  // When a group's messages on a topic become visible again: by due time, and by name.
  std::set<std::tuple<int64_t, std::string, std::string>> wakes_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, int64_t> wake_of_ ABSL_GUARDED_BY(mutex_);
  int64_t armed_ms_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: no timer
  uint64_t timer_generation_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace raftmq::broker
