#include "client/fault_strategy.h"

#include <algorithm>
#include <utility>

namespace raftmq::client {
namespace {

// What RocketMQ books for a send that failed.
constexpr int64_t kFailureLatencyMs = 10'000;

}  // namespace

FaultStrategy::FaultStrategy(FaultOptions options, const Clock* clock)
    : options_(std::move(options)), clock_(clock) {}

int64_t FaultStrategy::NotAvailableMs(int64_t latency_ms) const {
  size_t i = std::min(options_.latencyMax.size(), options_.notAvailableDuration.size());
  while (i > 0) {
    --i;
    if (latency_ms >= options_.latencyMax[i]) return options_.notAvailableDuration[i];
  }
  return 0;
}

void FaultStrategy::OnAnswer(const std::string& broker, int64_t latency_ms) {
  if (!options_.sendLatencyFaultEnable) return;
  const int64_t pause_ms = NotAvailableMs(latency_ms);
  absl::MutexLock lock(&mu_);
  if (pause_ms == 0) {
    available_again_ms_.erase(broker);
  } else {
    available_again_ms_[broker] = clock_->MonotonicMillis() + pause_ms;
  }
}

void FaultStrategy::OnFailure(const std::string& broker) { OnAnswer(broker, kFailureLatencyMs); }

bool FaultStrategy::IsAvailable(const std::string& broker) const {
  if (!options_.sendLatencyFaultEnable) return true;
  absl::MutexLock lock(&mu_);
  const auto found = available_again_ms_.find(broker);
  return found == available_again_ms_.end() || clock_->MonotonicMillis() >= found->second;
}

}  // namespace raftmq::client
