// Milliseconds in and out of protobuf's Timestamp and Duration.
//
// Pure; any thread.
#pragma once

#include <cstdint>

#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace raftmq::broker {

// Works for Timestamp and Duration: both have seconds and nanos. Negative times round down.
template <typename Time>
void SetMillis(int64_t ms, Time* time) {
  int64_t seconds = ms / 1000;
  int64_t rest = ms % 1000;
  if (rest < 0) {
    rest += 1000;
    --seconds;
  }
  time->set_seconds(seconds);
  time->set_nanos(static_cast<int32_t>(rest) * 1'000'000);
}

inline void SetTimestamp(int64_t ms, google::protobuf::Timestamp* time) { SetMillis(ms, time); }
inline void SetDuration(int64_t ms, google::protobuf::Duration* time) { SetMillis(ms, time); }

// Clamped, so that a hostile value cannot overflow.
template <typename Time>
int64_t ToMillis(const Time& time) {
  constexpr int64_t kMaxSeconds = int64_t{1} << 40;
  int64_t seconds = time.seconds();
  if (seconds > kMaxSeconds) seconds = kMaxSeconds;
  if (seconds < -kMaxSeconds) seconds = -kMaxSeconds;
  return seconds * 1000 + time.nanos() / 1'000'000;
}

}  // namespace raftmq::broker
