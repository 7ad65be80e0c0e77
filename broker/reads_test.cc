// Three real brokers in this process: how fresh what any of them reads is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "base/channel_credentials.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"

namespace raftmq::broker {
namespace {

class ReadsTest : public testing::Test {
 protected:
  static constexpr int kMembers = 3;
  // Metadata of a call.
  using Freshness = std::pair<std::string, std::string>;
  const Freshness kLinearizable{"x-raftmq-read", "linearizable"};

  void SetUp() override {
    group_.StartAll();
    ASSERT_TRUE(Client(0).UpdateTopic("orders", 1).ok());
    leader_ = Client(0).MemberStatus().leader_id() - 1;
    follower_ = (leader_ + 1) % kMembers;
  }

  BrokerClient Client(int i) const {
    return BrokerClient(group_.port(i), "JAVA", MakeChannelCredentials({}));
  }
  static v2::MessageQueue Queue() {
    v2::MessageQueue queue;
    queue.mutable_topic()->set_name("orders");
    return queue;
  }
  // The offset it got.
  int64_t Send(int member) {
    const auto sent =
        Client(member).Send(BrokerClient::MakeMessage("orders", "hi", StrCat("A", ++sent_)));
    EXPECT_EQ(sent.status().code(), v2::OK) << sent.status().message();
    return sent.entries(0).offset();
  }

  struct Answer {
    v2::Status status;
    int64_t offset = -1;
    std::string applied;  // x-raftmq-applied-index
  };
  // Where the queue ends.
  Answer QueryEnd(int member, const Freshness& freshness) const {
    const BrokerClient client = Client(member);
    grpc::ClientContext context;
    client.Fill(&context);
    if (!freshness.first.empty()) context.AddMetadata(freshness.first, freshness.second);
    v2::QueryOffsetRequest request;
    *request.mutable_message_queue() = Queue();
    request.set_query_offset_policy(v2::END);
    v2::QueryOffsetResponse response;
    const grpc::Status called = client.messaging()->QueryOffset(&context, request, &response);
    EXPECT_TRUE(called.ok()) << called.error_message();
    return {response.status(), response.offset(), Applied(context)};
  }
  Answer GetOffset(int member, const Freshness& freshness) const {
    const BrokerClient client = Client(member);
    grpc::ClientContext context;
    client.Fill(&context);
    context.AddMetadata(freshness.first, freshness.second);
    v2::GetOffsetRequest request;
    request.mutable_group()->set_name("readers");
    *request.mutable_message_queue() = Queue();
    v2::GetOffsetResponse response;
    const grpc::Status called = client.messaging()->GetOffset(&context, request, &response);
    EXPECT_TRUE(called.ok()) << called.error_message();
    return {response.status(), response.offset(), Applied(context)};
  }
  void Commit(int member, int64_t offset) const {
    const BrokerClient client = Client(member);
    grpc::ClientContext context;
    client.Fill(&context);
    v2::UpdateOffsetRequest request;
    request.mutable_group()->set_name("readers");
    *request.mutable_message_queue() = Queue();
    request.set_offset(offset);
    v2::UpdateOffsetResponse response;
    ASSERT_TRUE(client.messaging()->UpdateOffset(&context, request, &response).ok());
    ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  }
  // How many messages come from `offset` on, without waiting for more.
  int Pull(int member, int64_t offset, const Freshness& freshness) const {
    const BrokerClient client = Client(member);
    grpc::ClientContext context;
    client.Fill(&context);
    context.AddMetadata(freshness.first, freshness.second);
    v2::PullMessageRequest request;
    request.mutable_group()->set_name("readers");
    *request.mutable_message_queue() = Queue();
    request.set_offset(offset);
    request.set_batch_size(32);
    request.mutable_filter_expression()->set_expression("*");
    auto reader = client.messaging()->PullMessage(&context, request);
    int messages = 0;
    v2::PullMessageResponse response;
    while (reader->Read(&response)) messages += response.has_message();
    EXPECT_TRUE(reader->Finish().ok());
    return messages;
  }
  static std::string Applied(const grpc::ClientContext& context) {
    const auto& headers = context.GetServerInitialMetadata();
    const auto it = headers.find("x-raftmq-applied-index");
    return it == headers.end() ? "" : std::string(it->second.data(), it->second.size());
  }

  BrokerGroup::Options GroupOptions() const {
    BrokerGroup::Options options;
    options.folder =
        StrCat(testing::TempDir(), "/reads-",
               testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
    return options;
  }

  BrokerGroup group_{GroupOptions()};
  int leader_ = 0;
  int follower_ = 1;
  int sent_ = 0;
};

TEST_F(ReadsTest, ALinearizableReadAtAnyMemberSeesWhatWasAcknowledgedBefore) {
  for (int i = 0; i < 100; ++i) {
    const int64_t end = Send(leader_) + 1;
    ASSERT_EQ(QueryEnd(follower_, kLinearizable).offset, end);
    Commit(leader_, end);
    ASSERT_EQ(GetOffset(follower_, kLinearizable).offset, end);
    ASSERT_EQ(Pull((follower_ + 1) % kMembers, end - 1, kLinearizable), 1);
  }
  EXPECT_EQ(QueryEnd(leader_, kLinearizable).offset, 100) << "also at the leader itself";
}

TEST_F(ReadsTest, AReadIsAsFreshAsAnEarlierAnswerOfAnotherMember) {
  for (int i = 0; i < 100; ++i) {
    Send(leader_);
    const Answer seen = QueryEnd(leader_, {});
    ASSERT_NE(seen.applied, "");
    ASSERT_GE(QueryEnd(follower_, {"x-raftmq-min-applied-index", seen.applied}).offset,
              seen.offset);
  }
}

TEST_F(ReadsTest, AReadWithABoundOnItsLagNeverGoesBackBehindWhatItsMemberHasProved) {
  const Freshness minute{"x-raftmq-read", "max-lag-ms=60000"};
  for (int i = 0; i < 20; ++i) {
    const int64_t end = Send(leader_) + 1;
    ASSERT_EQ(QueryEnd(follower_, {"x-raftmq-read", "max-lag-ms=0"}).offset, end);
    Send(leader_);
    ASSERT_GE(QueryEnd(follower_, minute).offset, end);
  }
}

TEST_F(ReadsTest, ALinearizableReadGoesOnWithTheNextLeader) {
  const int64_t end = Send(leader_) + 1;
  group_.Stop(leader_);
  EXPECT_EQ(QueryEnd(follower_, kLinearizable).offset, end);
  EXPECT_EQ(Send(follower_), end);
  EXPECT_EQ(QueryEnd((follower_ + 1) % kMembers, kLinearizable).offset, end + 1);
}

TEST_F(ReadsTest, WhatCannotBeIsRefused) {
  EXPECT_EQ(QueryEnd(follower_, {"x-raftmq-read", "fresh"}).status.code(), v2::UNSUPPORTED);
  const v2::Status ahead = QueryEnd(follower_, {"x-raftmq-min-applied-index", "1000000000"}).status;
  EXPECT_EQ(ahead.code(), v2::ILLEGAL_OFFSET);
  EXPECT_THAT(ahead.message(), testing::HasSubstr("committed entries up to"));
  EXPECT_EQ(QueryEnd(follower_, {"x-raftmq-min-applied-index", "many"}).status.code(),
            v2::ILLEGAL_OFFSET);
}

}  // namespace
}  // namespace raftmq::broker
