#include "broker/reply_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace raftmq::broker {
namespace {

namespace v1 = ::raftmq::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FakeStream final : public ReplyStream {
 public:
  explicit FakeStream(const std::string& client_id) { context_.client_id = client_id; }
  bool Write(v1::Reply reply) override {
    if (full || closed) return false;
    got.push_back(reply.correlation_id());
    return true;
  }
  void Close(const absl::Status& s) override {
    closed = true;
    status = s;
  }
  std::vector<std::string> got;
  bool full = false;
  bool closed = false;
  absl::Status status;
};

class FakeCall final : public SendReplyCall {
 public:
  FakeCall(const std::string& client_id, const std::string& id) {
    request_ = &message_;
    message_.set_client_id(client_id);
    message_.mutable_reply()->set_correlation_id(id);
    message_.mutable_reply()->set_body("body");
  }
  void Finish() override { finished = true; }
  void Fail(const absl::Status& s) override { status = s; }
  bool finished = false;
  absl::Status status;

 private:
  v1::SendReplyRequest message_;
};

class ReplyStreamsTest : public ::testing::Test {
 protected:
  std::shared_ptr<ReplyStream::Listener> Watch(const std::shared_ptr<FakeStream>& stream) {
    auto listener = streams_.WatchReplies(stream);
    v1::WatchRepliesRequest request;
    listener->OnRead(request);
    return listener;
  }
  // OK: it was passed on.
  absl::Status Reply(const std::string& client_id, const std::string& id) {
    FakeCall call(client_id, id);
    streams_.SendReply(&call);
    EXPECT_NE(call.finished, !call.status.ok());
    return call.status;
  }

  ReplyStreams streams_{{.max_clients = 2, .max_body_bytes = 100}};
};

TEST_F(ReplyStreamsTest, AClientIsToldThatItIsKnownAndGetsItsRepliesOnly) {
  auto a = std::make_shared<FakeStream>("a");
  auto b = std::make_shared<FakeStream>("b");
  auto listener_a = Watch(a);
  auto listener_b = Watch(b);
  EXPECT_THAT(a->got, ElementsAre(""));
  EXPECT_TRUE(Reply("a", "1").ok());
  EXPECT_TRUE(Reply("b", "2").ok());
  EXPECT_THAT(a->got, ElementsAre("", "1"));
  EXPECT_THAT(b->got, ElementsAre("", "2"));
}

TEST_F(ReplyStreamsTest, WhereTheClientIsNotTheNextMemberIsToBeAsked) {
  const absl::Status status = Reply("a", "1");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("client a waits for no reply"));
  auto a = std::make_shared<FakeStream>("a");
  auto listener = Watch(a);
  EXPECT_TRUE(Reply("a", "1").ok());
  listener->OnEnd();
  EXPECT_EQ(Reply("a", "2").code(), absl::StatusCode::kUnavailable);
}

TEST_F(ReplyStreamsTest, ANewerStreamOfAClientTakesOverAndTheOldOnesEndDoesNotEndIt) {
  auto older = std::make_shared<FakeStream>("a");
  auto newer = std::make_shared<FakeStream>("a");
  auto old_listener = Watch(older);
  auto new_listener = Watch(newer);
  EXPECT_TRUE(older->closed);
  old_listener->OnEnd();
  EXPECT_TRUE(Reply("a", "1").ok());
  EXPECT_THAT(newer->got, ElementsAre("", "1"));
}

TEST_F(ReplyStreamsTest, EverythingIsBounded) {
  auto a = std::make_shared<FakeStream>("a");
  auto b = std::make_shared<FakeStream>("b");
  auto c = std::make_shared<FakeStream>("c");
  auto listener_a = Watch(a);
  auto listener_b = Watch(b);
  auto listener_c = Watch(c);
  EXPECT_EQ(c->status.code(), absl::StatusCode::kResourceExhausted);
  a->full = true;
  EXPECT_EQ(Reply("a", "1").code(), absl::StatusCode::kResourceExhausted);
  FakeCall large("b", "2");
  large.mutable_request()->mutable_reply()->set_body(std::string(101, 'x'));
  streams_.SendReply(&large);
  EXPECT_EQ(large.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Reply("b", "").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ReplyStreamsTest, AClientWithoutAnIdIsRefusedAndAStoppedMemberTakesNone) {
  auto nobody = std::make_shared<FakeStream>("");
  streams_.WatchReplies(nobody)->OnEnd();
  EXPECT_EQ(nobody->status.code(), absl::StatusCode::kInvalidArgument);
  auto a = std::make_shared<FakeStream>("a");
  auto listener = Watch(a);
  streams_.Close();
  EXPECT_TRUE(a->closed);
  listener->OnEnd();
  auto late = std::make_shared<FakeStream>("b");
  auto late_listener = Watch(late);
  EXPECT_EQ(late->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(late->got, IsEmpty());
}

}  // namespace
}  // namespace raftmq::broker
