#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/strings.h"
#include "client/mqadmin/grpc_session.h"
#include "gtest/gtest.h"
#include "raftmq/v1/admin.grpc.pb.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

// Takes each call and ends it with `answer`, which may carry a reason as a broker's does.
class Member final : public pb::Admin::Service {
 public:
  explicit Member(grpc::Status answer, std::string reason = "")
      : answer_(std::move(answer)), reason_(std::move(reason)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  grpc::Status MoveOffsets(grpc::ServerContext* context, const pb::MoveOffsetsRequest*,
                           pb::MoveOffsetsResponse*) override {
    return End(context);
  }
  grpc::Status DeleteTopic(grpc::ServerContext* context, const pb::DeleteTopicRequest*,
                           pb::DeleteTopicResponse*) override {
    return End(context);
  }
  grpc::Status ListTopics(grpc::ServerContext* context, const pb::ListTopicConfigsRequest*,
                          pb::ListTopicConfigsResponse*) override {
    return End(context);
  }

  std::string address() const { return StrCat("127.0.0.1:", port_); }
  int calls() const { return calls_; }

 private:
  grpc::Status End(grpc::ServerContext* context) {
    ++calls_;
    if (!reason_.empty()) context->AddTrailingMetadata("x-raftmq-reason", reason_);
    return answer_;
  }

  const grpc::Status answer_;
  const std::string reason_;
  int port_ = 0;
  std::atomic<int> calls_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

grpc::Status BrokenOff() { return {grpc::StatusCode::UNAVAILABLE, "Socket closed"}; }

GroupPlace PlaceOf(const std::string& leader, const std::string& follower) {
  return {.cluster = "c",
          .broker_name = "broker-a",
          .term = 1,
          .members = {{.id = 1, .name = "m1", .address = follower, .leader = false},
                      {.id = 2, .name = "m2", .address = leader, .leader = true}}};
}

absl::Status Move(const GroupPlace& place) {
  Session session("127.0.0.1:1", 5'000);
  pb::MoveOffsetsResponse response;
  return session.Call(place, &Session::Admin::Stub::MoveOffsets, pb::MoveOffsetsRequest(),
                      &response);
}

TEST(Session, AMoveThatMayHaveBeenMadeIsNotMadeAgainAtAnotherMember) {
  Member leader(BrokenOff());
  Member follower(grpc::Status::OK);
  const absl::Status done = Move(PlaceOf(leader.address(), follower.address()));
  EXPECT_EQ(done.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(leader.calls(), 1);
  EXPECT_EQ(follower.calls(), 0);
  const std::string text(done.message());
  for (const std::string& word : {leader.address(), std::string("the offset move"),
                                  std::string("offsetHistory"), std::string("Socket closed")}) {
    EXPECT_NE(text.find(word), std::string::npos) << word << " is not in: " << text;
  }
}

TEST(Session, ADeletionThatMayHaveBeenMadeIsNotMadeAgain) {
  Member leader(BrokenOff());
  Member follower(grpc::Status::OK);
  Session session("127.0.0.1:1", 5'000);
  pb::DeleteTopicResponse response;
  const absl::Status done =
      session.Call(PlaceOf(leader.address(), follower.address()),
                   &Session::Admin::Stub::DeleteTopic, pb::DeleteTopicRequest(), &response);
  EXPECT_EQ(done.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(follower.calls(), 0);
  EXPECT_NE(done.message().find("topicList"), std::string::npos) << done;
}

TEST(Session, AMoveThatTimedOutSaysThatItsOutcomeIsNotKnown) {
  Member leader({grpc::StatusCode::DEADLINE_EXCEEDED, "too late"});
  Member follower(grpc::Status::OK);
  EXPECT_EQ(Move(PlaceOf(leader.address(), follower.address())).code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(follower.calls(), 0);
}

TEST(Session, AMoveGoesToTheNextMemberIfTheFirstCannotBeReached) {
  Member follower(grpc::Status::OK);
  EXPECT_TRUE(Move(PlaceOf("127.0.0.1:1", follower.address())).ok());
  EXPECT_EQ(follower.calls(), 1);
}

TEST(Session, AMoveGoesToTheNextMemberIfTheFirstSaysThatItDidNothing) {
  Member leader({grpc::StatusCode::UNAVAILABLE, "this member is shutting down"}, "STOPPED");
  Member follower(grpc::Status::OK);
  EXPECT_TRUE(Move(PlaceOf(leader.address(), follower.address())).ok());
  EXPECT_EQ(follower.calls(), 1);
}

TEST(Session, ARefusedMoveIsRefusedAndNotUnknown) {
  Member leader({grpc::StatusCode::NOT_FOUND, "no such group"});
  Member follower(grpc::Status::OK);
  EXPECT_EQ(Move(PlaceOf(leader.address(), follower.address())).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(follower.calls(), 0);
}

TEST(Session, AReadGoesToTheNextMemberWhateverBecameOfTheFirst) {
  Member leader(BrokenOff());
  Member follower(grpc::Status::OK);
  Session session("127.0.0.1:1", 5'000);
  pb::ListTopicConfigsResponse response;
  EXPECT_TRUE(session
                  .Call(PlaceOf(leader.address(), follower.address()),
                        &Session::Admin::Stub::ListTopics, pb::ListTopicConfigsRequest(), &response)
                  .ok());
  EXPECT_EQ(leader.calls(), 1);
  EXPECT_EQ(follower.calls(), 1);
}

}  // namespace
}  // namespace raftmq::mqadmin
