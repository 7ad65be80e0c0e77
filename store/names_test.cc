#include "store/names.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

TEST(Names, OrdinaryTopicsAreAccepted) {
  for (std::string_view name : {"a", "Orders_2024-eu", "ns%orders", "a|b", "%RETRY%billing"}) {
    EXPECT_TRUE(CheckTopicName(name).ok()) << name;
  }
  EXPECT_TRUE(CheckTopicName(std::string(127, 'a')).ok());
  EXPECT_TRUE(CheckTopicName(RetryTopicOf(std::string(120, 'g'))).ok());
  EXPECT_TRUE(CheckTopicName(DeadLetterTopicOf(std::string(120, 'g'))).ok());
}

TEST(Names, IllegalTopicsAreRefusedWithTheirReason) {
  std::vector<std::string> bad = {"",
                                  " ",
                                  "a b",
                                  "a.b",
                                  "a/b",
                                  "späße",
                                  "a\n",
                                  std::string("a\0b", 3),
                                  "a$b",
                                  "a@b",
                                  "a:b",
                                  std::string(128, 'a'),
                                  "TBW102",
                                  "RMQ_SYS_TRACE_TOPIC",
                                  "rmq_sys_x",
                                  "SCHEDULE_TOPIC_XXXX",
                                  "BenchmarkTest",
                                  "SELF_TEST_TOPIC",
                                  "OFFSET_MOVED_EVENT",
                                  "TRANS_CHECK_MAX_TIME_TOPIC",
                                  StrCat("%RETRY%", std::string(249, 'g'))};
  for (const std::string& name : bad) {
    EXPECT_EQ(ReasonOf(CheckTopicName(name)), Reason::kIllegalTopic) << name;
  }
}

TEST(Names, GroupsHaveTheirOwnLimitAndReason) {
  EXPECT_TRUE(CheckGroupName("GID_billing").ok());
  EXPECT_TRUE(CheckGroupName(std::string(120, 'g')).ok());
  for (const std::string& name :
       {std::string(), std::string(121, 'g'), std::string("a b"), std::string("CID_RMQ_SYS_TRANS"),
        std::string("DEFAULT_CONSUMER")}) {
    EXPECT_EQ(ReasonOf(CheckGroupName(name)), Reason::kIllegalGroup) << name;
  }
}

TEST(Names, RetryAndDeadLetterTopicsAreRecognised) {
  EXPECT_EQ(RetryTopicOf("g"), "%RETRY%g");
  EXPECT_EQ(DeadLetterTopicOf("g"), "%DLQ%g");
  EXPECT_TRUE(IsRetryTopic("%RETRY%g"));
  EXPECT_TRUE(IsDeadLetterTopic("%DLQ%g"));
  EXPECT_FALSE(IsRetryTopic("RETRY"));
}

TEST(Reasons, SurviveTheStatusThatCarriesThem) {
  for (int i = 1; i <= static_cast<int>(Reason::kStopped); ++i) {
    auto reason = static_cast<Reason>(i);
    absl::Status status = Refuse(reason, "text");
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(ReasonOf(status), reason) << ReasonName(reason);
    EXPECT_EQ(Message(status), "text");
    EXPECT_NE(ReasonName(reason), "UNNAMED_REASON") << i;
  }
}

TEST(Reasons, PlainStatusesSayWhatTheirCodeSays) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(ReasonOf(absl::UnknownError("")), Reason::kUnknownOutcome);
  EXPECT_EQ(ReasonOf(absl::FailedPreconditionError("")), Reason::kNotLeader);
  EXPECT_EQ(ReasonOf(absl::ResourceExhaustedError("")), Reason::kBusy);
  EXPECT_EQ(ReasonOf(absl::UnavailableError("")), Reason::kStopped);
  EXPECT_EQ(ReasonOf(absl::InternalError("")), std::nullopt);
}

}  // namespace
}  // namespace raftmq::store
