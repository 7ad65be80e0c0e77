// The bytes of a Raft message between members; docs/formats.md describes them. The bytes of its
// entries travel behind it, as the body of the peer frame.
//
// Pure functions; any thread. Parsing trusts nothing.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "raft/types.h"

namespace raftmq::dledger {

// REQUIRES: message.entries are consecutive and contiguous, as raft::Node makes them.
std::string EncodePeerMessage(const raft::Message& message);

// InvalidArgument: not such bytes, or the entries' sizes do not add up to `body_size`. That a
// message makes sense is for raft::Node::Step to judge.
absl::StatusOr<raft::Message> ParsePeerMessage(std::string_view meta, size_t body_size);

}  // namespace raftmq::dledger
