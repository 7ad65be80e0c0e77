// RetryPolicy: how long a message that failed waits before it comes again; RocketMQ's
// GroupRetryPolicy. Consumers are told it in their Settings and ask for that time when they give a
// message back; for those whose library gets it wrong the broker decides by it.
//
// Plain values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace raftmq::store {

struct RetryPolicy {
  // On disk: never re-used.
  enum class Kind : uint8_t { kCustomized = 1, kExponential = 2 };

  Kind kind = Kind::kCustomized;
  // kCustomized: after the first, second, … failure; the last one for all further. Empty:
  // DefaultRetryDelays.
  std::vector<int64_t> delays_ms;
  // kExponential: initial, initial x multiplier, … up to max.
  int64_t initial_ms = 5'000;
  int64_t max_ms = 7'200'000;
  int32_t multiplier = 2;

  bool operator==(const RetryPolicy&) const = default;
};

inline constexpr size_t kMaxRetryDelays = 64;

// RocketMQ's: 1 s, 5 s, 10 s, 30 s, each minute from 1 to 10, 20 and 30 minutes, 1 and 2 hours.
const std::vector<int64_t>& DefaultRetryDelays();

// The customized delays of the policy, or the first `count` (kMaxRetryDelays at most) of an
// exponential one.
std::vector<int64_t> RetryDelays(const RetryPolicy& policy, size_t count);

// After the failure of attempt number `attempt`, which counts from 1.
int64_t RetryDelayMs(const RetryPolicy& policy, int32_t attempt);

// Delays of 0 to 12 hours, 1 to kMaxRetryDelays of them; initial at most max, a multiplier of 1 to
// 1000. Reason::kIllegalGroup otherwise.
absl::Status CheckRetryPolicy(const RetryPolicy& policy);

}  // namespace raftmq::store
