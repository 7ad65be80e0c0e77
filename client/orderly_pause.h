// How long a queue pauses whose orderly listener could not go on.
#pragma once

#include <algorithm>
#include <cstdint>

namespace raftmq::client {

// RocketMQ's bounds: suspendCurrentQueueTimeMillis.
inline constexpr int64_t kMinOrderlyPauseMs = 10;
inline constexpr int64_t kMaxOrderlyPauseMs = 30'000;

// `listener_ms`: what the listener asks for; negative: what the option says.
inline int64_t OrderlyPauseMs(int64_t option_ms, int64_t listener_ms) {
  return std::clamp(listener_ms < 0 ? option_ms : listener_ms, kMinOrderlyPauseMs,
                    kMaxOrderlyPauseMs);
}

}  // namespace raftmq::client
