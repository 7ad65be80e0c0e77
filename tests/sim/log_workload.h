// What a test puts into a replicated log, and what it then holds the log to.
//
// A LogOracle sees every proposal, every answer and every applied entry of all members, and
// collects what contradicts the ledger's promises:
//   - all members apply the same entries in the same order, each record at the position it was
//   told;
//   - an answer comes exactly once;
//   - what was acknowledged from a majority's disks is applied, at the index that was answered;
//   - what was certainly not logged is never applied; nothing is applied twice.
//
// Thread-safe, so that it serves real threads too.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "dledger/state_machine.h"

namespace raftmq::sim {

class LogOracle {
 public:
  // ---- Told by the pieces below ----
  void OnProposed(uint64_t id);
  void OnDone(uint64_t id, dledger::AckLevel level, const dledger::ProposalOutcome& outcome,
              bool wrote);
  void OnProposalGone(uint64_t id, int times_done);
  void OnApplied(int member, const dledger::CommittedEntry& entry);
  void Complain(std::string what);

  // What the member's state machine would find on its disk after a restart.
  LogIndex flushed(int member) const;
  void SetFlushed(int member, LogIndex index);

  // ---- For the test ----
  // To be called when all members have applied all that is committed. Empty: all is well.
  std::vector<std::string> Violations() const;
  // Waits, in real time, until each of these members has applied entries up to `index`.
  bool AwaitApplied(const std::vector<int>& members, LogIndex index, absl::Duration deadline) const;
  size_t acknowledged() const;
  size_t proposed() const;
  size_t answered() const;
  LogIndex highest_applied() const;

 private:
  void CheckRecords(const dledger::CommittedEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckCommands(const dledger::CommittedEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteId(uint64_t id, LogIndex index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ComplainLocked(std::string what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::vector<std::string> complaints_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> open_ ABSL_GUARDED_BY(mutex_);  // proposed, not answered
  size_t proposed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, LogIndex> acknowledged_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> never_ ABSL_GUARDED_BY(mutex_);              // certainly not logged
  std::map<LogIndex, uint32_t> entries_ ABSL_GUARDED_BY(mutex_);  // digest of each applied entry
  std::map<uint64_t, LogIndex> ids_ ABSL_GUARDED_BY(mutex_);      // where an id was applied
  std::map<int, LogIndex> applied_by_ ABSL_GUARDED_BY(mutex_);
  std::map<int, LogIndex> flushed_ ABSL_GUARDED_BY(mutex_);
};

// Remembers nothing but how far it came; the oracle remembers the rest.
class RecordingStateMachine final : public dledger::StateMachine {
 public:
  // `flush_every`: its applied index becomes durable after so many calls of Apply.
  RecordingStateMachine(LogOracle* oracle, int member, int flush_every = 8);

  LogIndex DurableAppliedIndex() const override;
  absl::Status Apply(std::span<const dledger::CommittedEntry> entries) override;
  void BeginLeadership(Term term) override;
  void EndLeadership() override;

  // The next Apply returns it.
  void FailNextApply(absl::Status status);

 private:
  LogOracle* const oracle_;
  const int member_;
  const int flush_every_;
  mutable absl::Mutex mutex_;
  LogIndex applied_ ABSL_GUARDED_BY(mutex_);
  Term applied_term_ ABSL_GUARDED_BY(mutex_);
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  bool leading_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status fail_ ABSL_GUARDED_BY(mutex_);
};

// What a proposal does in Decide.
enum class Deed {
  kRecord,
  kRecords,        // three, each on its own
  kAtomicRecords,  // three in one entry
  kCommand,
  kNothing,  // OK without writing
  kRefuse,
  kWriteAndRefuse,
};

// One proposal with an id of its own, told to the oracle.
class TestProposal final : public dledger::Proposal {
 public:
  using Callback = absl::AnyInvocable<void(const dledger::ProposalOutcome&)>;

  TestProposal(LogOracle* oracle, uint64_t id, Deed deed, size_t size,
               dledger::AckLevel level = dledger::AckLevel::kMajorityDisk, Callback done = nullptr);
  ~TestProposal() override;

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;
  dledger::AckLevel ack_level() const override { return level_; }
  size_t ByteSize() const override { return size_ + 64; }

 private:
  void Fill(const dledger::ProposalWriter::Reservation& reservation, size_t size);

  LogOracle* const oracle_;
  const uint64_t id_;
  const Deed deed_;
  const size_t size_;
  const dledger::AckLevel level_;
  Callback done_;
  int times_done_ = 0;
};

}  // namespace raftmq::sim
