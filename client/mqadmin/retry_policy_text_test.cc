#include "client/mqadmin/retry_policy_text.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace raftmq::mqadmin {
namespace {

std::string Parsed(const std::string& text) {
  raftmq::v1::RetryPolicy policy;
  const absl::Status status = ParseRetryPolicy(text, &policy);
  return status.ok() ? RetryPolicyText(policy) : "refused";
}

TEST(RetryPolicyText, RocketMqsJsonIsRead) {
  EXPECT_EQ(Parsed(R"({"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[1000,5000]}})"),
            "1000,5000");
  EXPECT_EQ(Parsed(R"({"type":"EXPONENTIAL","exponentialRetryPolicy":)"
                   R"({"initial":100,"max":900,"multiplier":3}})"),
            "100 x 3 up to 900");
}

TEST(RetryPolicyText, WhatIsMissingHasRocketMqsDefault) {
  EXPECT_EQ(Parsed("DEFAULT"), "default");
  EXPECT_EQ(Parsed(R"({"type":"CUSTOMIZED"})"), "default");
  EXPECT_EQ(Parsed(R"({"type":"EXPONENTIAL"})"), "5000 x 2 up to 7200000");
}

TEST(RetryPolicyText, AnythingElseIsRefused) {
  for (const char* text :
       {"", "x", "[]", "{}", R"({"type":"LINEAR"})", R"({"type":7})",
        R"({"type":"CUSTOMIZED","customizedRetryPolicy":[]})",
        R"({"type":"CUSTOMIZED","customizedRetryPolicy":{"next":7}})",
        R"({"type":"CUSTOMIZED","customizedRetryPolicy":{"next":["1s"]}})",
        R"({"type":"EXPONENTIAL","exponentialRetryPolicy":7})",
        R"({"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":"5s"}})",
        R"({"type":"EXPONENTIAL","exponentialRetryPolicy":{"multiplier":4294967297}})"}) {
    EXPECT_EQ(Parsed(text), "refused") << text;
  }
}

}  // namespace
}  // namespace raftmq::mqadmin
