// Retention: which messages expire. Decided by the leader, carried out by an entry (Retain), so
// that the first offsets of all queues are equal on all members; the log's segments go on each
// member once what the entry changed is on its disk.
//
// What something still waits for does not go: the records of delayed and half messages and of
// messages that are leased are copied out of the log first, and kept until they are settled.
//
// A part of MessageStore, with its rules: any thread; callbacks run on a thread of the store or on
// the replica thread and must not block.
#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace raftmq::store {

class Retention {
 public:
  virtual ~Retention() = default;

  // Whole segments of the log expire, never the one that is written; what either bound asks for.
  struct Limits {
    int64_t reserved_ms = 0;  // messages that are older, by log time; 0: no bound
    int64_t max_bytes = 0;    // of log; 0: no bound
    // Also what is older than its topic's reserve.time: queues begin later, the log stays.
    bool by_topic = false;
  };
  struct Outcome {
    LogPosition min_position;  // messages are kept from here on
    LogPosition previous;      // before this call
    bool moved = false;        // min_position, by this call
    int64_t queues_moved = 0;  // whose first offset moved
    bool more = false;         // one call does only so much: there is more to expire
    // More should go, but this voter's disk may lack it: it would need a snapshot. kNoMember:
    // nobody holds it up.
    MemberId held_up_by = kNoMember;
  };

  // On the leader only, Reason::kNotLeader elsewhere; one call at a time, kBusy otherwise. kBusy
  // also if consumers were too fast to be followed: to be repeated.
  using ExpireCallback = absl::AnyInvocable<void(absl::StatusOr<Outcome>)>;
  virtual void Expire(Limits limits, ExpireCallback done) = 0;

  // Of this member.
  struct Counters {
    LogPosition min_position;
    int64_t kept_records = 0;
    int64_t kept_bytes = 0;
    // Messages that expired before a group had got them, since the process started.
    int64_t missed_messages = 0;
  };
  virtual Counters counters() const = 0;
};

}  // namespace raftmq::store
