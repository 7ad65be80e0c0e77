// Ready: the effects that the core asks its driver for, and the order they must take.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "raft/types.h"

namespace raftmq::raft {

// Reads that one exchange with the peers confirms, numbered from 1 through the life of a Node.
using ReadRound = int64_t;

// What this member is, for those who serve clients. Volatile.
struct SoftState {
  Role role = Role::kFollower;
  MemberId leader = kNoMember;  // of the current term, as far as known

  bool operator==(const SoftState&) const = default;
};

// One batch of effects, from Node::TakeReady. The contract, stated here once:
//
//   1. storage_error set: stop the replica.
//   2. hard_state: make it durable (temp file, fsync, rename, fsync of the folder). A failure stops
//      the replica. NOTHING of `messages` of this or a later Ready may leave before.
//   3. truncate_from, then entries: hand both, in this order, to the log writer. They need not be
//      durable for step 4: no message claims more than what OnDurable reported, so a leader's
//      kAppend goes out in parallel with its own disk write.
//   4. messages: send in order. Losing, repeating or delaying one is safe.
//   5. committed: apply entries up to min(committed, durable end), in order; then AppliedTo.
//
// and, whenever an fdatasync of the log finishes: OnDurable(last index it covers, its term).
//
// Several Readys may be under way at once (writes queued, not yet durable); each step's order is
// that of the Readys.
struct Ready {
  // Not OK: the log could not be read. The core's state is consistent but it can't go on.
  absl::Status storage_error;

  // Set if term or vote changed. Durable before any message of this Ready is sent.
  std::optional<HardState> hard_state;

  // Set if entries already taken from an earlier Ready are to be removed: all at and after this
  // index. Never at or below `committed`. Completions of syncs issued before the truncation must
  // not be reported by OnDurable afterwards (the driver's truncation generation).
  std::optional<LogIndex> truncate_from;

  // To append to the local log after the truncation; indexes are consecutive. Their bytes: on a
  // leader what it just proposed (kNoOp: the core's own, an empty body); on a follower part of the
  // kAppend stepped last (a suffix of it: entries that it already had are left out).
  std::vector<EntryMeta> entries;

  std::vector<Message> messages;

  // The commit index. May lie above this member's durable end: apply only up to the lesser.
  LogIndex committed;

  // Leader: a majority has entries up to here in memory, not necessarily on disk, and the entry is
  // of the leader's term: what an ASYNC_FLUSH answer waits for. At least `committed`. A majority's
  // power loss can take back what lies above `committed`.
  LogIndex replicated;

  // Leader: this round of reads and all before it are confirmed (Node::ReadIndex).
  ReadRound confirmed_reads = 0;

  // Set if it changed.
  std::optional<SoftState> soft_state;

  // The damage that Options::damaged told of is repaired: clear the durable flag. Set once. The
  // entries that prove it are durable.
  bool damage_healed = false;
};

}  // namespace raftmq::raft
