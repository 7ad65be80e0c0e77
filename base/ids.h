// The integers that name things in RaftMQ, each a type of its own.
#pragma once

#include <cstdint>

#include "base/strong_int.h"

namespace raftmq {

// Raft term (paper §5.1). 0: before the first election.
using Term = StrongInt<struct TermTag, int64_t>;

// Raft log index. The first entry has index 1; 0 means "before the log".
using LogIndex = StrongInt<struct LogIndexTag, int64_t>;

// A byte position in the replicated log, equal on every member of a group. The first byte of
// the first segment is 0. RocketMQ calls the position of a record its physical offset.
using LogPosition = StrongInt<struct LogPositionTag, int64_t>;

// Number of a message within one queue: dense, from 0.
using QueueOffset = StrongInt<struct QueueOffsetTag, int64_t>;

// Number of a queue within a topic on one broker group, from 0.
using QueueId = StrongInt<struct QueueIdTag, int32_t>;

// Names a voter or learner within its group, from 1; never re-used after removal. 0: none.
// `dLegerSelfId=n0` has MemberId 1, n1 has 2, and so on.
using MemberId = StrongInt<struct MemberIdTag, int32_t>;

// Random 64 bits drawn when a data directory is formatted: tells a wiped disk from the member it
// used to be. 0: unknown.
using Incarnation = StrongInt<struct IncarnationTag, uint64_t>;

inline constexpr MemberId kNoMember{0};

}  // namespace raftmq
