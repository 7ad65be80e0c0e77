// How a proposal ended, in the words of the store.
//
// Pure functions; any thread.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "dledger/ledger.h"

namespace raftmq::store {

// OK for a proposal that reached its ack level. Otherwise a status with a Reason: kNotLeader, kBusy
// and kStopped say that nothing was logged, kUnknownOutcome that it may or may not survive,
// kAckTimeout that it survives without the asked-for ack level; what Decide refused with is passed
// on. `what` was proposed ("send to topic T").
absl::Status StatusOf(const dledger::ProposalOutcome& outcome, std::string_view what);

}  // namespace raftmq::store
