// Pull consumers that subscribe: who polls what, once, while members come and go, against real
// brokers.
#include <atomic>
#include <map>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "base/thread.h"
#include "client/pull_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class SubscribedPullTest : public ClientTest {
 protected:
  void SetUp() override {
    StartNameServers(1);
    StartGroups(1, 1);
    CreateTopic("orders", 4);
  }

  std::unique_ptr<PullConsumer> StartMember(PullConsumerOptions options = {}) {
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "auditors";
    options.pullBatchSize = 4;
    auto consumer = PullConsumer::Start(options);
    CHECK(consumer.ok()) << consumer.status();
    const absl::Status subscribed = (*consumer)->Subscribe("orders");
    EXPECT_TRUE(subscribed.ok()) << subscribed;
    return *std::move(consumer);
  }

  void AwaitShare(PullConsumer* consumer, size_t queues) {
    WaitUntil([&] { return consumer->Assignment().size() == queues; });
  }

  void SendAll(int from, int to) {
    auto producer = StartProducer();
    for (int i = from; i < to; ++i) {
      auto sent = producer->Send(Make("orders", StrCat(i)));
      ASSERT_TRUE(sent.ok()) << sent.status();
    }
  }

  void PollAll(PullConsumer* consumer, size_t messages) {
    WaitUntil([&] {
      Note(consumer->Poll(100));
      return distinct() == messages;
    });
  }

  // How often each body was polled.
  void Note(const std::vector<ReceivedMessage>& messages) {
    absl::MutexLock lock(&mu_);
    for (const ReceivedMessage& message : messages) ++polled_[message.body];
  }
  size_t distinct() {
    absl::MutexLock lock(&mu_);
    return polled_.size();
  }
  std::vector<std::string> Twice() {
    absl::MutexLock lock(&mu_);
    std::vector<std::string> twice;
    for (const auto& [body, times] : polled_) {
      if (times > 1) twice.push_back(body);
    }
    return twice;
  }

  // Polls until it is stopped.
  class Poller {
   public:
    Poller(SubscribedPullTest* test, PullConsumer* consumer)
        : thread_(StartThread("poller", [this, test, consumer] {
            while (!stop_) test->Note(consumer->Poll(20));
          })) {}
    ~Poller() {
      stop_ = true;
      thread_.join();
    }

   private:
    std::atomic<bool> stop_{false};
    std::thread thread_;
  };

  absl::Mutex mu_;
  std::map<std::string, int> polled_ ABSL_GUARDED_BY(mu_);
};

TEST_F(SubscribedPullTest, MembersShareTheQueuesAndHandThemOverWithNothingLostOrTwice) {
  auto a = StartMember();
  AwaitShare(a.get(), 4);
  Poller polls_a(this, a.get());
  for (int round = 0; round < 3; ++round) {
    SendAll(round * 100, round * 100 + 50);
    auto b = StartMember();
    Poller polls_b(this, b.get());
    SendAll(round * 100 + 50, round * 100 + 100);
    AwaitShare(a.get(), 2);
    AwaitShare(b.get(), 2);
  }
  AwaitShare(a.get(), 4);
  WaitUntil([&] { return distinct() == 300; });
  EXPECT_THAT(Twice(), IsEmpty());
}

TEST_F(SubscribedPullTest, AQueueIsHandedOverOnceWhatWasPolledOfItIsCommitted) {
  PullConsumerOptions options;
  options.autoCommit = false;
  auto a = StartMember(options);
  SendAll(0, 4);  // one in each queue
  PollAll(a.get(), 4);
  auto b = StartMember();
  AwaitShare(a.get(), 2);  // the others are leaving
  EXPECT_THAT(b->Assignment(), IsEmpty());
  const absl::Status committed = a->CommitSync();
  EXPECT_TRUE(committed.ok()) << committed;
  AwaitShare(b.get(), 2);
  EXPECT_THAT(b->Poll(200), IsEmpty());
  SendAll(4, 8);
  WaitUntil([&] {
    Note(a->Poll(20));
    Note(b->Poll(20));
    return distinct() == 8;
  });
  EXPECT_THAT(Twice(), IsEmpty());
}

TEST_F(SubscribedPullTest, WithoutAutoCommitWhatWasNotCommittedComesAgainToTheNextMember) {
  PullConsumerOptions options;
  options.autoCommit = false;
  SendAll(0, 8);
  {
    auto a = StartMember(options);
    PollAll(a.get(), 8);
    const absl::Status committed = a->CommitSync();
    EXPECT_TRUE(committed.ok()) << committed;
    SendAll(8, 12);
    PollAll(a.get(), 12);
  }
  auto b = StartMember(options);
  WaitUntil([&] {
    Note(b->Poll(100));
    return Twice().size() == 4;
  });
  EXPECT_THAT(Twice(), testing::UnorderedElementsAre("8", "9", "10", "11"));
}

TEST_F(SubscribedPullTest, AMemberThatNeitherPollsNorCommitsLosesItsQueuesAfterATime) {
  PullConsumerOptions options;
  options.autoCommit = false;
  options.handOverTimeoutMillis = 100;
  auto a = StartMember(options);
  SendAll(0, 4);
  PollAll(a.get(), 4);
  auto b = StartMember();
  AwaitShare(b.get(), 2);
  WaitUntil([&] {
    Note(b->Poll(100));
    return Twice().size() == 2;
  });
}

TEST_F(SubscribedPullTest, ASubscribedQueueCanBePausedAndSought) {
  auto a = StartMember();
  AwaitShare(a.get(), 4);
  const MessageQueue queue = a->Assignment()[0];
  auto producer = StartProducer();
  ASSERT_TRUE(a->Pause(queue).ok());
  ASSERT_TRUE(producer->SendToQueue(Make("orders", "x"), queue).ok());
  EXPECT_THAT(a->Poll(200), IsEmpty()) << "paused";
  ASSERT_TRUE(a->Resume(queue).ok());
  ASSERT_THAT(a->Poll(30'000), SizeIs(1));
  ASSERT_TRUE(a->SeekToBegin(queue).ok());
  ASSERT_THAT(a->Poll(30'000), SizeIs(1)) << "again";
  EXPECT_TRUE(absl::IsNotFound(a->Pause({"orders", "broker-a", QueueId(9)})));
  EXPECT_TRUE(absl::IsFailedPrecondition(a->Assign({queue})));
  EXPECT_TRUE(absl::IsInvalidArgument(a->Subscribe("")));
  EXPECT_TRUE(absl::IsInvalidArgument(a->Subscribe("orders", MessageSelector::BySql("price >"))));
  a->Unsubscribe("orders");
  AwaitShare(a.get(), 0);
}

TEST_F(SubscribedPullTest, WhoHasQueuesAssignedDoesNotSubscribe) {
  PullConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  options.consumerGroup = "auditors";
  auto consumer = *PullConsumer::Start(options);
  ASSERT_TRUE(consumer->Assign({{"orders", "broker-a", QueueId(0)}}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer->Subscribe("orders")));
  ASSERT_TRUE(consumer->Assign({}).ok());
  EXPECT_TRUE(consumer->Subscribe("orders").ok());
  AwaitShare(consumer.get(), 4);
}

}  // namespace
}  // namespace raftmq::client
