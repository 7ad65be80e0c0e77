// A retry policy in the command PutGroup and in a group's row. docs/formats.md, "state".
//
// Pure functions; any thread.
#pragma once

#include <string>

#include "base/endian.h"
#include "store/byte_reader.h"
#include "store/retry_policy.h"

namespace raftmq::store {

inline void AppendRetryPolicy(std::string* out, const RetryPolicy& policy) {
  AppendBe(out, static_cast<uint8_t>(policy.kind));
  if (policy.kind == RetryPolicy::Kind::kExponential) {
    AppendBe(out, policy.initial_ms);
    AppendBe(out, policy.max_ms);
    AppendBe(out, policy.multiplier);
    return;
  }
  AppendBe(out, static_cast<uint32_t>(policy.delays_ms.size()));
  for (const int64_t delay_ms : policy.delays_ms) AppendBe(out, delay_ms);
}

// Fails `in` for anything that CheckRetryPolicy would refuse.
inline RetryPolicy TakeRetryPolicy(ByteReader& in) {
  RetryPolicy policy;
  policy.kind = static_cast<RetryPolicy::Kind>(in.Take<uint8_t>());
  if (policy.kind == RetryPolicy::Kind::kExponential) {
    policy.initial_ms = in.Take<int64_t>();
    policy.max_ms = in.Take<int64_t>();
    policy.multiplier = in.Take<int32_t>();
  } else {
    policy.delays_ms.resize(in.TakeCount(kMaxRetryDelays, 8));
    for (int64_t& delay_ms : policy.delays_ms) delay_ms = in.Take<int64_t>();
  }
  if (!CheckRetryPolicy(policy).ok()) in.Fail();
  return policy;
}

}  // namespace raftmq::store
