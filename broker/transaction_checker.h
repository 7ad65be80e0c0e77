// TransactionChecker: has the producers of half messages asked whose transactions nobody ended, and
// gives those up that were asked about too often. Works while this member leads; it only proposes.
//
// A check is logged before it is made, so that it counts whatever becomes of the leader.
//
// OnHalfMessagesApplied may be called on any thread; the rest belongs to the task runner's.
// Outlives the runner's tasks and the store's callbacks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/task_runner.h"
#include "broker/alarm.h"
#include "store/waiting_messages.h"

namespace raftmq::broker {

class TransactionChecker {
 public:
  struct Options {
    int32_t check_max = 15;              // transactionCheckMax
    int64_t check_interval_ms = 30'000;  // transactionCheckInterval
    size_t max_batch = 64;
    int64_t max_sleep_ms = 1'000;
    int64_t retry_ms = 1'000;
  };
  // Has some producer asked about the half message `record`. Must not block.
  using Ask = std::function<void(std::string record)>;

  // `reads` runs what reads the disk.
  TransactionChecker(Options options, store::WaitingMessages* waiting, Clock* clock,
                     TaskRunner* timer, TaskRunner* reads, Ask ask)
      : options_(options),
        waiting_(waiting),
        clock_(clock),
        timer_(timer),
        reads_(reads),
        ask_(std::move(ask)),
        alarm_(clock, timer, [this] { Look(); }) {}

  void SetLeading(bool leads);
  // Half messages were applied, or times of checks changed.
  void OnHalfMessagesApplied();

 private:
  void Look();
  void GiveUp(const std::vector<store::OpenTransaction>& transactions);
  void Check(std::vector<store::OpenTransaction> transactions);
  void OnChecked(const absl::StatusOr<std::vector<LogPosition>>& positions);
  // One of the steps of this round is done.
  void EndStep(const absl::Status& status);

  const Options options_;
  store::WaitingMessages* const waiting_;
  Clock* const clock_;
  TaskRunner* const timer_;
  TaskRunner* const reads_;
  const Ask ask_;
  Alarm alarm_;  // for Look

  bool leads_ = false;
  int steps_ = 0;  // of this round that are under way
  int64_t not_before_nanos_ = 0;
};

}  // namespace raftmq::broker
