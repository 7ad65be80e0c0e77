// Messages expire on an operator's word, against real brokers, over real connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "base/clock.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kSegment = 4 << 20;  // BrokerGroup's
constexpr int64_t kSeconds = 60'000;

class ExpiryTest : public testing::Test {
 protected:
  void SetUp() override { group_.StartAll(); }

  adm::ExpireMessagesResponse ExpireAt(int member) {
    const BrokerClient client(group_.port(member), "JAVA");
    adm::ExpireMessagesResponse response;
    const int64_t until_ms = SystemClock()->MonotonicMillis() + kSeconds;
    do {
      grpc::ClientContext context;
      client.Fill(&context, 30'000);
      const grpc::Status status =
          client.admin()->ExpireMessages(&context, adm::ExpireMessagesRequest(), &response);
      // The leader looks by itself now and then.
      if (status.error_code() == grpc::RESOURCE_EXHAUSTED) continue;
      EXPECT_TRUE(status.ok()) << status.error_message();
      if (!status.ok() || !response.more()) return response;
    } while (SystemClock()->MonotonicMillis() < until_ms);
    ADD_FAILURE() << "there is always more";
    return response;
  }

  int64_t FirstOffsetAt(int member) {
    const BrokerClient client(group_.port(member), "JAVA");
    grpc::ClientContext context;
    client.Fill(&context);
    adm::TopicStatusRequest request;
    request.set_name("orders");
    adm::TopicStatusResponse response;
    const grpc::Status status = client.admin()->TopicStatus(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.queues_size() == 0 ? -1 : response.queues(0).min_offset();
  }

  BrokerGroup group_{{.folder = StrCat(testing::TempDir(), "/expiry-", getpid()),
                      .configure = [](BrokerConfig* config) {
                        config->commitLogMaxBytes = kSegment;
                        config->sendDedupeMaxMessages = 0;  // what it needs would stay
                      }}};
};

TEST_F(ExpiryTest, WhatIsBeyondTheBytesGoesOnEveryMemberAtOnceWhoeverIsAsked) {
  const BrokerClient client(group_.port(0), "JAVA");
  ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
  const std::string body(1'000'000, 'x');  // an entry is a quarter of a segment at most
  for (int i = 0; i < 14; ++i) {
    const auto sent = client.Send(BrokerClient::MakeMessage("orders", body, StrCat("A", i)));
    ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  }
  // A voter that does not have it on its disk yet holds it up for a moment, and what was sent is
  // applied a moment after it was answered.
  adm::ExpireMessagesResponse last;
  const int64_t until_ms = SystemClock()->MonotonicMillis() + kSeconds;
  do {
    last = ExpireAt(1);
  } while ((last.held_up_by() != 0 || last.min_position() < 3 * kSegment) &&
           SystemClock()->MonotonicMillis() < until_ms);
  EXPECT_EQ(last.held_up_by(), 0);
  EXPECT_GE(last.min_position(), 2 * kSegment);
  EXPECT_EQ(last.min_position() % kSegment, 0);
  EXPECT_EQ(last.max_bytes(), kSegment);
  EXPECT_EQ(ExpireAt(2).min_position(), last.min_position()) << "there is nothing more to do";
  for (int member = 0; member < 3; ++member) {
    int64_t first = 0;
    while (first < 6 && SystemClock()->MonotonicMillis() < until_ms) first = FirstOffsetAt(member);
    EXPECT_GE(first, 6) << "member " << member;
  }
  v2::ReceiveMessageRequest receive = BrokerClient::MakeReceive("orders", "readers", 5);
  receive.set_batch_size(1);
  const Received received = client.Receive(receive);
  ASSERT_EQ(received.messages.size(), 1);
  EXPECT_EQ(received.messages[0].system_properties().queue_offset(), FirstOffsetAt(0));
}

}  // namespace
}  // namespace raftmq::broker
