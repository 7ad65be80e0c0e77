// The simple consumer against real brokers.
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class SimpleConsumerTest : public ClientTest {
 protected:
  void SetUp() override { StartNameServers(1); }
};

TEST_F(SimpleConsumerTest, AckedMessagesDoNotComeAgain) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(producer->Send(Make("orders", StrCat(i))).ok());
  auto consumer = StartConsumer("orders");
  EXPECT_THAT(ReceiveBodies(consumer.get(), 50), SizeIs(50));
  auto rest = consumer->Receive(32);
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_THAT(*rest, IsEmpty());
}

TEST_F(SimpleConsumerTest, MessagesOfAllBrokerGroupsComeWithoutWaitingForEmptyOnes) {
  StartGroups(2, 1);
  CreateTopic("orders", 2);
  auto producer = StartProducer();
  for (const char* broker : {"broker-a", "broker-b"}) {
    ASSERT_TRUE(producer->SendToQueue(Make("orders", broker), {"orders", broker, QueueId(1)}).ok());
  }
  auto consumer = StartConsumer("orders");
  EXPECT_THAT(ReceiveBodies(consumer.get(), 2), UnorderedElementsAre("broker-a", "broker-b"));
  ASSERT_TRUE(producer->SendToQueue(Make("orders", "b"), {"orders", "broker-b", QueueId(0)}).ok());
  auto one = consumer->Receive(32);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(*one, SizeIs(1)) << "one Receive asks every group";
}

TEST_F(SimpleConsumerTest, ANackedMessageComesAgainAndItsNewHandleAcksIt) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  ASSERT_TRUE(StartProducer()->Send(Make("orders", "x")).ok());
  auto consumer = StartConsumer("orders");
  auto first = consumer->Receive(1);
  ASSERT_TRUE(first.ok() && first->size() == 1) << first.status();
  const absl::Status nacked = consumer->ChangeInvisibleDuration(&(*first)[0], 0);
  ASSERT_TRUE(nacked.ok()) << nacked;
  auto second = consumer->Receive(1);
  ASSERT_TRUE(second.ok() && second->size() == 1) << second.status();
  EXPECT_EQ((*second)[0].delivery_attempt, 2);
  ASSERT_TRUE(consumer->ChangeInvisibleDuration(&(*second)[0], 60'000).ok());
  EXPECT_THAT(consumer->Ack(*second), ElementsAre(absl::OkStatus()));
}

TEST_F(SimpleConsumerTest, OnlyTheTagsThatWereAskedForCome) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  auto producer = StartProducer();
  for (const char* tag : {"A", "B", "C"}) {
    Message message = Make("orders", tag);
    message.tag = tag;
    ASSERT_TRUE(producer->Send(message).ok());
  }
  SimpleConsumerOptions options;
  options.subExpression = "A || C";
  EXPECT_THAT(ReceiveBodies(StartConsumer("orders", options).get(), 2), ElementsAre("A", "C"));
}

TEST_F(SimpleConsumerTest, RefusalsSayWhatIsWrong) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  SimpleConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  EXPECT_EQ(SimpleConsumer::Start(options).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::IsNotFound(StartConsumer("nowhere")->Receive(1).status()));
  options.invisibleDuration = 1;
  const absl::Status status = StartConsumer("orders", options)->Receive(1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("ILLEGAL_INVISIBLE_TIME"));
}

}  // namespace
}  // namespace raftmq::client
