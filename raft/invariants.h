// What must hold of a Node between any two inputs.
#pragma once

#include "absl/status/status.h"

namespace raftmq::raft {

class Node;

// OK, or Internal with the first rule broken and the values that break it. Linear in the entries
// held in memory: for tests, scripts and the simulator, after every step.
absl::Status CheckInvariants(const Node& node);

}  // namespace raftmq::raft
