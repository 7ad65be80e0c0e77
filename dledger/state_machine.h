// StateMachine: what a replicated log is for. dledger calls it; store/ implements it.
#pragma once

#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "base/ids.h"

namespace raftmq::dledger {

// What the body of a frame is; the header's `channel` field. Numbers are on disk: never re-used.
enum class FrameType : int32_t {
  kNoOp = 0,           // empty body; starts a term
  kRecords = 1,        // one or more message records, back to back
  kCommands = 2,       // one or more commands, as store/ encodes them
  kConfiguration = 3,  // the group's members
};

// One committed entry. The views are valid during the call that passes it only.
struct CommittedEntry {
  LogIndex index;
  Term term;
  FrameType type = FrameType::kNoOp;
  LogPosition position;       // of the frame's header
  LogPosition body_position;  // of the first byte of `body`
  std::string_view body;
  LogPosition end;  // one past the frame
};

// Thread rules: Apply and Flush are called on the apply thread, one at a time. BeginLeadership and
// EndLeadership are called on the replica thread, and BeginLeadership only while Apply is not
// running and everything before it has been applied, so it may read what Apply writes.
class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Index of the last entry whose effects survive a restart; replay starts after it.
  virtual LogIndex DurableAppliedIndex() const = 0;

  // Entries after this one are given to Apply at the start: at most DurableAppliedIndex, less if
  // the state machine keeps something of the last ones in memory only. A member does not campaign
  // before it has that again. Log retention keeps these entries; those that are gone all the same
  // are done without.
  virtual LogIndex ReplayAfter() const { return DurableAppliedIndex(); }

  // Entries after this one must still be in the log. A lower DurableAppliedIndex only asks for a
  // replay from the log's start, of parts that are made again from what is there.
  virtual LogIndex NeedsEntriesAfter() const { return DurableAppliedIndex(); }

  // Applies committed entries in log order, without gaps. Entries at or below what some part has
  // already applied are skipped by that part. Deterministic: equal entries give equal state on
  // every member. An error stops the replica: an unknown command, say, or a disk that fails.
  virtual absl::Status Apply(std::span<const CommittedEntry> entries) = 0;

  // This member leads `term`, and every earlier entry and the term's no-op are applied: proposals
  // may be decided from now on. The pending view is built here.
  virtual void BeginLeadership(Term term) = 0;

  // No proposal is decided any more; the pending view is dropped. Called once for each Begin.
  virtual void EndLeadership() = 0;
};

}  // namespace raftmq::dledger
