// Requests and replies by our client, while consumers, members and leaders come and go.
#include <atomic>
#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "base/thread.h"
#include "client/push_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::HasSubstr;

class RequestReplyTest : public ClientTest {
 protected:
  void Start(int groups, int members) {
    StartNameServers(1);
    StartGroups(groups, members);
    CreateTopic("questions", 2);
  }

  // Answers every question with "re: " and it, but those that it is told to ignore.
  std::unique_ptr<PushConsumer> StartReplier() {
    if (replies_ == nullptr) replies_ = StartProducer();
    PushConsumerOptions options;
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "repliers";
    options.subscription = {{"questions", "*"}};
    options.lockLeaseMillis = 3'000;
    options.concurrently = [this](const auto& messages, auto&) {
      for (const ReceivedMessage& m : messages) {
        ++asked_;
        if (m.body == "ignored") continue;
        auto reply = CreateReplyMessage(m, StrCat("re: ", m.body));
        EXPECT_TRUE(reply.ok()) << reply.status();
        if (!reply.ok()) continue;
        reply->properties = {{"answered by", "replier"}};
        const absl::Status sent = replies_->SendReply(*reply);
        if (!sent.ok()) LOG(INFO) << sent;
      }
      return ConsumeConcurrentlyStatus::kConsumeSuccess;
    };
    auto consumer = PushConsumer::Start(std::move(options));
    CHECK(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  std::atomic<int> asked_{0};
  std::unique_ptr<Producer> replies_;
};

TEST_F(RequestReplyTest, ARequestGetsItsOwnReply) {
  Start(1, 1);
  auto replier = StartReplier();
  auto requester = StartProducer();
  auto reply = requester->Request(Make("questions", "one"), 20'000);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "re: one");
  EXPECT_EQ(reply->topic, "questions");
  EXPECT_EQ(reply->properties["answered by"], "replier");
  // Several requesters with many requests at once.
  auto other = StartProducer();
  constexpr int kRequests = 100;
  absl::BlockingCounter all(2 * kRequests);
  for (int i = 0; i < kRequests; ++i) {
    for (Producer* producer : {requester.get(), other.get()}) {
      producer->RequestAsync(Make("questions", StrCat(i)), 20'000, [&, i](auto answer) {
        EXPECT_TRUE(answer.ok()) << answer.status();
        if (answer.ok()) EXPECT_EQ(answer->body, StrCat("re: ", i));
        all.DecrementCount();
      });
    }
  }
  all.Wait();
  EXPECT_EQ(asked_, 1 + 2 * kRequests);
}

TEST_F(RequestReplyTest, RequestsToSeveralBrokerGroupsFindTheirWayBack) {
  Start(2, 1);
  auto replier = StartReplier();
  auto requester = StartProducer();
  for (int i = 0; i < 8; ++i) {  // two to each queue
    auto reply = requester->Request(Make("questions", StrCat(i)), 20'000);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->body, StrCat("re: ", i));
  }
}

TEST_F(RequestReplyTest, ARequestThatNobodyAnswersEndsInItsTimeWithWhatToDo) {
  Start(1, 1);
  auto requester = StartProducer();
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  const absl::Status status = requester->Request(Make("questions", "ignored"), 500).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no reply came within 500 ms"));
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 3'000);
  EXPECT_EQ(requester->Request(Make("nowhere", "x"), 500).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(requester->Request(Make("questions", "x"), 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  ProducerOptions options;
  options.maxRequestsUnderWay = 1;
  auto small = StartProducer(options);
  absl::Notification first;
  small->RequestAsync(Make("questions", "ignored"), 1'000, [&](auto) { first.Notify(); });
  const absl::Status refused = small->Request(Make("questions", "ignored"), 500).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("maxRequestsUnderWay"));
  first.WaitForNotification();
}

TEST_F(RequestReplyTest, AProducerThatIsClosedEndsItsRequests) {
  Start(1, 1);
  auto requester = StartProducer();
  absl::Notification over;
  absl::Status status;
  requester->RequestAsync(Make("questions", "ignored"), 60'000, [&](auto reply) {
    status = reply.status();
    over.Notify();
  });
  requester.reset();
  ASSERT_TRUE(over.HasBeenNotified());
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
}

TEST_F(RequestReplyTest, AReplyToNobodySaysSo) {
  Start(1, 1);
  auto producer = StartProducer();
  ReceivedMessage plain;
  plain.topic = "questions";
  EXPECT_EQ(CreateReplyMessage(plain, "x").status().code(), absl::StatusCode::kInvalidArgument);
  ReplyMessage reply;
  reply.topic = "questions";
  reply.broker_name = "broker-a";
  reply.correlation_id = "c";
  reply.reply_to_client = "gone";
  const absl::Status status = producer->SendReply(reply);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("client gone waits for no reply"));
  reply.body = std::string((4 << 20) + 1, 'x');
  EXPECT_EQ(producer->SendReply(reply).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RequestReplyTest, EveryRequestEndsWhileTheLeaderDiesAndLaterOnesAreAnswered) {
  Start(1, 3);
  auto replier = StartReplier();
  auto requester = StartProducer();
  ASSERT_TRUE(requester->Request(Make("questions", "before"), 20'000).ok());
  const int leader = LeaderOf(*groups_[0]);
  std::thread stopper = StartThread("stopper", [&] { groups_[0]->Stop(leader); });
  constexpr int kRequests = 40;
  std::atomic<int> answered{0};
  std::atomic<int> timed_out{0};
  absl::BlockingCounter all(kRequests);
  for (int i = 0; i < kRequests; ++i) {
    requester->RequestAsync(Make("questions", StrCat(i)), 15'000, [&](auto reply) {
      if (reply.ok()) {
        ++answered;
      } else {
        timed_out += absl::IsDeadlineExceeded(reply.status());
      }
      all.DecrementCount();
    });
  }
  stopper.join();
  all.Wait();
  EXPECT_EQ(answered + timed_out, kRequests) << answered << " answered, " << timed_out
                                             << " timed out";
  auto after = requester->Request(Make("questions", "after"), 20'000);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->body, "re: after");
}

}  // namespace
}  // namespace raftmq::client
