// Queue locks of the classic model, through the store.

#include "store/queue_locks.h"

#include "base/random.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/names.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class QueueLocksTest : public testing::Test {
 protected:
  QueueLocksTest() : member_(&log_, "queue_locks_test", {}) {
    member_.Start();
    member_.MakeTopic("T", 3);
  }

  // The queues that the client holds afterwards; it must succeed.
  std::vector<int> Lock(const std::string& client, std::vector<int> queues,
                        int64_t lease_ms = 10'000) {
    const auto locked = TryLock(client, std::move(queues), lease_ms);
    CHECK(locked.ok()) << locked.status();
    std::vector<int> numbers;
    for (const QueueId queue : *locked) numbers.push_back(queue.value());
    return numbers;
  }
  absl::StatusOr<std::vector<QueueId>> TryLock(const std::string& client, std::vector<int> queues,
                                               int64_t lease_ms, const std::string& topic = "T") {
    QueueLockRequest request{"G", topic, client, {}, lease_ms};
    for (const int queue : queues) request.queues.push_back(QueueId(queue));
    std::optional<absl::StatusOr<std::vector<QueueId>>> answer;
    member_.store().LockQueues(
        std::move(request),
        [&](absl::StatusOr<std::vector<QueueId>> locked) { answer = std::move(locked); });
    member_.Settle();
    CHECK(answer.has_value());
    return *std::move(answer);
  }
  absl::Status Commit(const std::string& client, int64_t offset) {
    std::optional<absl::Status> answer;
    member_.store().UpdateOffset("G", "T", QueueId(0), QueueOffset(offset), client,
                                 [&](absl::Status status) { answer = std::move(status); });
    member_.Settle();
    CHECK(answer.has_value());
    return *answer;
  }

  // Without the first line: a term's first entry raises the applied index.
  std::string State() {
    const std::string dump = member_.Dump();
    return dump.substr(dump.find('\n'));
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(QueueLocksTest, AQueueHasOneOwnerUntilItLetsGo) {
  EXPECT_THAT(Lock("a", {0, 1}), ElementsAre(0, 1));
  EXPECT_THAT(Lock("b", {1, 2}), ElementsAre(2)) << "1 is a's";
  EXPECT_THAT(Lock("b", {0, 1}, 0), IsEmpty()) << "they are not b's to let go";
  EXPECT_THAT(Lock("b", {0, 1}), IsEmpty());
  EXPECT_THAT(Lock("a", {1}, 0), ElementsAre(1));
  EXPECT_THAT(Lock("b", {0, 1}), ElementsAre(1));
}

TEST_F(QueueLocksTest, ADeadOwnersLockEndsAndARenewedOneDoesNot) {
  Lock("a", {0, 1}, 10'000);
  member_.clock().AdvanceMillis(6'000);
  EXPECT_THAT(Lock("a", {0}, 10'000), ElementsAre(0));
  member_.clock().AdvanceMillis(4'001);
  EXPECT_THAT(Lock("b", {0, 1}), ElementsAre(1));
  member_.clock().AdvanceMillis(6'000);
  EXPECT_THAT(Lock("b", {0, 1}), ElementsAre(0, 1));
}

TEST_F(QueueLocksTest, LocksSurviveARestartAndAPowerLossAndAreEqualAfterReplay) {
  Lock("a", {0, 1});
  Lock("a", {1}, 0);
  const std::string before = State();
  EXPECT_THAT(before, HasSubstr("queue_lock G T 0 until_ms="));
  member_.Stop();
  member_.Start();
  EXPECT_EQ(State(), before);
  Random random(1);
  member_.Crash(&random);
  member_.Start();
  EXPECT_EQ(State(), before);
  EXPECT_THAT(Lock("b", {0, 1}), ElementsAre(1));
}

TEST_F(QueueLocksTest, ACommitByWhoDoesNotHoldTheQueueIsRefused) {
  member_.SendOne("T", "x");
  Lock("a", {0}, 10'000);
  ASSERT_TRUE(Commit("a", 0).ok());
  EXPECT_EQ(ReasonOf(Commit("b", 0)), Reason::kForbidden);
  EXPECT_TRUE(Commit("", 0).ok()) << "an operator";
  member_.clock().AdvanceMillis(10'001);
  EXPECT_TRUE(Commit("b", 0).ok()) << "nobody holds it";
}

TEST_F(QueueLocksTest, ALateCommitDoesNotTakeBackWhatTheNextOwnerCommittedBeforeItLetGo) {
  for (int i = 0; i < 12; ++i) member_.SendOne("T", "x");
  Lock("a", {0});
  Lock("a", {0}, 0);
  Lock("b", {0});
  ASSERT_TRUE(Commit("b", 3).ok());
  Lock("b", {0}, 0);
  EXPECT_EQ(ReasonOf(Commit("a", 2)), Reason::kIllegalOffset);
  EXPECT_EQ(ReasonOf(Commit("b", 2)), Reason::kIllegalOffset) << "its own, overtaken";
  EXPECT_TRUE(Commit("a", 3).ok());
  EXPECT_EQ(*member_.store().CommitOffset("G", "T", QueueId(0)), QueueOffset(3));
  EXPECT_TRUE(Commit("", 1).ok()) << "an operator";
}

TEST_F(QueueLocksTest, TheFirstLockFixesWhereTheGroupBegins) {
  member_.SendOne("T", "x");
  GroupConfig group;
  group.name = "G";
  group.consume_from = ConsumeFrom::kLast;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  Lock("a", {0, 1, 2});
  for (int q = 0; q < 3; ++q) {
    const auto commit = member_.store().CommitOffset("G", "T", QueueId(q));
    ASSERT_TRUE(commit.ok()) << commit.status();
    EXPECT_EQ(*commit, member_.store().Range("T", QueueId(q))->max);
  }
}

TEST_F(QueueLocksTest, AGroupThatBeginsWithTheNewestMessagesGetsAllThatFailed) {
  const std::string retry = RetryTopicOf("G");
  for (const ConsumeFrom from : {ConsumeFrom::kLast, ConsumeFrom::kTimestamp}) {
    GroupConfig group;
    group.name = "G";
    group.consume_from = from;
    group.consume_timestamp_ms = member_.clock().WallMillis() + 3'600'000;
    ASSERT_TRUE(member_.UpdateGroup(group).ok());
    member_.MakeTopic(retry, 1);
    member_.SendOne(retry, "failed before anybody looked here");
    ASSERT_TRUE(TryLock("a", {0}, 10'000, retry).ok());
    EXPECT_EQ(*member_.store().CommitOffset("G", retry, QueueId(0)), QueueOffset(0));
    ASSERT_TRUE(member_.DeleteGroup("G").ok());
    if (member_.store().FindTopic(retry).ok()) {
      ASSERT_TRUE(member_.DeleteTopic(retry).ok());
    }
  }
}

TEST_F(QueueLocksTest, LocksGoWithTheirTopicAndTheirGroup) {
  member_.MakeTopic("U", 1);
  Lock("a", {0});
  ASSERT_TRUE(TryLock("a", {0}, 10'000, "U").ok());
  ASSERT_TRUE(member_.DeleteTopic("U").ok());
  EXPECT_EQ(member_.Dump().find("queue_lock G U"), std::string::npos);
  ASSERT_TRUE(member_.DeleteGroup("G").ok());
  EXPECT_EQ(member_.Dump().find("queue_lock"), std::string::npos);
  member_.Stop();
  member_.Start();
  EXPECT_EQ(member_.Dump().find("queue_lock"), std::string::npos) << "their rows went too";
}

TEST_F(QueueLocksTest, RefusalsSayWhatIsWrong) {
  EXPECT_EQ(ReasonOf(TryLock("a", {3}, 1'000).status()), Reason::kQueueNotFound);
  EXPECT_EQ(ReasonOf(TryLock("a", {0}, 1'000, "U").status()), Reason::kTopicNotFound);
  EXPECT_EQ(ReasonOf(TryLock("", {0}, 1'000).status()), Reason::kClientIdRequired);
}

}  // namespace
}  // namespace raftmq::store
