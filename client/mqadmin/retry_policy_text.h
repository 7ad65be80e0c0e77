// A group's retry policy as RocketMQ's mqadmin takes it: the JSON of its GroupRetryPolicy.
//
// Pure functions; any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::mqadmin {

// {"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[1000,5000]}}, times in ms, or
// {"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5000,"max":7200000,"multiplier":2}}
// where what is missing has RocketMQ's default; DEFAULT is RocketMQ's list. InvalidArgument says
// what is wrong with anything else; whether the times are sensible the broker says.
absl::Status ParseRetryPolicy(const std::string& text, raftmq::v1::RetryPolicy* policy);

// "default", "1000,5000", "5000 x 2 up to 7200000".
std::string RetryPolicyText(const raftmq::v1::RetryPolicy& policy);

}  // namespace raftmq::mqadmin
