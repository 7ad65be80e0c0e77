// What a Node is built from: its settings, and what recovery found on disk.
//
// Value types; no thread rules.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/ids.h"
#include "raft/types.h"

namespace raftmq::raft {

// All durations are in ticks; how long one takes is the driver's choice. With 10 ms ticks these are
// the product's defaults: heartbeat 60 ms, election 250-500 ms.
struct Options {
  MemberId self = kNoMember;

  int32_t heartbeat_ticks = 6;
  // The election timeout is drawn from [min, max] anew for each wait. `min` is also how long a
  // voter that heard its leader ignores candidates.
  int32_t election_ticks_min = 25;
  int32_t election_ticks_max = 50;
  // After LeaderConnectionClosed a pre-vote starts within 1..this many ticks.
  int32_t early_election_ticks_max = 3;

  // Window of kAppend messages sent to one peer and not yet answered.
  int32_t max_inflight_messages = 256;
  int64_t max_inflight_bytes = int64_t{16} << 20;
  // While this many are under way to a peer, less than `full_append_bytes` waits for an answer: the
  // peer's disk is busy with the one and has the next, and more small ones would only cost it and
  // us a system call and a wake-up each.
  int32_t eager_appends = 256;
  int64_t full_append_bytes = int64_t{64} << 10;
  // The commit index of the last entries is told at the next tick, not at once: entries that come one
  // by one carry it before that, and each notice costs a peer two wake-ups.
  bool notices_at_ticks = false;
  // Bytes of frames in one kAppend; a single larger frame still goes.
  int64_t max_bytes_per_append = int64_t{256} << 10;
  // Entries in one kAppend.
  int32_t max_entries_per_append = 4096;
  // Propose refuses while more than this is appended but not committed; one entry always goes.
  int64_t max_uncommitted_bytes = int64_t{64} << 20;

  int64_t segment_size = int64_t{1} << 30;  // fixed when the data directory is formatted

  bool pre_vote = true;
  bool check_quorum = true;

  // The log on disk is known to lack entries that this member may have acknowledged. Such a member
  // replicates, but neither votes nor campaigns until it holds, durably, an entry that a leader
  // wrote in its own term, elected after the damage and hence without this member. A term counts as
  // "after" if it is above `damaged_term`: the durable term when the damage was found, kept with
  // the driver's durable flag. 0: take the term of the InitialState.
  bool damaged = false;
  Term damaged_term;

  // What is wrong with these options, if anything.
  absl::Status Validate() const;
};

// What recovery found on disk. All of the log is taken to be durable: sync it before.
struct InitialState {
  HardState hard_state;
  Configuration configuration;  // no voters: neither votes nor campaigns
  LogEnd last;
  // Known to be committed: at least `applied`. A member that has not applied so far yet does not
  // campaign: as leader it would keep everybody waiting until it has.
  LogIndex committed;
  LogIndex applied;

  // Whether these can all be true at once: a driver asks before it builds a Node from what it read.
  absl::Status Validate() const;
};

}  // namespace raftmq::raft
