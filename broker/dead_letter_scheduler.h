// DeadLetterScheduler: on the leader, moves messages whose last attempt is over to their groups'
// dead-letter queues. The store decides for each whether it still is (DeadLetterQueues).
//
// It sleeps until the first last attempt is over, or an earlier one is applied. What is due is
// taken in batches, one at a time, at a bounded rate, so that any number of failing messages leaves
// room for sends. A batch that fails is tried again; a message that cannot be read is logged, left
// aside for a while, and does not hold up the others.
//
// OnEarlierFinalLease may be called on any thread; the rest belongs to the task runner's. Outlives
// the runner's tasks and the store's callbacks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/alarm.h"
#include "store/dead_letter_queues.h"

namespace raftmq::broker {

class DeadLetterScheduler {
 public:
  struct Options {
    size_t max_batch = 64;
    int64_t max_per_second = 5'000;
    int64_t retry_ms = 50;  // after a refusal of the leader's
    int64_t retry_unreadable_ms = 10'000;
    size_t max_unreadable = 10'000;
  };
  // A message of the group on the topic is out of the way: the next of its message group may come.
  using OnMoved = std::function<void(const std::string& group, const std::string& topic)>;

  DeadLetterScheduler(Options options, store::DeadLetterQueues* queues, Clock* clock,
                      TaskRunner* timer, OnMoved on_moved)
      : options_(options),
        queues_(queues),
        clock_(clock),
        timer_(timer),
        on_moved_(std::move(on_moved)),
        alarm_(clock, timer, [this] { Look(); }) {}

  void SetLeading(bool leads);
  void OnEarlierFinalLease();

 private:
  using Leases = std::vector<store::FinalLease>;

  void Look();
  void OnFound(absl::StatusOr<store::DeadLetterQueues::Due> due);
  void Move(Leases due);
  void OnMoveEnded(const Leases& due, const std::vector<absl::Status>& statuses);

  const Options options_;
  store::DeadLetterQueues* const queues_;
  Clock* const clock_;
  TaskRunner* const timer_;
  const OnMoved on_moved_;
  Alarm alarm_;  // for Look

  bool leads_ = false;
  bool busy_ = false;                       // the store is being asked, or is moving
  bool look_again_ = false;                 // something came meanwhile
  int64_t not_before_nanos_ = 0;            // of the next batch
  std::map<uint64_t, int64_t> unreadable_;  // by lease id: until when they are left aside
};

}  // namespace raftmq::broker
