// FaultStrategy: which brokers to leave alone for a while, because their last answer was slow or
// did not come (RocketMQ: MQFaultStrategy, LatencyFaultToleranceImpl).
//
// Off by default: then every broker is available. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"

namespace raftmq::client {

// A send that took latencyMax[i] or longer, but less than latencyMax[i + 1], makes its broker
// unavailable for notAvailableDuration[i]. Milliseconds, ascending, equally many.
struct FaultOptions {
  bool sendLatencyFaultEnable = false;
  std::vector<int64_t> latencyMax = {50, 100, 550, 1'800, 3'000, 5'000, 15'000};
  std::vector<int64_t> notAvailableDuration = {0, 0, 2'000, 5'000, 6'000, 10'000, 30'000};
};

class FaultStrategy {
 public:
  FaultStrategy(FaultOptions options, const Clock* clock);

  // A broker answered after so long; the newest word counts.
  void OnAnswer(const std::string& broker, int64_t latency_ms);
  // It did not answer, or could not take the message: counts as 10 s.
  void OnFailure(const std::string& broker);

  bool IsAvailable(const std::string& broker) const;

 private:
  int64_t NotAvailableMs(int64_t latency_ms) const;

  const FaultOptions options_;
  const Clock* const clock_;
  mutable absl::Mutex mu_;
  // Monotonic; only brokers that are unavailable.
  std::map<std::string, int64_t> available_again_ms_ ABSL_GUARDED_BY(mu_);
};

}  // namespace raftmq::client
