#include "broker/read_barrier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

using store::Reason;
using testing::HasSubstr;

class FakeSource final : public ReadBarrier::Source {
 public:
  void ReadIndex(const CallContext&,
                 absl::AnyInvocable<void(absl::StatusOr<LogIndex>)> done) override {
    asked.push_back(std::move(done));
  }
  LogIndex Applied() const override { return applied; }
  void WhenApplied(LogIndex index, ReadBarrier::Done done) override {
    if (applied >= index) return done(absl::OkStatus());
    waiting.emplace_back(index, std::move(done));
  }
  void Apply(int64_t index) {
    applied = LogIndex(index);
    for (auto& [wanted, done] : std::exchange(waiting, {})) WhenApplied(wanted, std::move(done));
  }

  LogIndex applied{10};
  std::vector<absl::AnyInvocable<void(absl::StatusOr<LogIndex>)>> asked;
  std::vector<std::pair<LogIndex, ReadBarrier::Done>> waiting;
};

class ReadBarrierTest : public testing::Test {
 protected:
  using Answer = std::shared_ptr<std::optional<absl::Status>>;

  Answer Await(const std::string& level, std::optional<int64_t> least = std::nullopt,
               int64_t for_ms = 5'000) {
    CallContext context;
    context.read_level = level;
    if (least.has_value()) context.min_applied = LogIndex(*least);
    context.deadline_ms = clock_.MonotonicMillis() + for_ms;
    auto answer = std::make_shared<std::optional<absl::Status>>();
    barrier_.Await(context, [answer](const absl::Status& status) { *answer = status; });
    timer_.RunFor(0);
    return answer;
  }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeSource source_;
  ReadBarrier barrier_{{.max_waiting = 2}, &source_, &clock_, &timer_};
};

TEST_F(ReadBarrierTest, ALinearizableReadWaitsUntilThisMemberHasAppliedWhatTheLeaderNames) {
  const Answer answer = Await("linearizable");
  ASSERT_EQ(source_.asked.size(), 1u) << "also when this member thinks that it is up to date";
  source_.asked[0](LogIndex(12));
  EXPECT_FALSE(answer->has_value());
  source_.Apply(11);
  EXPECT_FALSE(answer->has_value());
  source_.Apply(12);
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE((*answer)->ok());
}

TEST_F(ReadBarrierTest, AMemberThatIsAsFarAsTheCallerAsksAnswersWithoutTheLeader) {
  const Answer answer = Await("", 10);
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE((*answer)->ok());
  EXPECT_TRUE(source_.asked.empty());
}

TEST_F(ReadBarrierTest, AMemberThatIsBehindWaits) {
  const Answer answer = Await("", 11);
  source_.asked.at(0)(LogIndex(20));
  EXPECT_FALSE(answer->has_value());
  source_.Apply(20);
  EXPECT_TRUE(answer->has_value());
}

TEST_F(ReadBarrierTest, AnEntryThatDoesNotExistIsNotWaitedFor) {
  const Answer answer = Await("", 1'000'000);
  source_.asked.at(0)(LogIndex(20));
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ(store::ReasonOf(**answer), Reason::kIllegalOffset);
  EXPECT_TRUE(source_.waiting.empty());
}

TEST_F(ReadBarrierTest, AReadThatDoesNotGetFreshInTimeIsRefusedBeforeItsDeadline) {
  const Answer late = Await("linearizable", std::nullopt, 2'000);
  const Answer later = Await("linearizable", std::nullopt, 3'000);
  timer_.RunFor(1'499 * 1'000'000LL);
  EXPECT_FALSE(late->has_value());
  timer_.RunFor(1'000'000);
  ASSERT_TRUE(late->has_value());
  EXPECT_EQ(store::ReasonOf(**late), Reason::kBusy);
  EXPECT_THAT(std::string(Message(**late)), HasSubstr("applied up to entry 10"));
  source_.asked[0](LogIndex(10));
  source_.asked[1](LogIndex(10));
  EXPECT_TRUE(later->has_value() && (*later)->ok());
}

TEST_F(ReadBarrierTest, WhatTheLeaderCannotSayIsPassedOn) {
  const Answer answer = Await("linearizable");
  source_.asked.at(0)(store::Refuse(Reason::kBusy, "no leader"));
  EXPECT_EQ(store::ReasonOf(**answer), Reason::kBusy);
}

TEST_F(ReadBarrierTest, BadLevelsTooManyAndStoppingAreRefused) {
  EXPECT_EQ(store::ReasonOf(**Await("fresh")), Reason::kUnsupported);
  const Answer one = Await("linearizable");
  Await("linearizable");
  const Answer third = Await("linearizable");
  EXPECT_EQ(store::ReasonOf(**third), Reason::kBusy);
  EXPECT_FALSE(one->has_value());
  barrier_.Close();
  EXPECT_EQ(store::ReasonOf(**one), Reason::kBusy);
  EXPECT_EQ(store::ReasonOf(**Await("linearizable")), Reason::kBusy);
}

}  // namespace
}  // namespace raftmq::broker
