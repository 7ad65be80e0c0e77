#include "store/retry_policy.h"

#include <algorithm>

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

// What a client may ask for at most when it gives a message back.
constexpr int64_t kMaxDelayMs = 12 * 3'600'000;
constexpr int32_t kMaxMultiplier = 1'000;

int64_t ExponentialDelayMs(const RetryPolicy& policy, int32_t attempt) {
  int64_t delay_ms = policy.initial_ms;
  // Each step of these bounds at least doubles it, or changes nothing.
  if (policy.multiplier == 1) return std::min(delay_ms, policy.max_ms);
  for (int32_t i = 1; i < attempt && delay_ms > 0 && delay_ms < policy.max_ms; ++i) {
    delay_ms *= policy.multiplier;
  }
  return std::min(delay_ms, policy.max_ms);
}

bool IsDelay(int64_t ms) { return ms >= 0 && ms <= kMaxDelayMs; }

}  // namespace

const std::vector<int64_t>& DefaultRetryDelays() {
  static const std::vector<int64_t>& delays = *new std::vector<int64_t>{
      1'000,   5'000,   10'000,  30'000,  60'000,  120'000,   180'000,   240'000,   300'000,
      360'000, 420'000, 480'000, 540'000, 600'000, 1'200'000, 1'800'000, 3'600'000, 7'200'000};
  return delays;
}

std::vector<int64_t> RetryDelays(const RetryPolicy& policy, size_t count) {
  if (policy.kind == RetryPolicy::Kind::kCustomized) {
    return policy.delays_ms.empty() ? DefaultRetryDelays() : policy.delays_ms;
  }
  std::vector<int64_t> delays(std::clamp<size_t>(count, 1, kMaxRetryDelays));
  for (size_t i = 0; i < delays.size(); ++i) {
    delays[i] = ExponentialDelayMs(policy, static_cast<int32_t>(i) + 1);
  }
  return delays;
}

int64_t RetryDelayMs(const RetryPolicy& policy, int32_t attempt) {
  attempt = std::max(attempt, 1);
  if (policy.kind == RetryPolicy::Kind::kExponential) return ExponentialDelayMs(policy, attempt);
  const std::vector<int64_t>& delays =
      policy.delays_ms.empty() ? DefaultRetryDelays() : policy.delays_ms;
  return delays[std::min<size_t>(attempt, delays.size()) - 1];
}

absl::Status CheckRetryPolicy(const RetryPolicy& policy) {
  if (policy.kind == RetryPolicy::Kind::kCustomized) {
    if (policy.delays_ms.size() > kMaxRetryDelays) {
      return Refuse(Reason::kIllegalGroup,
                    StrCat("a customized retry policy has ", policy.delays_ms.size(),
                           " delays, at most ", kMaxRetryDelays, " are allowed"));
    }
    for (const int64_t delay_ms : policy.delays_ms) {
      if (IsDelay(delay_ms)) continue;
      return Refuse(Reason::kIllegalGroup,
                    StrCat("a retry delay is ", delay_ms, " ms, expected 0 to ", kMaxDelayMs));
    }
    return absl::OkStatus();
  }
  if (policy.kind != RetryPolicy::Kind::kExponential) {
    return Refuse(Reason::kIllegalGroup,
                  StrCat("retry policy of the unknown kind ", static_cast<int>(policy.kind)));
  }
  if (!IsDelay(policy.initial_ms) || !IsDelay(policy.max_ms) || policy.initial_ms > policy.max_ms ||
      policy.multiplier < 1 || policy.multiplier > kMaxMultiplier) {
    return Refuse(Reason::kIllegalGroup,
                  StrCat("an exponential retry policy has initial ", policy.initial_ms, " ms, max ",
                         policy.max_ms, " ms, multiplier ", policy.multiplier,
                         ": expected 0 <= initial <= max <= ", kMaxDelayMs,
                         " and a multiplier of 1 to ", kMaxMultiplier));
  }
  return absl::OkStatus();
}

}  // namespace raftmq::store
