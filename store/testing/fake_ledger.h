// FakeLedger: a Ledger without disk, peers or threads, for tests of state machines. Everything
// happens in Turn, or in the pieces of it that a test calls one by one, on the thread that calls
// it: that thread is the replica thread and the apply thread in one.
//
// Propose and Read may be called from any thread; everything else from one thread at a time.
#pragma once

#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "dledger/state_machine.h"

namespace raftmq::store {

// The committed log of a group: what all its members, and all runs of a member, have in common.
// Thread-safe.
class FakeLog {
 public:
  struct Entry {
    LogIndex index;
    Term term;
    dledger::FrameType type = dledger::FrameType::kNoOp;
    LogPosition position;
    std::string body;

    LogPosition body_position() const;
    LogPosition end() const;
  };

  static constexpr int64_t kHeaderSize = 48;

  void Append(Entry entry);
  LogIndex last_index() const;
  Term last_term() const;
  LogPosition end() const;
  // Of the last entry that ends at or before `position`; 0: there is none.
  LogIndex LastBefore(LogPosition position) const;
  absl::StatusOr<std::string> Read(LogPosition position, size_t size) const;
  // Flips a bit of the byte at `position`.
  void Corrupt(LogPosition position);
  // Entries (after, to] to `machine`, `batch` at a time.
  absl::Status Feed(LogIndex after, LogIndex to, size_t batch,
                    dledger::StateMachine* machine) const;

 private:
  mutable absl::Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // index 1 is at 0
};

class FakeLedger final : public dledger::Ledger {
 public:
  struct Options {
    bool synchronous = true;  // Propose does a whole Turn, on the caller's thread
    size_t max_frame_body = 1 << 20;
    size_t max_uncommitted = 64 << 20;  // bytes; above, proposals are refused as ResourceExhausted
    int64_t segment_size = 4096;        // what the status says; entries lie anywhere
    LogPosition begin;                  // this member's log was dropped up to here
  };

  // `log` and `machine` outlive the ledger.
  FakeLedger(FakeLog* log, dledger::StateMachine* machine, Options options);
  ~FakeLedger() override;

  // ---- What a test does

  // Replays what the state machine lacks, as a follower does: it applies what the log has.
  absl::Status Start();
  // Starts a term: logs its no-op, applies all, begins leadership.
  absl::Status BecomeLeader();
  // Ends leadership. What is logged and not committed is gone; its proposals end as Unknown.
  void LoseLeadership();

  // Decides the proposals that wait; returns how many. Their entries are logged, not committed.
  int DecideAll();
  // Commits what is logged and answers its proposals. Does not apply.
  void CommitAll();
  // Applies what is committed.
  absl::Status ApplyAll();
  // All three, until nothing waits.
  absl::Status Turn();
  size_t waiting() const;
  const Options& options() const { return options_; }
  // Where this member's log begins: what was released before is gone for it.
  LogPosition begin() const;
  // What a voter that is behind leaves to be dropped; by default everything.
  void set_held_by_all(LogPosition position) { held_by_all_ = position; }
  void set_synchronous(bool synchronous) { options_.synchronous = synchronous; }

  // ---- Ledger
  void Propose(std::unique_ptr<dledger::Proposal> proposal) override;
  absl::StatusOr<std::string> Read(LogPosition position, size_t size) const override;
  void ReleaseBefore(LogPosition position) override;
  std::shared_ptr<const dledger::LedgerStatus> Status() const override;
  void SetStatusListener(StatusListener listener) override;
  void TransferLeadership(MemberId target, absl::AnyInvocable<void(absl::Status)> done) override;

 private:
  class Writer;
  struct Decided {
    std::unique_ptr<dledger::Proposal> proposal;
    LogIndex index;  // 0: nothing logged
  };

  dledger::LedgerStatus MakeStatus() const;
  void PublishStatus();

  FakeLog* const log_;
  dledger::StateMachine* const machine_;
  Options options_;
  bool leading_ = false;
  bool in_turn_ = false;
  Term term_;
  LogIndex applied_;
  LogPosition held_by_all_{std::numeric_limits<int64_t>::max()};
  std::deque<FakeLog::Entry> uncommitted_;
  size_t uncommitted_bytes_ = 0;
  std::deque<Decided> decided_;
  StatusListener listener_;

  mutable absl::Mutex mutex_;
  LogPosition begin_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::unique_ptr<dledger::Proposal>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::store
