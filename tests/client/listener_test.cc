// What listeners answer, and what comes of it: orderly ones pause a queue, commit and roll back;
// concurrent ones take a part of a batch.
#include <atomic>
#include <map>

#include "tests/client/grpc_push_consumers.h"

namespace raftmq::client {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Lt;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ListenerTest : public PushConsumerTest {
 protected:
  void SetUp() override {
    PushConsumerTest::SetUp();
    configure_ = [](broker::BrokerConfig* config) { config->messageDelayLevel = "1s 1s 1s"; };
    StartGroups(1, 1);
    CreateTopic("orders", 1);
  }
  // "0", "1", …: one entry of the log, and so one pull.
  void SendTogether(int from, int to) {
    std::vector<Message> batch;
    for (int i = from; i < to; ++i) batch.push_back(Make("orders", StrCat(i)));
    auto sent = StartProducer()->SendBatch(batch);
    ASSERT_TRUE(sent.ok()) << sent.status();
  }
  // Each call's messages, with blanks between.
  void Note(const std::vector<ReceivedMessage>& messages) {
    std::string call;
    for (const ReceivedMessage& m : messages) call += StrCat(call.empty() ? "" : " ", m.body);
    absl::MutexLock lock(&mu_);
    calls_.push_back(call);
    times_ms_.push_back(SystemClock()->MonotonicMillis());
  }
  std::vector<std::string> calls() const {
    absl::MutexLock lock(&mu_);
    return calls_;
  }
  int64_t MillisBetween(size_t call, size_t next) const {
    absl::MutexLock lock(&mu_);
    return times_ms_.at(next) - times_ms_.at(call);
  }

 private:
  mutable absl::Mutex mu_;
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mu_);
  std::vector<int64_t> times_ms_ ABSL_GUARDED_BY(mu_);
};

TEST_F(ListenerTest, ASuspendedQueuePausesAsLongAsTheOptionOrTheListenerSaysAndGoesOnWithTheSame) {
  PushConsumerOptions options = Options();
  options.suspendCurrentQueueTimeMillis = PushConsumerOptions().suspendCurrentQueueTimeMillis;
  ASSERT_EQ(options.suspendCurrentQueueTimeMillis, 1'000);
  std::map<std::string, int> failures;
  options.orderly = [&](const auto& messages, auto& context) {
    Note(messages);
    if (messages[0].body == "2" || failures[messages[0].body]++ > 0) {
      return ConsumeOrderlyStatus::kSuccess;
    }
    if (messages[0].body == "1") context.suspend_current_queue_time_ms = 300;
    return ConsumeOrderlyStatus::kSuspendCurrentQueueAMoment;
  };
  auto a = Run(std::move(options));
  SendTogether(0, 3);
  WaitUntil([&] { return calls().size() == 5; });
  EXPECT_THAT(calls(), ElementsAre("0", "0", "1", "1", "2"));
  // An upper bound for a machine that does other things, too.
  EXPECT_THAT(MillisBetween(0, 1), AllOf(Ge(1'000), Lt(1'000 + 3'000)));
  EXPECT_THAT(MillisBetween(2, 3), AllOf(Ge(300), Lt(1'000))) << "the listener's, not the option's";
}

TEST_F(ListenerTest, BatchesOfAnOrderlyListenerKeepTheOrderAlsoWhenOneFails) {
  PushConsumerOptions options = Options();
  options.consumeMessageBatchMaxSize = 4;
  std::atomic<int> failures = 0;
  options.orderly = [&](const auto& messages, auto&) {
    Note(messages);
    return messages[0].body == "4" && ++failures <= 2
               ? ConsumeOrderlyStatus::kSuspendCurrentQueueAMoment
               : ConsumeOrderlyStatus::kSuccess;
  };
  auto a = Run(std::move(options));
  SendTogether(0, 10);
  WaitUntil([&] { return calls().size() == 5; });
  EXPECT_THAT(calls(), ElementsAre("0 1 2 3", "4 5 6 7", "4 5 6 7", "4 5 6 7", "8 9"));
}

TEST_F(ListenerTest, WithoutAutoCommitTheNextOwnerBeginsAfterTheLastCommit) {
  PushConsumerOptions options = Options();
  options.orderly = [&](const auto& messages, auto& context) {
    context.auto_commit = false;
    Note(messages);
    return messages[0].body == "1" ? ConsumeOrderlyStatus::kCommit : ConsumeOrderlyStatus::kSuccess;
  };
  auto a = Run(options);
  SendTogether(0, 4);
  WaitUntil([&] { return calls().size() == 4; });
  a.reset();
  auto b = Run(options);
  WaitUntil([&] { return calls().size() == 6; });
  EXPECT_THAT(calls(), ElementsAre("0", "1", "2", "3", "2", "3"));
}

TEST_F(ListenerTest, AQueueWithABacklogGivesTheThreadToTheOthersWhenItsTimeIsUp) {
  CreateTopic("orders", 2);
  PushConsumerOptions options = Options();
  ASSERT_EQ(options.maxTimeConsumeContinuously, 60'000);
  options.maxTimeConsumeContinuously = 20;
  options.consumeThreadNumber = 1;
  options.pollNameServerInterval = 50;
  std::atomic<bool> other_came = false;
  std::atomic<int> behind = 0;
  options.orderly = [&](const auto& messages, auto&) {
    if (messages[0].body == "other") {
      other_came = true;
    } else {
      // A millisecond's work each: all of them take several times longer than a run may.
      absl::Notification never;
      never.WaitForNotificationWithTimeout(absl::Milliseconds(1));
      if (!other_came) ++behind;
    }
    seen_.Add("a", messages);
    return ConsumeOrderlyStatus::kSuccess;
  };
  auto a = Run(std::move(options));
  AwaitShares({a.get()}, {2});
  a->Suspend();
  auto producer = StartProducer();
  const auto send_to = [&](int queue, const std::string& body) {
    auto sent =
        producer->SendToQueue(Make("orders", body), {"orders", groups_[0]->name(), QueueId(queue)});
    ASSERT_TRUE(sent.ok()) << sent.status();
  };
  for (int i = 0; i < 300; ++i) send_to(0, StrCat(i));
  send_to(1, "other");
  a->Resume();
  WaitUntil([&] { return seen_.distinct() == 301; });
  EXPECT_LT(behind, 200) << "it waited for the whole backlog";
  std::vector<std::string> of_queue_0 = seen_.of("a");
  std::erase(of_queue_0, "other");
  for (size_t i = 0; i < of_queue_0.size(); ++i) EXPECT_EQ(of_queue_0[i], StrCat(i));
}

TEST_F(ListenerTest, OfAConcurrentBatchWhatIsBehindTheAckIndexComesAgainAndTheRestDoesNot) {
  PushConsumerOptions options = Options();
  options.consumeMessageBatchMaxSize = 4;
  std::atomic<bool> cut = false;
  options.concurrently = [&](const auto& messages, auto& context) {
    Note(messages);
    seen_.Add("a", messages);
    context.delay_level_when_next_consume = 1;
    if (!cut.exchange(true)) context.ack_index = 1;
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(std::move(options));
  AwaitShares({a.get()}, {1});
  SendTogether(0, 4);
  WaitUntil([&] { return seen_.times("2") == 2 && seen_.times("3") == 2; });
  EXPECT_EQ(calls()[0], "0 1 2 3");
  EXPECT_EQ(seen_.times("0"), 1);
  EXPECT_EQ(seen_.times("1"), 1);
  // All is committed: a member that starts anew gets what is new.
  a.reset();
  auto b = RunConcurrently("b");
  SendTogether(4, 6);
  WaitUntil([&] { return seen_.distinct() == 6; });
  EXPECT_THAT(seen_.of("b"), UnorderedElementsAre("4", "5"));
}

TEST_F(ListenerTest, AConcurrentBatchThatFailsComesAgainAsAWhole) {
  PushConsumerOptions options = Options();
  options.consumeMessageBatchMaxSize = 3;
  std::atomic<bool> failed = false;
  options.concurrently = [&](const auto& messages, auto& context) {
    seen_.Add("a", messages);
    context.delay_level_when_next_consume = 1;
    context.ack_index = 1;  // of a success only
    return messages[0].body == "0" && !failed.exchange(true)
               ? ConsumeConcurrentlyStatus::kReconsumeLater
               : ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(std::move(options));
  AwaitShares({a.get()}, {1});
  SendTogether(0, 2);
  WaitUntil([&] { return seen_.times("0") == 2 && seen_.times("1") == 2; });
  EXPECT_THAT(seen_.of("a"), SizeIs(4));
}

}  // namespace
}  // namespace raftmq::client
