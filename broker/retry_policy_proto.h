// A group's retry policy in raftmq.v1 and back.
//
// Pure functions; any thread.
#pragma once

#include "raftmq/v1/admin.pb.h"
#include "store/retry_policy.h"

namespace raftmq::broker {

inline void FillRetryPolicy(const store::RetryPolicy& policy, raftmq::v1::RetryPolicy* proto) {
  if (policy.kind == store::RetryPolicy::Kind::kExponential) {
    proto->mutable_exponential()->set_initial_ms(policy.initial_ms);
    proto->mutable_exponential()->set_max_ms(policy.max_ms);
    proto->mutable_exponential()->set_multiplier(policy.multiplier);
    return;
  }
  proto->mutable_customized();
  for (const int64_t delay_ms : policy.delays_ms) {
    proto->mutable_customized()->add_next_ms(delay_ms);
  }
}

// The store checks it.
inline store::RetryPolicy ToRetryPolicy(const raftmq::v1::RetryPolicy& proto) {
  store::RetryPolicy policy;
  if (proto.has_exponential()) {
    policy.kind = store::RetryPolicy::Kind::kExponential;
    policy.initial_ms = proto.exponential().initial_ms();
    policy.max_ms = proto.exponential().max_ms();
    policy.multiplier = proto.exponential().multiplier();
  } else {
    policy.delays_ms.assign(proto.customized().next_ms().begin(),
                            proto.customized().next_ms().end());
  }
  return policy;
}

}  // namespace raftmq::broker
