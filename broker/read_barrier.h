// ReadBarrier: what a member reads from its own state made as fresh as the caller asks:
//   x-raftmq-read: linearizable       sees all that was acknowledged, by whomever, before the call
//   x-raftmq-read: max-lag-ms=N       sees all that was acknowledged N milliseconds before the call
//   x-raftmq-min-applied-index: N     sees at least what the log has up to entry N, which an
//                                     earlier answer named (x-raftmq-applied-index)
// Without any a member answers at once from what it has applied, which may be behind. The first
// takes an exchange of the leader with a majority (dledger/read_index.h). The second does, too,
// unless one that this member began at most N ms ago has proved it fresh: a heartbeat proves
// nothing, for a leader that was voted out sends them, too. The last takes nothing, if this member
// is as far.
//
// Thread-safe. `done` callbacks run on the apply thread, the replica's, a completion queue's, the
// timer's, or the caller's; they must not block.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/task_runner.h"
#include "broker/alarm.h"
#include "broker/call.h"

namespace raftmq::broker {

class ReadBarrier {
 public:
  struct Options {
    size_t max_waiting = 20'000;
    int64_t default_timeout_ms = 3'000;  // of a call without a deadline, or that waits afterwards
    int64_t answer_early_ms = 500;       // before the caller's deadline
  };
  using Done = absl::AnyInvocable<void(const absl::Status&)>;

  // What it stands on; all outlive it, and tell it exactly once each time it asks.
  class Source {
   public:
    virtual ~Source() = default;
    // Of the leader, wherever that is, on behalf of `context`'s caller.
    virtual void ReadIndex(const CallContext& context,
                           absl::AnyInvocable<void(absl::StatusOr<LogIndex>)> done) = 0;
    // Of this member.
    virtual LogIndex Applied() const = 0;
    virtual void WhenApplied(LogIndex index, Done done) = 0;
  };

  ReadBarrier(Options options, Source* source, Clock* clock, TaskRunner* timer);

  static bool IsAskedFor(const CallContext& context) {
    return !context.read_level.empty() || context.min_applied.has_value();
  }

  // OK: a read of this member's state is now as fresh as `context` asks. kBusy: it was not within
  // the caller's deadline, or too many wait. kUnsupported, kIllegalOffset: it asks for what cannot
  // be. `then_ms`: that the call wants to wait afterwards, as a pull does for messages: it is no
  // time to become fresh in, so that the caller hears soon enough to ask another member.
  void Await(const CallContext& context, int64_t then_ms, Done done);

  // Ends all waits, now and later: this member is stopping.
  void Close();

 private:
  using WaiterId = uint64_t;
  struct Waiter {
    int64_t until_ms = 0;
    Done done;
  };

  void AskLeader(WaiterId id, const CallContext& context, int64_t asked_ms);
  bool FreshSince(int64_t ms);
  void Proved(int64_t asked_ms);
  void End(WaiterId id, const absl::Status& status);
  void OnTimer();

  const Options options_;
  Source* const source_;
  Clock* const clock_;
  Alarm alarm_;

  absl::Mutex mutex_;
  WaiterId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  // What this member has applied holds all that was acknowledged before then; none: not known.
  std::optional<int64_t> fresh_as_of_ms_ ABSL_GUARDED_BY(mutex_);
  std::map<WaiterId, Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<int64_t, WaiterId>> deadlines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::broker
