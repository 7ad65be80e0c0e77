#include "broker/forwarding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "broker/internal_call.h"

namespace raftmq::broker {
namespace {

class FakeLedger final : public dledger::Ledger {
 public:
  dledger::LedgerStatus status;
  void Propose(std::unique_ptr<dledger::Proposal>) override {}
  absl::StatusOr<std::string> Read(LogPosition, size_t) const override {
    return absl::UnimplementedError("");
  }
  void ReleaseBefore(LogPosition) override {}
  std::shared_ptr<const dledger::LedgerStatus> Status() const override {
    return std::make_shared<dledger::LedgerStatus>(status);
  }
  void SetStatusListener(StatusListener) override {}
  void TransferLeadership(MemberId, absl::AnyInvocable<void(absl::Status)>) override {}
};

// Counts what is carried out here, and answers it.
class FakeLocal final : public LocalLeader {
 public:
  int executed = 0;
  LeaderRouter* give_back_to = nullptr;  // says NotLeader instead

  template <typename Call>
  void Do(Call* call) {
    ++executed;
    if (give_back_to != nullptr) return give_back_to->NotLeader(call);
    if constexpr (requires { call->response(); }) call->Finish();
  }
  void Execute(SendMessageCall* call) override { Do(call); }
  void Execute(ReceiveMessageCall* call) override { Do(call); }
  void Execute(AckMessageCall* call) override { Do(call); }
  void Execute(ChangeInvisibleCall* call) override { Do(call); }
  void Execute(UpdateOffsetCall* call) override { Do(call); }
  void Execute(GetOffsetCall* call) override { Do(call); }
  void Execute(EndTransactionCall* call) override { Do(call); }
  void Execute(RecallMessageCall* call) override { Do(call); }
  void Execute(ForwardToDeadLetterCall* call) override { Do(call); }
  void Execute(RedriveDeadLettersCall* call) override { Do(call); }
  void Execute(ListTransactionsCall* call) override { Do(call); }
  void Execute(ResolveTransactionCall* call) override { Do(call); }
  void Execute(CheckTransactionCall* call) override { Do(call); }
  void Execute(ExpireMessagesCall* call) override { Do(call); }
  void Execute(UpdateTopicCall* call) override { Do(call); }
  void Execute(DeleteTopicCall* call) override { Do(call); }
  void Execute(UpdateGroupCall* call) override { Do(call); }
  void Execute(DeleteGroupCall* call) override { Do(call); }
  void Execute(MoveOffsetsCall* call) override { Do(call); }
  void Execute(SyncLiteSubscriptionCall* call) override { Do(call); }
  void Execute(TransferLeadershipCall* call) override { Do(call); }
  void Execute(ReadIndexCall* call) override { Do(call); }
  void Execute(QueryRouteCall* call) override { Do(call); }
  void Execute(QueryAssignmentCall* call) override { Do(call); }
  void Execute(GetGroupCall* call) override { Do(call); }
};

// Keeps what was forwarded until the test answers.
class FakePeers final : public PeerClient {
 public:
  struct Forwarded {
    std::string address;
    int64_t deadline_ms;
    Done done;
  };
  std::vector<Forwarded> forwarded;

  void Answer(PeerResult::Kind kind, absl::Status status = absl::OkStatus()) {
    Forwarded first = std::move(forwarded.front());
    forwarded.erase(forwarded.begin());
    first.done(PeerResult{kind, std::move(status)});
  }

#define FORWARD(Call)                                                                        \
  void Forward(const std::string& address, int64_t deadline_ms, Call*, Done done) override { \
    forwarded.push_back(Forwarded{address, deadline_ms, std::move(done)});                   \
  }
  FORWARD(SendMessageCall)
  FORWARD(ReceiveMessageCall)
  FORWARD(AckMessageCall)
  FORWARD(ChangeInvisibleCall)
  FORWARD(UpdateOffsetCall)
  FORWARD(GetOffsetCall)
  FORWARD(EndTransactionCall)
  FORWARD(RecallMessageCall)
  FORWARD(ForwardToDeadLetterCall)
  FORWARD(RedriveDeadLettersCall)
  FORWARD(SyncLiteSubscriptionCall)
  FORWARD(UnsubscribeLiteCall)
  FORWARD(ListTransactionsCall)
  FORWARD(ResolveTransactionCall)
  FORWARD(CheckTransactionCall)
  FORWARD(RecoverTransactionCall)
  FORWARD(ExpireMessagesCall)
  FORWARD(UpdateTopicCall)
  FORWARD(DeleteTopicCall)
  FORWARD(UpdateGroupCall)
  FORWARD(DeleteGroupCall)
  FORWARD(MoveOffsetsCall)
  FORWARD(TransferLeadershipCall)
  FORWARD(ReadIndexCall)
  FORWARD(QueryRouteCall)
  FORWARD(QueryAssignmentCall)
  FORWARD(GetGroupCall)
#undef FORWARD
};

class LeaderRouterTest : public testing::Test {
 protected:
  struct Outcome {
    bool done = false;
    absl::Status grpc;
    v2::Status body;
  };

  LeaderRouterTest() {
    ledger_.status.self = MemberId(1);
    for (int i = 1; i <= 3; ++i) {
      dledger::Member member;
      member.id = MemberId(i);
      member.client_address = StrCat("host", i, ":8081");
      ledger_.status.members.push_back(member);
    }
  }

  void LeaderIs(int id) {
    ledger_.status.leader = MemberId(id);
    ledger_.status.role = id == 1 ? dledger::Role::kLeader : dledger::Role::kFollower;
    ledger_.status.serving = id == 1;
  }

  CallContext Context(bool forwarded) {
    CallContext context;
    context.client_id = "c";
    context.deadline_ms = clock_.MonotonicMillis() + 3'000;
    context.forwarded = forwarded;
    return context;
  }

  template <typename Request, typename Response>
  std::shared_ptr<Outcome> Route(bool forwarded = false) {
    auto outcome = std::make_shared<Outcome>();
    router_.Route(InternalUnary<Request, Response>::Make(
        Context(forwarded), Request(),
        [outcome](const absl::Status& status, const Response& response) {
          ASSERT_FALSE(outcome->done) << "ended twice";
          outcome->done = true;
          outcome->grpc = status;
          outcome->body = response.status();
        }));
    return outcome;
  }
  std::shared_ptr<Outcome> Send(bool forwarded = false) {
    return Route<v2::SendMessageRequest, v2::SendMessageResponse>(forwarded);
  }
  std::shared_ptr<Outcome> Ack() { return Route<v2::AckMessageRequest, v2::AckMessageResponse>(); }
  void RunForMillis(int64_t ms) { timer_.RunFor(ms * 1'000'000); }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeLedger ledger_;
  FakeLocal local_;
  FakePeers peers_;
  LeaderRouter router_{
      LeaderRouterOptions{.max_parked = 2}, &ledger_, &local_, &peers_, &clock_, &timer_};
};

TEST_F(LeaderRouterTest, TheLeaderCarriesItOutItself) {
  LeaderIs(1);
  EXPECT_TRUE(Send()->done);
  EXPECT_EQ(local_.executed, 1);
  EXPECT_TRUE(peers_.forwarded.empty());
}

TEST_F(LeaderRouterTest, AnotherMemberForwardsWithAShorterDeadline) {
  LeaderIs(2);
  auto outcome = Send();
  ASSERT_EQ(peers_.forwarded.size(), 1);
  EXPECT_EQ(peers_.forwarded[0].address, "host2:8081");
  EXPECT_EQ(peers_.forwarded[0].deadline_ms, clock_.MonotonicMillis() + 2'800);
  EXPECT_FALSE(outcome->done);
  peers_.Answer(PeerResult::Kind::kAnswered);
  EXPECT_TRUE(outcome->done);
}

TEST_F(LeaderRouterTest, AForwardedCallIsNeverForwardedAgain) {
  LeaderIs(2);
  auto outcome = Send(/*forwarded=*/true);
  ASSERT_TRUE(outcome->done);
  EXPECT_TRUE(LeaderRouter::IsNotLeaderHere(outcome->grpc)) << outcome->grpc;
  EXPECT_TRUE(peers_.forwarded.empty());
}

TEST_F(LeaderRouterTest, AForwardedCallWaitsForALeaderThatDoesNotServeYet) {
  LeaderIs(1);
  ledger_.status.serving = false;
  const auto call = Send(/*forwarded=*/true);
  RunForMillis(500);
  EXPECT_FALSE(call->done) << "the member that forwarded it would only send it again";
  EXPECT_EQ(local_.executed, 0);
  ledger_.status.serving = true;
  router_.OnStatusChange();
  EXPECT_TRUE(call->done);
  EXPECT_EQ(local_.executed, 1);
}

TEST_F(LeaderRouterTest, AForwardedCallDoesNotWaitOnceTheMemberLeadsNoMore) {
  LeaderIs(1);
  ledger_.status.serving = false;
  const auto call = Send(/*forwarded=*/true);
  ledger_.status.leader = kNoMember;
  ledger_.status.role = dledger::Role::kFollower;
  router_.OnStatusChange();
  ASSERT_TRUE(call->done);
  EXPECT_TRUE(LeaderRouter::IsNotLeaderHere(call->grpc)) << call->grpc;
}

TEST_F(LeaderRouterTest, WhatTheOldLeaderMayStillAnswerIsNotBrokenOffAtOnce) {
  LeaderIs(3);
  ledger_.status.members[1].connected = true;
  EXPECT_GT(LeaderRouter::BreakOffDelayMs(ledger_.status, "host2:8081"), 0) << "it handed over";
  ledger_.status.members[1].connected = false;
  EXPECT_EQ(LeaderRouter::BreakOffDelayMs(ledger_.status, "host2:8081"), 0) << "it is gone";
  EXPECT_EQ(LeaderRouter::BreakOffDelayMs(ledger_.status, ""), 0);
}

TEST_F(LeaderRouterTest, WithoutALeaderItWaitsUntilThereIsOne) {
  auto outcome = Send();
  RunForMillis(1'000);
  EXPECT_FALSE(outcome->done);
  LeaderIs(3);
  router_.OnStatusChange();
  ASSERT_EQ(peers_.forwarded.size(), 1);
  EXPECT_EQ(peers_.forwarded[0].address, "host3:8081");
  peers_.Answer(PeerResult::Kind::kAnswered);
  EXPECT_TRUE(outcome->done);
}

TEST_F(LeaderRouterTest, WithoutALeaderItIsRefusedHalfASecondBeforeItsDeadline) {
  auto outcome = Send();
  RunForMillis(2'490);
  EXPECT_FALSE(outcome->done);
  RunForMillis(40);
  ASSERT_TRUE(outcome->done);
  EXPECT_EQ(outcome->body.code(), v2::TOO_MANY_REQUESTS);
  EXPECT_THAT(outcome->body.message(), testing::HasSubstr("no leader is known"));
}

TEST_F(LeaderRouterTest, AMemberThatDoesNotLeadAfterAllIsAskedAgainLater) {
  LeaderIs(2);
  auto outcome = Send();
  peers_.Answer(PeerResult::Kind::kNotLeader, absl::FailedPreconditionError("not me"));
  EXPECT_FALSE(outcome->done);
  RunForMillis(25);
  ASSERT_EQ(peers_.forwarded.size(), 1) << "tried again";
  peers_.Answer(PeerResult::Kind::kAnswered);
  EXPECT_TRUE(outcome->done);
}

TEST_F(LeaderRouterTest, ASendWhoseLeaderWasLostHasAnUnknownOutcome) {
  LeaderIs(2);
  auto outcome = Send();
  peers_.Answer(PeerResult::Kind::kBroken, absl::UnavailableError("connection reset"));
  ASSERT_TRUE(outcome->done);
  EXPECT_EQ(outcome->body.code(), v2::PROXY_TIMEOUT);
}

TEST_F(LeaderRouterTest, AnAckWhoseLeaderWasLostIsRepeated) {
  LeaderIs(2);
  auto outcome = Ack();
  peers_.Answer(PeerResult::Kind::kBroken, absl::UnavailableError("connection reset"));
  EXPECT_FALSE(outcome->done);
  LeaderIs(1);
  router_.OnStatusChange();
  EXPECT_TRUE(outcome->done);
  EXPECT_EQ(local_.executed, 1);
}

TEST_F(LeaderRouterTest, WhatTheStoreGivesBackWaitsForTheNextLeader) {
  LeaderIs(1);
  local_.give_back_to = &router_;
  auto outcome = Send();
  EXPECT_FALSE(outcome->done);
  EXPECT_EQ(router_.parked(), 1);
  LeaderIs(2);
  router_.OnStatusChange();
  EXPECT_EQ(peers_.forwarded.size(), 1);
  peers_.Answer(PeerResult::Kind::kAnswered);
  EXPECT_TRUE(outcome->done);
}

TEST_F(LeaderRouterTest, WhatWaitsIsBounded) {
  auto a = Send(), b = Send();
  auto refused = Send();
  EXPECT_FALSE(a->done || b->done);
  ASSERT_TRUE(refused->done);
  EXPECT_EQ(refused->body.code(), v2::TOO_MANY_REQUESTS);
  router_.Close();
  EXPECT_TRUE(a->done && b->done);
}

TEST_F(LeaderRouterTest, WhatWaitsWhenItClosesGoesToTheLeaderThatNobodyToldOf) {
  LeaderIs(1);
  local_.give_back_to = &router_;
  auto outcome = Send();
  LeaderIs(2);
  router_.Close();
  ASSERT_EQ(peers_.forwarded.size(), 1);
  peers_.Answer(PeerResult::Kind::kNotLeader, absl::FailedPreconditionError("not yet"));
  EXPECT_FALSE(outcome->done);
  RunForMillis(25);
  ASSERT_EQ(peers_.forwarded.size(), 1) << "tried again";
  peers_.Answer(PeerResult::Kind::kAnswered);
  EXPECT_TRUE(outcome->done);
  EXPECT_EQ(outcome->body.code(), v2::CODE_UNSPECIFIED) << "the leader's answer";
}

TEST_F(LeaderRouterTest, AClosedRouterDoesNotWaitLongForALeaderThatTakesNothing) {
  LeaderIs(2);
  router_.Close();
  auto outcome = Send();
  for (int i = 0; i < 60 && !outcome->done; ++i) {
    if (!peers_.forwarded.empty()) {
      peers_.Answer(PeerResult::Kind::kNotLeader, absl::FailedPreconditionError("not me"));
    }
    RunForMillis(25);
  }
  ASSERT_TRUE(outcome->done);
  EXPECT_EQ(outcome->body.code(), v2::TOO_MANY_REQUESTS);
}

TEST_F(LeaderRouterTest, AClosedRouterRefusesWhatWouldWait) {
  router_.Close();
  auto outcome = Send();
  ASSERT_TRUE(outcome->done);
  EXPECT_EQ(outcome->body.code(), v2::TOO_MANY_REQUESTS);
}

}  // namespace
}  // namespace raftmq::broker
