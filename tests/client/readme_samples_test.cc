// The samples of client/README.md, as they stand there, against a real broker.
#include <atomic>

#include "client/pull_consumer.h"
#include "client/push_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq {
namespace {

class ReadmeSamplesTest : public client::ClientTest {
 protected:
  void SetUp() override {
    StartNameServers(1);
    StartGroups(1, 1);
    CreateTopic("orders", 2);
  }
  void SendTagged(int count, const std::string& tag) {
    auto producer = StartProducer();
    for (int i = 0; i < count; ++i) {
      client::Message message = Make("orders", StrCat(i));
      message.tag = tag;
      ASSERT_TRUE(producer->Send(message).ok());
    }
  }
};

absl::Status AuditAll(const std::string& name_server, int count) {
  int audited = 0;
  auto Audit = [&](const std::string&) { ++audited; };
  auto consumer =
      client::PullConsumer::Start({.namesrvAddr = name_server, .consumerGroup = "audit"});
  if (!consumer.ok()) return consumer.status();
  auto queues = (*consumer)->FetchSubscribeMessageQueues("orders");
  if (!queues.ok()) return queues.status();
  RAFTMQ_RETURN_IF_ERROR((*consumer)->Assign(*queues));
  for (; audited < count;) {
    for (const client::ReceivedMessage& message : (*consumer)->Poll(/*timeout_ms=*/1'000)) {
      Audit(message.body);
    }
  }
  return absl::OkStatus();
}

TEST_F(ReadmeSamplesTest, PullConsumer) {
  SendTagged(3, "paid");
  EXPECT_TRUE(AuditAll(NamesrvAddr(), 3).ok());
}

TEST_F(ReadmeSamplesTest, PushConsumerWithAnOrderlyListener) {
  std::atomic<int> shipped{0};
  auto Ship = [&](const std::vector<client::ReceivedMessage>& messages) {
    shipped += static_cast<int>(messages.size());
    return true;
  };
  client::PushConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  options.consumerGroup = "shipping";
  options.subscription = {{"orders", "paid || cancelled"}};
  options.orderly = [&](const std::vector<client::ReceivedMessage>& messages,
                        client::ConsumeOrderlyContext&) {
    return Ship(messages) ? client::ConsumeOrderlyStatus::kSuccess
                          : client::ConsumeOrderlyStatus::kSuspendCurrentQueueAMoment;
  };
  auto consumer = client::PushConsumer::Start(std::move(options));
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  SendTagged(3, "paid");
  SendTagged(3, "open");
  SendTagged(1, "cancelled");
  WaitUntil([&] { return shipped == 4; });
}

}  // namespace
}  // namespace raftmq
