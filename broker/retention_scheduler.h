// RetentionScheduler: on the leader, lets messages expire now and then (store::Retention): by age
// in the hours that deleteWhen names, by bytes at any time, and by the reserve time of topics that
// have one of their own.
//
// It says when a voter that is down holds retention up: its log must not be dropped below what that
// voter may need, so the disks of the others fill.
//
// Belongs to the task runner. Outlives the runner's tasks and the store's callbacks.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/alarm.h"
#include "store/retention.h"

namespace raftmq::broker {

class RetentionScheduler {
 public:
  struct Options {
    store::Retention::Limits limits;
    std::vector<int> hours;  // of the day, local time, in which age counts; none: all
    int64_t check_ms = 10'000;
    int64_t by_topic_ms = 60'000;  // between two looks at the topics' own reserve times
    int64_t next_round_ms = 100;   // between two rounds, while there is more to do
    int64_t tell_ms = 60'000;      // how often it is said who holds it up
  };

  RetentionScheduler(Options options, store::Retention* retention, Clock* clock, TaskRunner* timer)
      : options_(std::move(options)),
        retention_(retention),
        clock_(clock),
        timer_(timer),
        alarm_(clock, timer, [this] { Look(); }) {}

  void SetLeading(bool leads);

 private:
  void Look();
  void OnExpired(const absl::StatusOr<store::Retention::Outcome>& outcome);
  bool IsItsHour() const;

  const Options options_;
  store::Retention* const retention_;
  Clock* const clock_;
  TaskRunner* const timer_;
  Alarm alarm_;  // for Look

  bool leads_ = false;
  bool busy_ = false;  // the store is at it
  int64_t told_ms_ = -1;
  int64_t by_topic_at_ms_ = 0;  // when to look at the topics' reserve times
};

}  // namespace raftmq::broker
