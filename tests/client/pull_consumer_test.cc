// Reading queues by offset, against real brokers.
#include "client/pull_consumer.h"

#include <set>

#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PullConsumerTest : public ClientTest {
 protected:
  void SetUp() override { StartNameServers(1); }

  std::unique_ptr<PullConsumer> StartPullConsumer(PullConsumerOptions options = {}) {
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "readers";
    auto consumer = PullConsumer::Start(options);
    CHECK(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  void SendTo(const MessageQueue& queue, int from, int to) {
    auto producer = StartProducer();
    for (int i = from; i < to; ++i) {
      Message message = Make(queue.topic, StrCat(i));
      message.tag = i % 2 == 0 ? "even" : "odd";
      auto sent = producer->SendToQueue(message, queue);
      ASSERT_TRUE(sent.ok()) << sent.status();
    }
  }

  // A send is answered when it is committed, which is before it can be read.
  void AwaitMax(PullConsumer* consumer, int64_t max) {
    WaitUntil([&] {
      auto found = consumer->MaxOffset(queue_);
      return found.ok() && *found >= QueueOffset(max);
    });
  }

  static std::vector<std::string> BodiesOf(const std::vector<ReceivedMessage>& messages) {
    std::vector<std::string> bodies;
    for (const ReceivedMessage& m : messages) bodies.push_back(m.body);
    return bodies;
  }

  static std::vector<std::string> Poll(PullConsumer* consumer, size_t count) {
    std::vector<std::string> bodies;
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 30'000;
    while (bodies.size() < count && SystemClock()->MonotonicMillis() < give_up_ms) {
      for (const ReceivedMessage& m : consumer->Poll(1'000)) bodies.push_back(m.body);
    }
    return bodies;
  }

  const MessageQueue queue_{"orders", "broker-a", QueueId(0)};
};

TEST_F(PullConsumerTest, APullGivesWhatIsThereFromAnOffsetOn) {
  StartGroups(1, 1);
  CreateTopic("orders", 2);
  SendTo(queue_, 0, 5);
  auto consumer = StartPullConsumer();
  auto queues = consumer->FetchSubscribeMessageQueues("orders");
  ASSERT_TRUE(queues.ok()) << queues.status();
  EXPECT_THAT(*queues, ElementsAre(queue_, MessageQueue{"orders", "broker-a", QueueId(1)}));

  AwaitMax(consumer.get(), 5);
  auto some = consumer->Pull(queue_, "*", QueueOffset(1), 3);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->status, PullStatus::kFound);
  EXPECT_THAT(BodiesOf(some->messages), ElementsAre("1", "2", "3"));
  EXPECT_EQ(some->next_begin_offset, QueueOffset(4));
  EXPECT_EQ(some->messages[0].broker_name, "broker-a");

  auto odd = consumer->Pull(queue_, "odd", QueueOffset(0), 32);
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_THAT(BodiesOf(odd->messages), ElementsAre("1", "3"));
  EXPECT_EQ(odd->next_begin_offset, QueueOffset(5));
  EXPECT_EQ(consumer->Pull(queue_, "none", QueueOffset(0), 32)->status,
            PullStatus::kNoMatchedMessage);
  EXPECT_EQ(consumer->Pull(queue_, "*", QueueOffset(5), 32)->status, PullStatus::kNoNewMessage);
  auto beyond = consumer->Pull(queue_, "*", QueueOffset(50), 32);
  ASSERT_TRUE(beyond.ok()) << beyond.status();
  EXPECT_EQ(beyond->status, PullStatus::kOffsetIllegal);
  EXPECT_EQ(beyond->next_begin_offset, QueueOffset(5));
  EXPECT_TRUE(absl::IsNotFound(
      consumer->Pull({"orders", "broker-a", QueueId(7)}, "*", QueueOffset(0), 1).status()));
}

TEST_F(PullConsumerTest, APullThatWaitsIsAnsweredWhenAMessageThatMatchesArrives) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  auto consumer = StartPullConsumer();
  absl::Notification pulled;
  absl::StatusOr<PullResult> result;
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  consumer->PullAsync(queue_, "odd", QueueOffset(0), 32, [&](absl::StatusOr<PullResult> r) {
    result = std::move(r);
    pulled.Notify();
  });
  SendTo(queue_, 0, 1);  // "even": it goes on waiting
  EXPECT_FALSE(pulled.WaitForNotificationWithTimeout(absl::Milliseconds(100)));
  SendTo(queue_, 1, 2);
  pulled.WaitForNotification();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(BodiesOf(result->messages), ElementsAre("1"));
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 10'000) << "not at the end of its wait";
}

TEST_F(PullConsumerTest, APullThatWaitsInVainEndsInTime) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PullConsumerOptions options;
  options.brokerSuspendMaxTimeMillis = 300;
  auto result = StartPullConsumer(options)->PullBlockIfNotFound(queue_, "*", QueueOffset(0), 1);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->status, PullStatus::kNoNewMessage);
}

TEST_F(PullConsumerTest, APullIsTriedUntilItsOwnTimeout) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PullConsumerOptions options;
  options.consumerPullTimeoutMillis = 1'000;
  options.brokerSuspendMaxTimeMillis = 100;
  options.consumerTimeoutMillisWhenSuspend = 1'000;
  options.requestTimeout = 40'000;
  auto consumer = StartPullConsumer(options);
  const MessageQueue away{"orders", "broker-x", QueueId(0)};  // it may yet come
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  for (const auto& pulled : {consumer->Pull(away, "*", QueueOffset(0), 1),
                             consumer->PullBlockIfNotFound(away, "*", QueueOffset(0), 1)}) {
    EXPECT_TRUE(absl::IsUnavailable(pulled.status())) << pulled.status();
    EXPECT_THAT(std::string(pulled.status().message()), testing::HasSubstr("mqadmin topicRoute"));
  }
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 20'000);
}

TEST_F(PullConsumerTest, TimesThatCannotBeAreRefusedAndNamed) {
  PullConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  options.consumerGroup = "readers";
  options.consumerTimeoutMillisWhenSuspend = options.brokerSuspendMaxTimeMillis;
  const absl::Status refused = PullConsumer::Start(options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr("consumerTimeoutMillisWhenSuspend 20000"));
}

TEST_F(PullConsumerTest, AConsumerThatGoesAwayBreaksOffItsPulls) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  absl::Status ended;
  auto consumer = StartPullConsumer();
  consumer->PullAsync(queue_, "*", QueueOffset(0), 1,
                      [&](absl::StatusOr<PullResult> r) { ended = r.status(); });
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  consumer.reset();
  EXPECT_TRUE(absl::IsCancelled(ended)) << ended;
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 10'000);
}

TEST_F(PullConsumerTest, OffsetsAreFoundByPlaceAndTimeAndCommitted) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  SendTo(queue_, 0, 3);
  auto consumer = StartPullConsumer();
  AwaitMax(consumer.get(), 3);
  EXPECT_EQ(*consumer->MinOffset(queue_), QueueOffset(0));
  EXPECT_EQ(*consumer->MaxOffset(queue_), QueueOffset(3));
  auto all = consumer->Pull(queue_, "*", QueueOffset(0), 32);
  ASSERT_TRUE(all.ok() && all->messages.size() == 3) << all.status();
  EXPECT_EQ(*consumer->SearchOffset(queue_, 0), QueueOffset(0));
  EXPECT_EQ(*consumer->SearchOffset(queue_, all->messages[2].store_ms + 1), QueueOffset(3));
  auto none = consumer->FetchConsumeOffset(queue_);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(*none, std::nullopt);
  ASSERT_TRUE(consumer->UpdateConsumeOffset(queue_, QueueOffset(2)).ok());
  EXPECT_EQ(**consumer->FetchConsumeOffset(queue_), QueueOffset(2));
  EXPECT_FALSE(consumer->UpdateConsumeOffset(queue_, QueueOffset(4)).ok());
}

TEST_F(PullConsumerTest, AssignedQueuesAreReadInOrderAndGoOnWhereTheyWereCommitted) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  SendTo(queue_, 0, 40);
  std::vector<std::string> expected;
  for (int i = 0; i < 40; ++i) expected.push_back(StrCat(i));
  auto consumer = StartPullConsumer();
  ASSERT_TRUE(consumer->Assign({queue_}).ok());
  EXPECT_EQ(Poll(consumer.get(), 40), expected);
  consumer.reset();  // commits
  consumer = StartPullConsumer();
  ASSERT_TRUE(consumer->Assign({queue_}).ok());
  EXPECT_THAT(consumer->Poll(200), IsEmpty()) << "nothing twice";
  SendTo(queue_, 40, 41);
  EXPECT_THAT(Poll(consumer.get(), 1), ElementsAre("40"));
  ASSERT_TRUE(consumer->Seek(queue_, QueueOffset(38)).ok());
  EXPECT_THAT(Poll(consumer.get(), 3), ElementsAre("38", "39", "40"));
  ASSERT_TRUE(consumer->SeekToEnd(queue_).ok());
  ASSERT_TRUE(consumer->Pause(queue_).ok());
  SendTo(queue_, 41, 42);
  EXPECT_THAT(consumer->Poll(200), IsEmpty()) << "paused";
  ASSERT_TRUE(consumer->Resume(queue_).ok());
  EXPECT_THAT(Poll(consumer.get(), 1), ElementsAre("41"));
  ASSERT_TRUE(consumer->Assign({}).ok());
  EXPECT_TRUE(absl::IsNotFound(consumer->SeekToBegin(queue_)));
}

TEST_F(PullConsumerTest, PullsAndOffsetsGoOnWhenTheLeaderIsKilled) {
  StartGroups(1, 3);
  CreateTopic("orders", 1);
  auto consumer = StartPullConsumer();
  ASSERT_TRUE(consumer->Assign({queue_}).ok());
  SendTo(queue_, 0, 10);
  EXPECT_THAT(Poll(consumer.get(), 10), SizeIs(10));
  ASSERT_TRUE(consumer->CommitSync().ok());
  const int leader = LeaderOf(*groups_[0]);
  ASSERT_GE(leader, 0);
  groups_[0]->Stop(leader);
  SendTo(queue_, 10, 20);
  const auto after = Poll(consumer.get(), 10);
  EXPECT_THAT(after, SizeIs(10));
  EXPECT_EQ(after.front(), "10") << "nothing twice";
  auto committed = consumer->FetchConsumeOffset(queue_);
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_GE(**committed, QueueOffset(10));
  ASSERT_TRUE(consumer->CommitSync().ok());
  EXPECT_EQ(**consumer->FetchConsumeOffset(queue_), QueueOffset(20));
}

}  // namespace
}  // namespace raftmq::client
