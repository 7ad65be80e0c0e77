// QueueLocks: which consumer of a group may consume which queue, in the classic model (RocketMQ:
// RebalanceLockManager). A lock ends by itself on the lease clock, so that a dead owner's queue is
// taken over; an owner that lives renews it.
//
// Part of BrokerState, whose owner rules who may use it. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/ids.h"

namespace raftmq::store {

// Of one group.
struct LockedQueue {
  std::string group;
  std::string topic;
  QueueId queue;
  auto operator<=>(const LockedQueue&) const = default;
};

struct QueueLock {
  std::string client_id;
  int64_t until_ms = 0;  // on the lease clock; 0: it was let go
  // An operator moved the group's offset on the queue: the owner may neither commit nor renew, only
  // let go, and take the queue anew then. So what it had in hand cannot undo the move.
  bool revoked = false;
  bool operator==(const QueueLock&) const = default;

  bool IsOver(int64_t lease_time_ms) const { return until_ms <= lease_time_ms; }
};

// Those that are over stay until somebody else takes them, or the group or topic goes: a queue that
// has one is shared by locks, and its committed offset never goes back by a consumer's commit.
using QueueLocks = std::map<LockedQueue, QueueLock>;

}  // namespace raftmq::store
