// ReadIndexSource: how far a member must have applied so that what it reads is linearizable
// (Ongaro's dissertation §6.4). One per broker group member: its Replica.
#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace raftmq::dledger {

class ReadIndexSource {
 public:
  using ReadIndexCallback = absl::AnyInvocable<void(absl::StatusOr<LogIndex>)>;

  virtual ~ReadIndexSource() = default;

  // For the leader: whoever has applied the entry that `done` is told sees all that was committed
  // before this call. It takes an exchange with a majority, shared by all reads that wait, and no
  // write. Any thread; `done` runs once, on the replica thread, or on the caller's if too many
  // wait.
  //   kFailedPrecondition  not the leader, or no longer before it was confirmed: ask the leader
  //   kResourceExhausted   too many reads wait
  //   kUnavailable         the replica has stopped
  virtual void ReadIndex(ReadIndexCallback done) = 0;
};

}  // namespace raftmq::dledger
