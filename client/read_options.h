// Which members answer a read, and how far behind the answer may be. Plain values.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "base/strings.h"

namespace raftmq::client {

// Who is asked first. Whoever that is: when it does not answer in time, or refuses, the leader is
// asked within the same timeout, then the others. A member that failed is left out for a while.
enum class ReadFrom {
  kLeader,
  kAny,       // one of all members: the same for all reads of a queue, while it answers
  kFollower,  // the same, of those that don't lead
};

// Of maxLagMillis.
inline constexpr int64_t kLinearizable = 0;

struct ReadOptions {
  ReadFrom from = ReadFrom::kLeader;
  // The answer holds all that was acknowledged, to whomever, so many milliseconds before the call.
  // 0, kLinearizable: before the call. Members that cannot prove it in time refuse. None: what the
  // member has, which may be behind; a leader that was just voted out doesn't know it yet.
  std::optional<int64_t> maxLagMillis;
};

// InvalidArgument: it asks for what cannot be.
inline absl::Status CheckRead(const ReadOptions& read) {
  if (read.maxLagMillis.value_or(0) >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("maxLagMillis ", *read.maxLagMillis, ": expected 0, linearizable, or more, or none"));
}

}  // namespace raftmq::client
