// DelayLevels: RocketMQ's messageDelayLevel, which delay each level means.
//
// Plain value; any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace raftmq::broker {

inline constexpr std::string_view kDefaultDelayLevels =
    "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

class DelayLevels {
 public:
  // Delays separated by spaces, each a number of at least 1 and a unit: s, m, h or d.
  static absl::StatusOr<DelayLevels> Parse(std::string_view text);

  // The level that `level` counts as: one above the last is the last, as in RocketMQ.
  int32_t Clamp(int32_t level) const;
  // REQUIRES: 1 <= level <= count().
  int64_t Millis(int32_t level) const { return delays_ms_[level - 1]; }
  int32_t count() const { return static_cast<int32_t>(delays_ms_.size()); }

 private:
  std::vector<int64_t> delays_ms_;
};

}  // namespace raftmq::broker
