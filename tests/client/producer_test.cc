// The producer against real brokers: what each way of sending promises.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <set>

#include "absl/synchronization/blocking_counter.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ProducerTest : public ClientTest {
 protected:
  void SetUp() override { StartNameServers(1); }
};

// Takes connections and says nothing.
class SilentListener {
 public:
  explicit SilentListener(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int one = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
  }
  ~SilentListener() { ::close(fd_); }

 private:
  const int fd_;
};

TEST_F(ProducerTest, ASyncSendSaysWhereTheMessageIs) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  Message message = Make("orders", "hi");
  message.tag = "A";
  message.keys = {"k1", "k2"};
  message.properties = {{"colour", "red"}};
  auto receipt = producer->Send(message);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(receipt->message_id.size(), 34u);
  EXPECT_EQ(receipt->message_id.substr(0, 2), "01");
  EXPECT_EQ(receipt->broker_name, "broker-a");
  EXPECT_EQ(receipt->offset, QueueOffset(0));
  EXPECT_EQ(receipt->attempts, 1);
  auto received = StartConsumer("orders")->Receive(32);
  ASSERT_TRUE(received.ok()) << received.status();
  ASSERT_EQ(received->size(), 1u);
  const ReceivedMessage& got = (*received)[0];
  EXPECT_EQ(got.message_id, receipt->message_id);
  EXPECT_EQ(got.queue, receipt->queue);
  EXPECT_EQ(got.tag, "A");
  EXPECT_THAT(got.keys, ElementsAre("k1", "k2"));
  EXPECT_THAT(got.properties, ElementsAre(Pair("colour", "red")));
}

TEST_F(ProducerTest, FourHundredSendsToFourQueuesAreAHundredEach) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  std::map<QueueId, int> counts;
  for (int i = 0; i < 400; ++i) {
    auto receipt = producer->Send(Make("orders", "x"));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    ++counts[*receipt->queue];
  }
  EXPECT_THAT(counts, AllOf(SizeIs(4), Each(Pair(testing::_, 100))));
}

TEST_F(ProducerTest, SendsSpreadOverTheQueuesOfTwoBrokerGroups) {
  StartGroups(2, 1);
  CreateTopic("orders", 2);
  auto producer = StartProducer();
  std::map<std::string, int> counts;
  for (int i = 0; i < 40; ++i) {
    auto receipt = producer->Send(Make("orders", "x"));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    ++counts[StrCat(receipt->broker_name, "/", *receipt->queue)];
  }
  EXPECT_THAT(counts, AllOf(SizeIs(4), Each(Pair(testing::_, 10))));
}

TEST_F(ProducerTest, ABatchGoesToOneQueueInOrder) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  auto receipts =
      producer->SendBatch({Make("orders", "0"), Make("orders", "1"), Make("orders", "2")});
  ASSERT_TRUE(receipts.ok()) << receipts.status();
  ASSERT_EQ(receipts->size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ((*receipts)[i].queue, (*receipts)[0].queue);
    EXPECT_EQ((*receipts)[i].offset, QueueOffset(i));
  }
  EXPECT_THAT(ReceiveBodies(StartConsumer("orders").get(), 3), ElementsAre("0", "1", "2"));
}

TEST_F(ProducerTest, UserCodePicksTheQueue) {
  StartGroups(2, 1);
  CreateTopic("orders", 3);
  auto producer = StartProducer();
  std::map<int, std::set<std::string>> places;  // by order
  for (int i = 0; i < 24; ++i) {
    const int order = i % 4;
    auto receipt =
        producer->Send(Make("orders", "x"), [&](const std::vector<MessageQueue>& queues,
                                                const Message&) { return order % queues.size(); });
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    places[order].insert(StrCat(receipt->broker_name, "/", *receipt->queue));
  }
  EXPECT_THAT(places, Each(Pair(testing::_, SizeIs(1)))) << "an order always hits the same queue";
  EXPECT_THAT(places[3], ElementsAre("broker-b/0"));
  // The broker did as it was told, not only the receipt says so.
  CreateTopic("one", 8);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(producer->SendToQueue(Make("one", "x"), {"one", "broker-a", QueueId(5)}).ok());
  }
  auto consumer = StartConsumer("one");
  size_t came = 0;
  WaitUntil([&] {
    auto received = consumer->Receive(32);
    if (!received.ok()) return false;
    for (const ReceivedMessage& m : *received) EXPECT_EQ(m.queue, QueueId(5));
    came += received->size();
    return came >= 10;
  });
  EXPECT_EQ(came, 10u);
  auto nowhere = producer->SendToQueue(Make("orders", "x"), {"orders", "broker-a", QueueId(7)});
  EXPECT_EQ(nowhere.status().code(), absl::StatusCode::kNotFound) << nowhere.status();
  EXPECT_THAT(std::string(nowhere.status().message()), HasSubstr("write queues 0 to 2"));
}

TEST_F(ProducerTest, TheReceiptSaysWhichAckLevelWasReached) {
  StartGroups(1, 3);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  auto by_default = producer->Send(Make("orders", "x"));
  ASSERT_TRUE(by_default.ok()) << by_default.status();
  EXPECT_EQ(by_default->ack_level, AckLevel::kQuorumFsync);
  for (const AckLevel level : {AckLevel::kLeader, AckLevel::kQuorumFsync, AckLevel::kAll}) {
    Message message = Make("orders", "x");
    message.ack_level = level;
    auto receipt = producer->Send(message);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->ack_level, level);
  }
  std::vector<Message> mixed = {Make("orders", "x"), Make("orders", "y")};
  mixed[1].ack_level = AckLevel::kAll;
  EXPECT_EQ(producer->SendBatch(mixed).status().code(), absl::StatusCode::kInvalidArgument);
  // A message that wants every disk is refused at once while a member is away.
  groups_[0]->Stop(0);
  Message message = Make("orders", "x");
  message.ack_level = AckLevel::kAll;
  absl::Status refused = producer->Send(message).status();
  for (int i = 0; i < 10 && refused.code() != absl::StatusCode::kFailedPrecondition; ++i) {
    refused = producer->Send(message).status();  // the leader may have gone
  }
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("n0 is not connected"));
}

TEST_F(ProducerTest, AMessageGroupKeepsItsOrderInOneQueue) {
  StartGroups(2, 1);
  CreateTopic("steps", 4, ::raftmq::v1::FIFO);
  auto producer = StartProducer();
  std::set<std::string> brokers;
  for (int i = 0; i < 6; ++i) {
    Message message = Make("steps", StrCat(i));
    message.message_group = "order-7";
    auto receipt = producer->Send(message);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    brokers.insert(receipt->broker_name);
    EXPECT_EQ(receipt->offset, QueueOffset(i)) << "all in one queue";
  }
  EXPECT_THAT(brokers, SizeIs(1));
}

TEST_F(ProducerTest, AsyncCallbacksAreCalledExactlyOnce) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  constexpr int kSends = 200;
  std::vector<std::atomic<int>> called(kSends);
  std::atomic<int> succeeded{0};
  absl::BlockingCounter all(kSends);
  for (int i = 0; i < kSends; ++i) {
    producer->SendAsync({Make(i % 10 == 0 ? "nowhere" : "orders", "x")}, [&, i](auto receipts) {
      ++called[i];
      succeeded += receipts.ok();
      EXPECT_EQ(receipts.ok(), i % 10 != 0) << receipts.status();
      all.DecrementCount();
    });
  }
  all.Wait();
  producer.reset();
  EXPECT_EQ(succeeded, kSends - kSends / 10);
  for (const auto& times : called) EXPECT_EQ(times, 1);
}

TEST_F(ProducerTest, AsyncSendsBeyondTheBoundAreRefusedOrWait) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  for (const bool wait : {false, true}) {
    ProducerOptions options;
    options.backPressureForAsyncSendNum = 4;
    options.enableBackpressureForAsyncMode = wait;
    auto producer = StartProducer(options);
    constexpr int kSends = 100;
    std::atomic<int> refused{0};
    absl::BlockingCounter all(kSends);
    for (int i = 0; i < kSends; ++i) {
      producer->SendAsync({Make("orders", "x")}, [&](auto receipts) {
        if (!receipts.ok()) {
          EXPECT_EQ(receipts.status().code(), absl::StatusCode::kResourceExhausted);
          EXPECT_THAT(std::string(receipts.status().message()),
                      HasSubstr("backPressureForAsyncSendNum"));
          ++refused;
        }
        all.DecrementCount();
      });
    }
    all.Wait();
    if (wait) {
      EXPECT_EQ(refused, 0);
    } else {
      EXPECT_GT(refused, 0);
      EXPECT_LT(refused, kSends);
    }
  }
}

TEST_F(ProducerTest, AsyncSendsAreBoundedByBytesToo) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  ProducerOptions options;
  options.backPressureForAsyncSendSize = 1'000'000;
  auto producer = StartProducer(options);
  std::atomic<int> refused{0};
  absl::BlockingCounter all(10);
  for (int i = 0; i < 10; ++i) {
    producer->SendAsync({Make("orders", std::string(600'000, 'x'))}, [&](auto receipts) {
      refused += absl::IsResourceExhausted(receipts.status());
      all.DecrementCount();
    });
  }
  all.Wait();
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 10);
}

TEST_F(ProducerTest, OneWaySendsArriveAndSayNothing) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(producer->SendOneway(Make("orders", StrCat(i))).ok());
  }
  // Of what fails at the broker nothing is heard; what cannot be sent at all is refused here.
  EXPECT_TRUE(producer->SendOneway(Make("nowhere", "x")).ok());
  EXPECT_EQ(producer->SendOneway(Make("", "x")).code(), absl::StatusCode::kInvalidArgument);
  producer.reset();  // waits for them
  EXPECT_THAT(ReceiveBodies(StartConsumer("orders").get(), 20), SizeIs(20));
}

TEST_F(ProducerTest, SendsThatNobodyWaitsForGoToTheQueueThatWasChosen) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  const MessageQueue third{"orders", "broker-a", QueueId(2)};
  const auto last = [](const std::vector<MessageQueue>& queues, const Message&) {
    return queues.size() - 1;
  };
  std::atomic<int> answered{0};
  const auto stored_in = [&](QueueId queue) {
    return [&answered, queue](absl::StatusOr<std::vector<SendReceipt>> receipts) {
      EXPECT_TRUE(receipts.ok()) << receipts.status();
      if (receipts.ok()) EXPECT_EQ((*receipts)[0].queue, queue);
      ++answered;
    };
  };
  for (int i = 0; i < 5; ++i) {
    producer->SendToQueueAsync(Make("orders", "to the third"), third, stored_in(QueueId(2)));
    producer->SendAsync(Make("orders", "to the last"), last, stored_in(QueueId(3)));
  }
  WaitUntil([&] { return answered == 10; });
  ASSERT_TRUE(producer->SendToQueueOneway(Make("orders", "quietly, to the third"), third).ok());
  ASSERT_TRUE(producer->SendOneway(Make("orders", "quietly, to the last"), last).ok());
  std::map<std::string, std::set<int32_t>> queues;
  auto consumer = StartConsumer("orders");
  for (int got = 0; got < 12;) {
    auto received = consumer->Receive(32);
    ASSERT_TRUE(received.ok()) << received.status();
    for (const ReceivedMessage& m : *received) queues[m.body].insert(m.queue.value());
    got += static_cast<int>(received->size());
  }
  EXPECT_THAT(queues, UnorderedElementsAre(Pair("to the third", ElementsAre(2)),
                                           Pair("to the last", ElementsAre(3)),
                                           Pair("quietly, to the third", ElementsAre(2)),
                                           Pair("quietly, to the last", ElementsAre(3))));
}

TEST_F(ProducerTest, AnAsynchronousSendToAQueueThatCannotBeSaysSoOnce) {
  StartGroups(1, 1);
  CreateTopic("orders", 2);
  auto producer = StartProducer();
  std::vector<absl::StatusCode> codes;
  absl::Mutex mu;
  const auto note = [&](absl::StatusOr<std::vector<SendReceipt>> receipts) {
    absl::MutexLock lock(&mu);
    codes.push_back(receipts.status().code());
  };
  const auto count = [&] {
    absl::MutexLock lock(&mu);
    return codes.size();
  };
  producer->SendToQueueAsync(Make("orders", "x"), {"other", "broker-a", QueueId(0)}, note);
  EXPECT_EQ(count(), 1u) << "refused at once";
  const auto none = [](const auto&, const auto&) { return size_t{7}; };
  producer->SendAsync(Make("orders", "x"), none, note);
  WaitUntil([&] { return count() == 2; });
  producer->SendAsync(Make("nowhere", "x"), none, note);
  WaitUntil([&] { return count() == 3; });
  EXPECT_THAT(codes, ElementsAre(absl::StatusCode::kInvalidArgument,
                                 absl::StatusCode::kInvalidArgument, absl::StatusCode::kNotFound));
  EXPECT_EQ(
      producer->SendToQueueOneway(Make("orders", "x"), {"other", "broker-a", QueueId(0)}).code(),
      absl::StatusCode::kInvalidArgument);
  // What failed gave its room back.
  EXPECT_TRUE(producer->Send(Make("orders", "y")).ok());
}

TEST_F(ProducerTest, OneWaySendsAreNotRetriedAndTheirNumberIsBounded) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  ProducerOptions options;
  options.clientOnewaySemaphoreValue = 3;
  options.sendMsgTimeout = 1'000;
  auto producer = StartProducer(options);
  ASSERT_TRUE(producer->Send(Make("orders", "first")).ok());  // the route is known now
  const int port = groups_[0]->port(0);
  groups_[0]->Stop(0);
  auto silent = std::make_unique<SilentListener>(port);
  // Each has one try, at a broker that never answers.
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  int refused = 0;
  for (int i = 0; i < 200 && refused == 0; ++i) {
    const absl::Status status = producer->SendOneway(Make("orders", "lost"));
    if (status.ok()) continue;
    ++refused;
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()), HasSubstr("clientOnewaySemaphoreValue"));
  }
  EXPECT_EQ(refused, 1);
  producer.reset();
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 5'000);
  silent.reset();
  groups_[0]->Start(0);
  auto again = StartProducer();
  WaitUntil([&] { return again->Send(Make("orders", "last")).ok(); });
  EXPECT_THAT(ReceiveBodies(StartConsumer("orders").get(), 2),
              UnorderedElementsAre("first", "last"));
}

TEST_F(ProducerTest, EveryRefusalSaysWhatToDo) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  auto refusal = [&](Message message) {
    const absl::Status status = producer->Send(std::move(message)).status();
    return StrCat(absl::StatusCodeToString(status.code()), " ", std::string(status.message()));
  };
  EXPECT_THAT(refusal(Make("nowhere", "x")),
              AllOf(HasSubstr("NOT_FOUND"), HasSubstr("mqadmin updateTopic -t nowhere")));
  EXPECT_THAT(refusal(Make("orders", "")), HasSubstr("INVALID_ARGUMENT"));
  EXPECT_THAT(refusal(Make("orders", std::string((4 << 20) + 1, 'x'))),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("maxMessageSize")));
  EXPECT_THAT(refusal(Make("", "x")), HasSubstr("without a topic"));
  EXPECT_EQ(producer->SendBatch({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(producer->SendBatch({Make("orders", "x"), Make("other", "x")}).status().code(),
            absl::StatusCode::kInvalidArgument);
  Message fifo = Make("orders", "x");
  fifo.message_group = "g";
  EXPECT_THAT(refusal(fifo), HasSubstr("MESSAGE_PROPERTY_CONFLICT_WITH_TYPE"));

  ProducerOptions bad;
  bad.namesrvAddr = "127.0.0.1:x";
  EXPECT_EQ(Producer::Start(bad).status().code(), absl::StatusCode::kInvalidArgument);
  bad.namesrvAddr = "127.0.0.1:1";
  bad.sendMsgTimeout = 0;
  EXPECT_THAT(std::string(Producer::Start(bad).status().message()), HasSubstr("sendMsgTimeout"));
  bad.sendMsgTimeout = 100;
  bad.compressLevel = 10;
  EXPECT_THAT(std::string(Producer::Start(bad).status().message()), HasSubstr("compressLevel 10"));
  bad.compressLevel = 9;
  bad.topics = {"payments"};
  EXPECT_THAT(std::string(Producer::Start(bad).status().message()),
              HasSubstr("no transactionListener"));
}

TEST_F(ProducerTest, ASendWithoutAnyNameServerEndsWithinItsTimeout) {
  ProducerOptions options;
  options.namesrvAddr = "127.0.0.1:1";
  options.sendMsgTimeout = 1'000;
  auto producer = Producer::Start(options);
  ASSERT_TRUE(producer.ok());
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  const absl::Status status = (*producer)->Send(Make("orders", "x")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 2'000);
}

TEST_F(ProducerTest, HeartbeatsKeepTheClientKnownAndTheGoodbyeEndsThat) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  ProducerOptions options;
  options.heartbeatBrokerInterval = 20;
  auto producer = StartProducer(options);
  ASSERT_TRUE(producer->Send(Make("orders", "x")).ok());
  const broker::BrokerClient admin(groups_[0]->port(0), "JAVA");
  const auto producers = [&] {
    grpc::ClientContext context;
    admin.Fill(&context);
    ::raftmq::v1::ListClientsResponse response;
    EXPECT_TRUE(admin.admin()->ListClients(&context, {}, &response).ok());
    int count = 0;
    for (const auto& client : response.clients()) count += client.client_type() == "PRODUCER";
    return count;
  };
  WaitUntil([&] { return producers() == 1; });
  producer.reset();
  EXPECT_EQ(producers(), 0);
}

// No NameServer: nothing but producers' channels would keep gRPC's callback queue then, and closing
// the last must not end it (base/grpc_callback_queue.h).
class LoneProducerTest : public ClientTest {};

TEST_F(LoneProducerTest, ManyComeAndGoOneAfterTheOther) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  ProducerOptions options;
  options.namesrvAddr = StrCat("127.0.0.1:", groups_[0]->port(0));
  for (int i = 0; i < 600; ++i) {
    auto producer = *Producer::Start(options);
    const auto receipt = producer->Send(Make("orders", "x"));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
  }
}

}  // namespace
}  // namespace raftmq::client
