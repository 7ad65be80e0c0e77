// SendRate: how long to wait between batches so that so many are sent in a second. Time that was
// lost, since a broker was away or the process was stopped, is not made up for: at no time does
// more than a batch go beyond the rate.
//
// One thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace raftmq::mqadmin {

class SendRate {
 public:
  // `per_second` 0: as fast as it goes. The clock outlives it.
  SendRate(double per_second, Clock* clock)
      : per_second_(per_second), clock_(clock), next_nanos_(clock->MonotonicNanos()) {}

  // Before each batch: how many of `most` to send, about a quarter of a second's, so that the rate
  // is even.
  int64_t BeginBatch(int64_t most) {
    next_nanos_ = std::max(next_nanos_, clock_->MonotonicNanos());
    if (per_second_ <= 0) return most;
    return std::clamp<int64_t>(static_cast<int64_t>(per_second_ / 4), 1, most);
  }

  // After it: how long to wait before the next one, if so many were sent.
  int64_t EndBatch(int64_t sent) {
    if (per_second_ <= 0) return 0;
    next_nanos_ += static_cast<int64_t>(static_cast<double>(sent) * 1e9 / per_second_);
    return std::max<int64_t>(0, next_nanos_ - clock_->MonotonicNanos());
  }

 private:
  const double per_second_;
  Clock* const clock_;
  int64_t next_nanos_;  // when the next batch may begin
};

}  // namespace raftmq::mqadmin
