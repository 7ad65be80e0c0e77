// Grants for orderly groups: the messages of one message group are given out one after another.
//
// A message group is what the messages of one queue with one group name have in common; messages
// without a name are one group per queue. As long as a message of it is leased and its lease runs,
// the group is blocked: only an ack, a dead-lettering, or the end of the lease lets it go on, and
// then with the lowest message that is not acked. One grant may carry several messages of a group,
// in order. The receiver that holds a lease may be given its messages again by the same attempt id:
// the answer of its first call was lost.
//
// Behind a message of a blocked group the other groups of the queue go on. What is passed over then
// is put in flight with attempt 0 and a lease that is over: it waits for its turn. How far that
// goes is bounded by the window that was read of the queue, and by max_inflight. (RocketMQ blocks
// the whole queue.)
#pragma once

#include <cstdint>
#include <vector>

#include "store/broker_state.h"
#include "store/message_properties.h"

namespace raftmq::store {

// Messages without a message group. On disk, as all hashes of message groups are: never changes.
inline constexpr uint64_t kUngrouped = 1;

// The group of a message: kUngrouped, or a hash above it. Two groups with one hash block each
// other.
uint64_t FifoGroupOf(const PropertiesView& properties);

// As BrokerState::PickGrants, to be granted in order to `receiver`. Each queue's window says the
// groups of its messages; one that lacks is in plan.rescan. A window smaller than `full_window`
// that holds blocked messages only is in it, too.
GrantPlan PickInOrder(const BrokerState& state, const GrantRequest& request,
                      const LeaseOwner& receiver, size_t full_window);

}  // namespace raftmq::store
