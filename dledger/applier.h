// Applier: hands committed entries to the state machine, on the apply thread.
//
// One job is under way at a time: a stretch of entries up to the limit that Raft allows. What was
// appended lately is applied from the memory it came in; older entries (replay at start, a state
// machine that lags) are read from the log by the apply thread itself, so that a cold read never
// holds up the replica.
//
// All methods on the replica thread. Jobs use the log and the state machine, which outlive the last
// job; the apply runner is stopped, or the Applier idle, before it is destroyed.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/task_runner.h"
#include "dledger/frame.h"
#include "dledger/segmented_log.h"
#include "dledger/state_machine.h"
#include "raft/types.h"

namespace raftmq::dledger {

class Applier {
 public:
  struct Options {
    size_t batch_bytes = 1 << 20;    // of one call of StateMachine::Apply
    size_t job_bytes = 4 << 20;      // of one job; progress is reported after each
    size_t recent_bytes = 32 << 20;  // appended and not applied, kept in memory
    int64_t segment_size = 0;
  };

  // Called on the replica thread after each job: entries up to `applied` are applied, unless the
  // status says what failed; then no further job runs.
  using OnApplied = absl::AnyInvocable<void(const absl::Status& status)>;

  // `applied`: the last entry the state machine has; `next`: where the frame after it may start.
  Applier(Options options, const SegmentedLog* log, StateMachine* state_machine, TaskRunner* apply,
          TaskRunner* replica, LogIndex applied, LogPosition next, OnApplied on_applied);

  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  // `frames` are the bytes of `entries`, which were just appended to the log.
  void Remember(std::span<const raft::EntryMeta> entries, Bytes frames);

  // The log was cut: entries from `from` on are no more. They were never allowed to be applied.
  void Truncate(LogIndex from);

  // Entries up to `limit` are committed and on this disk: applies them, now or after the present
  // job.
  void ApplyUpTo(LogIndex limit);

  LogIndex applied() const { return applied_; }
  // Where the frame after it may start.
  LogPosition next() const { return next_; }
  bool idle() const { return !running_; }
  // What failed was reading the log, not the state machine.
  bool log_failed() const { return log_failed_; }

  // No further job starts.
  void Stop() { stopped_ = true; }

 private:
  // Consecutive frames as they were appended.
  struct Piece {
    LogIndex first;
    LogIndex last;
    Bytes frames;
  };
  struct Job;

  void StartJob();
  void FinishJob(const Job& job);

  const Options options_;
  const SegmentedLog* const log_;
  StateMachine* const state_machine_;
  TaskRunner* const apply_;
  TaskRunner* const replica_;
  OnApplied on_applied_;

  LogIndex applied_;
  LogPosition next_;
  LogIndex limit_;
  bool running_ = false;
  bool stopped_ = false;
  bool log_failed_ = false;

  // Ends with the last entry appended; what was dropped for its size is read from the log.
  std::deque<Piece> recent_;
  size_t recent_bytes_ = 0;
};

}  // namespace raftmq::dledger
