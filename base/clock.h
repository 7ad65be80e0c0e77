// Clock: the only source of time. Raw clocks are banned outside base/ (tools/lint), so that the
// simulator and the tests decide what time it is.
//
// Thread-safe. Implementations outlive everything that holds a pointer to them.
#pragma once

#include <cstdint>

namespace raftmq {

class Clock {
 public:
  virtual ~Clock() = default;

  // Milliseconds since the Unix epoch. May jump either way: good for stamps and timers that
  // users state in wall time, never for leases or timeouts.
  virtual int64_t WallMillis() const = 0;

  // Nanoseconds since some fixed moment of this process; never goes back.
  virtual int64_t MonotonicNanos() const = 0;

  int64_t MonotonicMillis() const { return MonotonicNanos() / 1'000'000; }
};

// The machine's clocks. Never destroyed.
Clock* SystemClock();

}  // namespace raftmq
