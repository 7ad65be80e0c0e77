#include "client/read_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"

namespace raftmq::client {
namespace {

class ReadChoiceTest : public testing::Test {
 protected:
  std::string First(ReadFrom from, int queue) const {
    return choice_.First(from, QueueId(queue), addresses_);
  }

  FakeClock clock_;
  ReadChoice choice_{/*first=*/4, &clock_};
  std::vector<std::string> addresses_{"leader", "b", "c"};
};

TEST_F(ReadChoiceTest, TheLeaderIsAskedUnlessOthersMayBe) {
  for (int queue = 0; queue < 3; ++queue) EXPECT_EQ(First(ReadFrom::kLeader, queue), "leader");
}

TEST_F(ReadChoiceTest, QueuesTakeTurnsAndKeepTheirMember) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(First(ReadFrom::kAny, 0), "b");
    EXPECT_EQ(First(ReadFrom::kAny, 1), "c");
    EXPECT_EQ(First(ReadFrom::kAny, 2), "leader");
    EXPECT_EQ(First(ReadFrom::kFollower, 0), "b");
    EXPECT_EQ(First(ReadFrom::kFollower, 1), "c");
    EXPECT_EQ(First(ReadFrom::kFollower, 2), "b");
  }
}

TEST_F(ReadChoiceTest, AMemberThatFailedIsLeftOutForAWhile) {
  choice_.Avoid("b");
  EXPECT_EQ(First(ReadFrom::kFollower, 0), "c");
  choice_.Avoid("c");
  EXPECT_EQ(First(ReadFrom::kFollower, 0), "leader") << "none is left";
  clock_.Advance(ReadChoice::kAvoidMs * 1'000'000);
  EXPECT_EQ(First(ReadFrom::kFollower, 0), "b");
}

TEST_F(ReadChoiceTest, PullsOfAQueueGoWhereTheLatestAnswerSuggested) {
  const MessageQueue queue{"orders", "broker-a", QueueId(0)};
  const MessageQueue other{"orders", "broker-a", QueueId(1)};
  choice_.Suggest(queue, "10.0.0.3:8081");  // it need not be in the route by that name
  EXPECT_EQ(choice_.FirstOfPull(ReadFrom::kLeader, queue, addresses_), "10.0.0.3:8081");
  EXPECT_EQ(choice_.FirstOfPull(ReadFrom::kLeader, other, addresses_), "leader");
  EXPECT_EQ(First(ReadFrom::kLeader, 0), "leader") << "offsets are asked of whom they were";
  choice_.Avoid("10.0.0.3:8081");
  EXPECT_EQ(choice_.FirstOfPull(ReadFrom::kLeader, queue, addresses_), "leader") << "it failed";
  clock_.AdvanceMillis(ReadChoice::kAvoidMs);
  EXPECT_EQ(choice_.FirstOfPull(ReadFrom::kLeader, queue, addresses_), "10.0.0.3:8081");
  choice_.Suggest(queue, "");
  EXPECT_EQ(choice_.FirstOfPull(ReadFrom::kLeader, queue, addresses_), "leader");
}

TEST_F(ReadChoiceTest, AGroupOfOneHasItsLeaderOnly) {
  addresses_ = {"leader"};
  EXPECT_EQ(First(ReadFrom::kAny, 0), "leader");
  EXPECT_EQ(First(ReadFrom::kFollower, 0), "leader");
}

}  // namespace
}  // namespace raftmq::client
