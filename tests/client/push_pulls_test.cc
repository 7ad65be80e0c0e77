// How a push consumer pulls: what arrives is there in milliseconds though nobody polls; what nobody
// wants wakes nobody; a listener that is slow stops the pulling, and nothing is lost by that.
#include <algorithm>
#include <atomic>
#include <thread>

#include "base/thread.h"
#include "tests/client/grpc_push_consumers.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;
using ::testing::IsEmpty;

using PushPullsTest = PushConsumerTest;

TEST_F(PushPullsTest, AMessageIsDeliveredMillisecondsAfterItArrivedThoughAPullWaitsFor15Seconds) {
  StartGroups(1, 1);
  CreateTopic("orders", 2);
  PushConsumerOptions options = Options();
  ASSERT_EQ(options.brokerSuspendMaxTimeMillis, 15'000);
  absl::Mutex mu;
  std::map<std::string, int64_t> came_us;
  options.concurrently = [&](const auto& messages, auto&) {
    const int64_t now_us = absl::GetCurrentTimeNanos() / 1'000;
    absl::MutexLock lock(&mu);
    for (const ReceivedMessage& m : messages) came_us.emplace(m.body, now_us);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(std::move(options));
  AwaitShares({a.get()}, {2});
  auto producer = StartProducer();
  std::vector<int64_t> latencies_us;
  for (int i = 0; i < 50; ++i) {
    const std::string body = StrCat(i);
    ASSERT_TRUE(producer->Send(Make("orders", body)).ok());
    const int64_t arrived_us = absl::GetCurrentTimeNanos() / 1'000;
    WaitUntil([&] {
      absl::MutexLock lock(&mu);
      return came_us.contains(body);
    });
    absl::MutexLock lock(&mu);
    latencies_us.push_back(came_us[body] - arrived_us);
  }
  std::sort(latencies_us.begin(), latencies_us.end());
  LOG(INFO) << "median " << latencies_us[25] << " us, longest " << latencies_us[49] << " us";
  EXPECT_LT(latencies_us[25], 50'000);
  EXPECT_LT(latencies_us[49], 5'000'000) << "none waited until a pull's time was up";
}

TEST_F(PushPullsTest, APullThatWaitsForATagIsNotAnsweredByWhatHasAnother) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  const broker::BrokerClient raw(groups_[0]->port(0), "JAVA");
  std::atomic<bool> answered = false;
  std::vector<std::string> bodies;
  int64_t next_offset = -1;
  std::thread waiting = StartThread("waiting", [&] {
    grpc::ClientContext context;
    raw.Fill(&context, 30'000);
    v2::PullMessageRequest request;
    request.mutable_group()->set_name("workers");
    request.mutable_message_queue()->mutable_topic()->set_name("orders");
    request.set_batch_size(32);
    request.mutable_filter_expression()->set_type(v2::TAG);
    request.mutable_filter_expression()->set_expression("wanted");
    request.mutable_long_polling_timeout()->set_seconds(20);
    auto reader = raw.messaging()->PullMessage(&context, request);
    v2::PullMessageResponse response;
    while (reader->Read(&response)) {
      answered = true;
      if (response.has_message()) bodies.push_back(response.message().body());
      if (response.has_next_offset()) next_offset = response.next_offset();
    }
    EXPECT_TRUE(reader->Finish().ok());
  });
  // Another group gets all of them: their arrival was told.
  auto other = RunConcurrently("other");
  auto producer = StartProducer();
  for (int i = 0; i < 50; ++i) {
    Message message = Make("orders", StrCat(i));
    message.tag = "unwanted";
    ASSERT_TRUE(producer->Send(message).ok());
    WaitUntil([&] { return seen_.distinct() == static_cast<size_t>(i) + 1; });
  }
  EXPECT_FALSE(answered) << "by a message with another tag";
  Message message = Make("orders", "at last");
  message.tag = "wanted";
  ASSERT_TRUE(producer->Send(message).ok());
  waiting.join();
  EXPECT_THAT(bodies, testing::ElementsAre("at last"));
  EXPECT_EQ(next_offset, 51) << "what has another tag is behind it";
}

// A listener that takes nothing but what waits for a gate.
class ThresholdTest : public PushPullsTest {
 protected:
  static constexpr int kMessages = 60;

  void SetUp() override {
    PushPullsTest::SetUp();
    StartGroups(1, 1);
    CreateTopic("orders", 2);
  }
  // Each call holds a thread until Open, but for those of `free`.
  std::unique_ptr<PushConsumer> Start(PushConsumerOptions options,
                                      std::function<bool(const ReceivedMessage&)> free) {
    options.consumeThreadNumber = kMessages + 2;
    options.pullBatchSize = 1;  // so that the bounds are exact
    options.concurrently = [this, free = std::move(free)](const auto& messages, auto&) {
      const ReceivedMessage& m = messages[0];
      if (m.queue == QueueId(0)) {
        ++begun_;
        if (!free(m)) gate_.WaitForNotification();
      }
      seen_.Add("a", messages);
      return ConsumeConcurrentlyStatus::kConsumeSuccess;
    };
    auto consumer = Run(std::move(options));
    AwaitShares({consumer.get()}, {2});
    return consumer;
  }
  void Send(int queue, const std::string& body) {
    auto sent = producer_->SendToQueue(Make("orders", body),
                                       {"orders", groups_[0]->name(), QueueId(queue)});
    ASSERT_TRUE(sent.ok()) << sent.status();
  }
  // Of all that is sent to queue 0 the listener gets so many, until the gate is opened.
  void ExpectStopsAfter(int count, size_t bytes) {
    producer_ = StartProducer();
    for (int i = 0; i < kMessages; ++i) {
      std::string body = StrCat(i, " ");
      body.resize(std::max(bytes, body.size()), static_cast<char>('a' + i % 26));
      Send(0, body);
    }
    WaitUntil([&] { return begun_ == count; });
    // The other queue is pulled on all the time.
    const size_t before = seen_.distinct();
    for (int i = 0; i < 20; ++i) {
      Send(1, StrCat("other", i));
      WaitUntil([&] { return seen_.distinct() == before + i + 1; });
    }
    EXPECT_EQ(begun_, count);
    gate_.Notify();
    WaitUntil([&] { return seen_.distinct() == kMessages + 20; });
    EXPECT_THAT(seen_.Twice(), IsEmpty());
    EXPECT_EQ(begun_, kMessages);
  }
  static bool Nothing(const ReceivedMessage&) { return false; }

  std::unique_ptr<Producer> producer_;
  std::atomic<int> begun_ = 0;
  absl::Notification gate_;
};

TEST_F(ThresholdTest, ByCount) {
  PushConsumerOptions options = Options();
  ASSERT_EQ(options.pullThresholdForQueue, 1'000);
  options.pullThresholdForQueue = 10;
  auto a = Start(std::move(options), Nothing);
  ExpectStopsAfter(10, 0);
}

TEST_F(ThresholdTest, BySize) {
  PushConsumerOptions options = Options();
  ASSERT_EQ(options.pullThresholdSizeForQueue, 100 << 20);
  options.pullThresholdSizeForQueue = 100'000;
  auto a = Start(std::move(options), Nothing);
  ExpectStopsAfter(10, 10'000);
}

TEST_F(ThresholdTest, BySpan) {
  PushConsumerOptions options = Options();
  ASSERT_EQ(options.consumeConcurrentlyMaxSpan, 2'000);
  options.consumeConcurrentlyMaxSpan = 20;
  auto a = Start(std::move(options), [](const ReceivedMessage& m) { return m.offset.value() > 0; });
  ExpectStopsAfter(21, 0);
}

}  // namespace
}  // namespace raftmq::client
