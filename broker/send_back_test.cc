// SendMessageBack, the classic model's retries and dead letters, against real brokers, over real
// connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/strings.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"
#include "raftmq/v1/consumers.grpc.pb.h"

namespace raftmq::broker {
namespace {

namespace v1 = ::raftmq::v1;

constexpr char kGroup[] = "billing";
constexpr char kRetry[] = "%RETRY%billing";
constexpr char kDlq[] = "%DLQ%billing";
// Longer than any test.
constexpr int32_t kLongLevel = 4;
constexpr int64_t kLongMs = 7'200'000;

std::string Folder() {
  return StrCat(testing::TempDir(), "/send-back-",
                testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
}

// Level 3 is over soon, so that its message can be read again; none of the others is.
void WithLongDelays(BrokerConfig* config) { config->messageDelayLevel = "1h 1h 1s 2h 3h"; }

class Consumer {
 public:
  explicit Consumer(int port)
      : client_(port, "CPP"),
        stub_(v1::Consumers::NewStub(
            grpc::CreateChannel(StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()))) {}

  const BrokerClient& client() const { return client_; }

  struct Asked {
    std::optional<int32_t> max_retries;
    int32_t level = 0;
  };
  // Whether it was dead-lettered.
  bool SendBack(const std::string& topic, int64_t offset) {
    return SendBack(topic, offset, Asked());
  }
  bool SendBack(const std::string& topic, int64_t offset, Asked asked) {
    v1::SendMessageBackRequest request;
    request.set_group(kGroup);
    request.set_topic(topic);
    request.set_offset(offset);
    request.set_delay_level(asked.level);
    if (asked.max_retries.has_value()) request.set_max_retries(*asked.max_retries);
    v1::SendMessageBackResponse response;
    const grpc::Status status = Try(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.dead_lettered();
  }
  grpc::Status Try(const v1::SendMessageBackRequest& request,
                   v1::SendMessageBackResponse* response) {
    grpc::ClientContext context;
    client_.Fill(&context);
    return stub_->SendMessageBack(&context, request, response);
  }

  // Returns when they can be read.
  void Send(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
      const auto sent = client_.Send(BrokerClient::MakeMessage("orders", id, id));
      EXPECT_EQ(sent.status().code(), v2::OK) << sent.status().message();
    }
    EXPECT_EQ(AwaitStored("orders", ids.size()).size(), ids.size());
  }

  // All that is in queue 0.
  std::vector<adm::StoredMessage> Stored(const std::string& topic) {
    grpc::ClientContext context;
    client_.Fill(&context);
    adm::MessageByOffsetRequest request;
    request.set_topic(topic);
    request.set_max_messages(32);
    adm::QueryMessagesResponse response;
    client_.admin()->MessageByOffset(&context, request, &response);
    return {response.messages().begin(), response.messages().end()};
  }

  // Once there are that many, or after a while.
  std::vector<adm::StoredMessage> AwaitStored(const std::string& topic, size_t count) {
    return Await(count, [&] { return Stored(topic); });
  }

  // The delayed messages that are not delivered yet.
  std::vector<adm::StoredMessage> AwaitDelayed(size_t count) {
    return Await(count, [&] {
      std::vector<adm::StoredMessage> delayed;
      std::istringstream lines(client_.DumpState());
      for (std::string line; std::getline(lines, line);) {
        const size_t at = line.find(" position=");
        if (line.starts_with("timer ") && at != std::string::npos) {
          delayed.push_back(At(std::stoll(line.substr(at + 10))));
        }
      }
      return delayed;
    });
  }

 private:
  template <typename Look>
  static std::vector<adm::StoredMessage> Await(size_t count, Look look) {
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 20'000;
    std::vector<adm::StoredMessage> found;
    do {
      found = look();
    } while (found.size() < count && SystemClock()->MonotonicMillis() < give_up_ms);
    return found;
  }

  adm::StoredMessage At(int64_t position) {
    grpc::ClientContext context;
    client_.Fill(&context);
    adm::MessageByPositionRequest request;
    request.set_position(position);
    adm::QueryMessagesResponse response;
    client_.admin()->MessageByPosition(&context, request, &response);
    return response.messages_size() == 1 ? response.messages(0) : adm::StoredMessage();
  }

  BrokerClient client_;
  std::unique_ptr<v1::Consumers::Stub> stub_;
};

std::vector<std::string> IdsOf(const std::vector<adm::StoredMessage>& messages) {
  std::vector<std::string> ids;
  for (const adm::StoredMessage& message : messages) ids.push_back(message.message_id());
  return ids;
}

class SendBackTest : public testing::Test {
 protected:
  void SetUp() override {
    group_.StartAll();
    consumer_ = std::make_unique<Consumer>(group_.port(0));
    ASSERT_TRUE(client().UpdateTopic("orders", 1).ok());
    ASSERT_TRUE(UpdateGroup().ok());
  }
  grpc::Status UpdateGroup(int32_t retries = 16) {
    grpc::ClientContext context;
    client().Fill(&context);
    adm::UpdateGroupRequest request;
    request.set_name(kGroup);
    request.set_retry_max_times(retries);
    adm::UpdateGroupResponse response;
    return client().admin()->UpdateGroup(&context, request, &response);
  }
  const BrokerClient& client() const { return consumer_->client(); }

  BrokerGroup group_{{.folder = Folder(), .members = 1, .configure = WithLongDelays}};
  std::unique_ptr<Consumer> consumer_;
};

TEST_F(SendBackTest, ARepeatedRequestLeavesOneCopy) {
  consumer_->Send({"A1", "A2"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  EXPECT_FALSE(consumer_->SendBack("orders", 1, {.level = kLongLevel}));
  EXPECT_THAT(IdsOf(consumer_->AwaitDelayed(2)), testing::UnorderedElementsAre("A1", "A2"));
}

TEST_F(SendBackTest, ARepeatedRequestLeavesOneDeadLetter) {
  consumer_->Send({"A1", "A2"});
  EXPECT_TRUE(consumer_->SendBack("orders", 0, {.max_retries = 0}));
  EXPECT_TRUE(consumer_->SendBack("orders", 0, {.max_retries = 0}));
  EXPECT_TRUE(consumer_->SendBack("orders", 1, {.max_retries = 0}));
  EXPECT_THAT(IdsOf(consumer_->AwaitStored(kDlq, 2)), testing::ElementsAre("A1", "A2"));
}

TEST_F(SendBackTest, EachAttemptThatFailsIsACopyOfItsOwn) {
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0));
  ASSERT_EQ(IdsOf(consumer_->AwaitStored(kRetry, 1)), std::vector<std::string>{"A1"});
  EXPECT_FALSE(consumer_->SendBack(kRetry, 0));
  const std::vector<adm::StoredMessage> second = consumer_->AwaitDelayed(1);
  ASSERT_EQ(second.size(), 1);
  EXPECT_EQ(second[0].message_id(), "A1");
  EXPECT_EQ(second[0].properties().at("RECONSUME_TIME"), "2");
  EXPECT_EQ(second[0].properties().at("RETRY_TOPIC"), "orders");
}

// They would else be lost on a group that goes back soon after it failed.
TEST_F(SendBackTest, WhatIsReadOnceMoreByAnOperatorsWishIsACopyOfItsOwn) {
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  adm::MoveOffsetsRequest request;
  request.set_group(kGroup);
  request.set_topic("orders");
  request.set_begin(true);
  grpc::ClientContext context;
  client().Fill(&context);
  adm::MoveOffsetsResponse response;
  const grpc::Status moved = client().admin()->MoveOffsets(&context, request, &response);
  ASSERT_TRUE(moved.ok()) << moved.error_message();
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  EXPECT_EQ(IdsOf(consumer_->AwaitDelayed(2)), (std::vector<std::string>{"A1", "A1"}));
}

class GroupOfThreeTest : public testing::Test {
 protected:
  void SetUp() override { group_.StartAll(); }

  BrokerGroup group_{{.folder = Folder(), .configure = WithLongDelays}};
};

// The first answer is taken for lost: the consumer asks the members that are left.
TEST_F(GroupOfThreeTest, ARequestThatIsRepeatedAtTheNextLeaderLeavesOneCopy) {
  int leader = 0;
  {
    const BrokerClient client(group_.port(0), "CPP");
    ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
    leader = static_cast<int>(client.MemberStatus().leader_id()) - 1;
    Consumer consumer(group_.port(leader));
    consumer.Send({"A1", "A2"});
    EXPECT_FALSE(consumer.SendBack("orders", 0, {.level = kLongLevel}));
    EXPECT_TRUE(consumer.SendBack("orders", 1, {.max_retries = 0}));
  }
  group_.Stop(leader);
  Consumer others[] = {Consumer(group_.port((leader + 1) % 3)),
                       Consumer(group_.port((leader + 2) % 3))};
  const auto repeat = [&](int64_t offset, int32_t max_retries) {
    v1::SendMessageBackRequest request;
    request.set_group(kGroup);
    request.set_topic("orders");
    request.set_offset(offset);
    request.set_delay_level(kLongLevel);
    request.set_max_retries(max_retries);
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 30'000;
    for (int i = 0;; ++i) {
      v1::SendMessageBackResponse response;
      const grpc::Status status = others[i % 2].Try(request, &response);
      if (status.ok()) return;
      ASSERT_LT(SystemClock()->MonotonicMillis(), give_up_ms) << status.error_message();
    }
  };
  repeat(0, 16);
  repeat(1, 0);
  // What is stored once more would be behind these.
  repeat(1, 16);
  repeat(0, 0);
  EXPECT_THAT(IdsOf(others[0].AwaitDelayed(2)), testing::UnorderedElementsAre("A1", "A2"));
  EXPECT_THAT(IdsOf(others[0].AwaitStored(kDlq, 2)), testing::ElementsAre("A2", "A1"));
}

}  // namespace
}  // namespace raftmq::broker
