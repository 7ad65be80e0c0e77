// What the machine lets a replicated log of three members do at best, measured without one: the
// disk's and the loopback's share.
//
// Called from a process without threads: both fork.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace raftmq::bench {

struct SyncFloor {
  double syncs_per_second = 0;  // of the slowest process
  int64_t p50_us = 0;           // of all processes
  int64_t p99_us = 0;
  int64_t max_us = 0;
  double cpu_us = 0;  // for one write and sync, of one process
};

// `processes` processes at once write `bytes` and fdatasync, one after the other, into a file of
// their own that was zeroed before, in a folder made below `dir` and removed.
absl::StatusOr<SyncFloor> MeasureSync(const std::string& dir, int processes, int64_t bytes,
                                      int64_t millis);

struct RoundTripFloor {
  int64_t p50_us = 0;
  int64_t p99_us = 0;
};

// `bytes` there and a short answer back over TCP on the loopback, between two processes that block.
absl::StatusOr<RoundTripFloor> MeasureRoundTrip(int64_t bytes, int64_t millis);

}  // namespace raftmq::bench
