// Completions: the proposals of one leadership that are logged and not answered yet.
//
// Each is answered exactly once: when its ack level is reached, or when leadership is lost.
// Replica thread only. Done may call Ledger::Propose, which comes back here on a later turn.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "base/ids.h"
#include "dledger/ledger.h"

namespace raftmq::dledger {

class Completions {
 public:
  Completions() = default;
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  // What is added from now on was logged in `term`. REQUIRES: empty.
  void BeginTerm(Term term) { term_ = term; }

  // `index`: of the entry with the proposal's last write. REQUIRES: not below the last one added.
  // `deadline_nanos`: for kAllDisks, when to give up waiting for all.
  void AddLogged(LogIndex index, std::unique_ptr<Proposal> proposal, int64_t deadline_nanos);

  // A proposal that logged nothing, but whose answer may rest on entries up to `index`: it is
  // answered when they are committed, with kAllDisks when all disks have them.
  void AddUnlogged(LogIndex index, std::unique_ptr<Proposal> proposal, int64_t deadline_nanos);

  // All that was added is in the leader's log.
  void OnAppended();
  void OnCommitted(LogIndex index);
  // A majority has entries up to `index` in memory.
  void OnReplicated(LogIndex index);
  // All voters have entries up to `index` on disk; committed entries whose deadline has passed are
  // answered with Unknown and `committed` set.
  void OnAllDurable(LogIndex index, int64_t now_nanos);

  // Leadership is lost: Unknown for what was logged, FailedPrecondition for what was not.
  void FailAll(const absl::Status& why);

  bool empty() const { return size() == 0; }
  bool waiting_for_all_disks() const { return !all_disks_.empty(); }
  size_t size() const {
    return appended_.size() + disk_.size() + memory_.size() + all_disks_.size();
  }

 private:
  struct Waiting {
    LogIndex index;
    bool logged = true;
    int64_t deadline_nanos = 0;
    std::unique_ptr<Proposal> proposal;
  };
  using Line = std::deque<Waiting>;

  void Answer(Waiting waiting, absl::Status status, bool committed);
  // Answers the head of the line while it is at or below `index`.
  void AnswerUpTo(Line* line, LogIndex index, bool committed);
  void FailLine(Line* line, const absl::Status& why);

  Term term_;
  LogIndex committed_;
  Line appended_;   // kLeaderMemory
  Line disk_;       // by index
  Line memory_;     // by index
  Line all_disks_;  // by index, hence by deadline
};

}  // namespace raftmq::dledger
