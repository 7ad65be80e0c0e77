// Position: one consumer group's progress on one queue.
//
//   0 ......... commit ............... next ............. max
//     all acked        in flight or       never granted
//                      acked
//
// Every offset below `next` is either in flight (leased, whether or not its time is over) or acked,
// so the acked ranges above `commit` are the gaps between the offsets in flight and need no set of
// their own, and `commit` is the lowest offset in flight. Acks are O(log n).
//
// Leases whose time is over move from the expiry order to the ready set when somebody looks
// (Settle); the lease clock never goes back, so that is derived state and equal on all members
// whenever it is looked at. Copyable. Not thread-safe: the owner of the BrokerState rules.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "base/ids.h"

namespace raftmq::store {

// To whom a Grant went; shared by its leases, never changed.
struct LeaseOwner {
  std::string client_id;
  std::string attempt_id;
};

struct Lease {
  uint64_t lease_id = 0;
  int64_t until_ms = 0;                     // lease clock; over when until_ms <= now
  int32_t attempt = 1;                      // 0: never given out, it waits behind its message group
  std::shared_ptr<const LeaseOwner> owner;  // never null
  uint64_t message_group = 0;               // of a grant in order, 0 otherwise
  bool stored = false;  // a row of it is in the database (BrokerState's bookkeeping)
};

class Position {
 public:
  Position() = default;
  explicit Position(QueueOffset start) : next_(start) {}

  QueueOffset next() const { return next_; }
  QueueOffset commit() const { return inflight_.empty() ? next_ : inflight_.begin()->first; }
  int64_t inflight_size() const { return static_cast<int64_t>(inflight_.size()); }
  const absl::btree_map<QueueOffset, Lease>& inflight() const { return inflight_; }

  // Null if the offset is not in flight.
  const Lease* Find(QueueOffset offset) const;

  // Puts the offset in flight, in place of an earlier lease on it (whose `stored` stays).
  void PutLease(QueueOffset offset, Lease lease);

  // The lease's end moves. REQUIRES: in flight.
  void MoveLeaseEnd(QueueOffset offset, int64_t until_ms);

  // Acked. REQUIRES: in flight.
  void EraseLease(QueueOffset offset);

  // REQUIRES: in flight.
  void MarkStored(QueueOffset offset);

  // Everything below `next` that was not in flight counts as acked from now on.
  // REQUIRES: next >= this->next().
  void AdvanceNext(QueueOffset next);

  // Moves leases that are over at `lease_now_ms` to the ready set.
  void Settle(int64_t lease_now_ms);

  // Offsets in flight whose time was over at the latest Settle, lowest first.
  const absl::btree_set<QueueOffset>& ready() const { return ready_; }

  // Earliest end of a lease that was not over at the latest Settle; none if there is none.
  std::optional<int64_t> EarliestRunningEnd() const;

 private:
  QueueOffset next_;
  absl::btree_map<QueueOffset, Lease> inflight_;
  // Every offset in flight is in exactly one of these two.
  absl::btree_set<std::pair<int64_t, QueueOffset>> expiry_;
  absl::btree_set<QueueOffset> ready_;
};

}  // namespace raftmq::store
