// FakeClock: time that stands still until a test moves it. Thread-safe.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace raftmq {

class FakeClock final : public Clock {
 public:
  // 2024-01-01T00:00:00Z, one hour after boot.
  explicit FakeClock(int64_t wall_millis = 1'704'067'200'000,
                     int64_t monotonic_nanos = 3'600'000'000'000)
      : wall_offset_nanos_(wall_millis * 1'000'000 - monotonic_nanos),
        monotonic_nanos_(monotonic_nanos) {}

  int64_t WallMillis() const override {
    return (monotonic_nanos_.load() + wall_offset_nanos_.load()) / 1'000'000;
  }
  int64_t MonotonicNanos() const override { return monotonic_nanos_.load(); }

  // Both clocks go on. REQUIRES: nanos >= 0.
  void Advance(int64_t nanos) { monotonic_nanos_ += nanos; }
  void AdvanceMillis(int64_t millis) { Advance(millis * 1'000'000); }

  // Only the wall clock jumps, either way (an NTP step).
  void JumpWall(int64_t millis) { wall_offset_nanos_ += millis * 1'000'000; }

 private:
  std::atomic<int64_t> wall_offset_nanos_;
  std::atomic<int64_t> monotonic_nanos_;
};

}  // namespace raftmq
