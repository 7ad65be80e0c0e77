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
               int64_t for_ms = 5'000, int64_t then_ms = 0) {
    CallContext context;
    context.read_level = level;
    if (least.has_value()) context.min_applied = LogIndex(*least);
    context.deadline_ms = clock_.MonotonicMillis() + for_ms;
    auto answer = std::make_shared<std::optional<absl::Status>>();
    barrier_.Await(context, then_ms, [answer](const absl::Status& status) { *answer = status; });
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

TEST_F(ReadBarrierTest, AReadThatWantsToWaitForMessagesHearsEarlyThatItIsNotFresh) {
  const Answer answer = Await("linearizable", std::nullopt, 22'000, /*then_ms=*/20'000);
  timer_.RunFor(2'999 * 1'000'000LL);
  EXPECT_FALSE(answer->has_value());
  timer_.RunFor(1'000'000);
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ(store::ReasonOf(**answer), Reason::kBusy);
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

TEST_F(ReadBarrierTest, AMemberThatWasProvedFreshWithinTheBoundAnswersWithoutTheLeader) {
  const Answer first = Await("max-lag-ms=1000");
  ASSERT_EQ(source_.asked.size(), 1u) << "nothing is known yet";
  timer_.RunFor(300 * 1'000'000LL);
  source_.asked[0](LogIndex(12));
  EXPECT_FALSE(first->has_value());
  const Answer meanwhile = Await("max-lag-ms=1000");
  EXPECT_FALSE(meanwhile->has_value()) << "entry 12 is not applied yet";
  timer_.RunFor(300 * 1'000'000LL);
  source_.Apply(12);
  EXPECT_TRUE(first->has_value() && (*first)->ok());
  source_.asked.at(1)(LogIndex(12));
  EXPECT_TRUE(meanwhile->has_value() && (*meanwhile)->ok());
  timer_.RunFor(700 * 1'000'000LL);  // 1000 ms after the second question was asked
  const Answer within = Await("max-lag-ms=1000");
  EXPECT_TRUE(within->has_value() && (*within)->ok());
  EXPECT_EQ(source_.asked.size(), 2u);
}

TEST_F(ReadBarrierTest, TheBoundCountsFromTheQuestionNotFromItsAnswer) {
  Await("linearizable");
  timer_.RunFor(900 * 1'000'000LL);
  source_.asked.at(0)(LogIndex(10));
  timer_.RunFor(101 * 1'000'000LL);
  const Answer answer = Await("max-lag-ms=1000");
  EXPECT_FALSE(answer->has_value()) << "what was acknowledged 1001 ms ago may be missing";
  EXPECT_EQ(source_.asked.size(), 2u);
}

TEST_F(ReadBarrierTest, AMemberThatIsCutOffAnswersWithinTheBoundOnly) {
  Await("max-lag-ms=1000");
  source_.asked.at(0)(LogIndex(10));
  timer_.RunFor(1'000 * 1'000'000LL);
  const Answer within = Await("max-lag-ms=1000");
  EXPECT_TRUE(within->has_value() && (*within)->ok());
  timer_.RunFor(1'000'000);
  const Answer beyond = Await("max-lag-ms=1000", std::nullopt, 2'000);  // nobody answers this
  EXPECT_FALSE(beyond->has_value());
  timer_.RunFor(1'500 * 1'000'000LL);
  ASSERT_TRUE(beyond->has_value());
  EXPECT_EQ(store::ReasonOf(**beyond), Reason::kBusy);
}

TEST_F(ReadBarrierTest, ABoundOfZeroIsLinearizableAndBothConditionsHold) {
  Await("max-lag-ms=0");
  source_.asked.at(0)(LogIndex(10));
  EXPECT_FALSE(Await("max-lag-ms=0")->has_value()) << "though no time has passed";
  EXPECT_FALSE(Await("max-lag-ms=1000", 11)->has_value()) << "fresh, and not as far as entry 11";
  EXPECT_EQ(source_.asked.size(), 3u);
}

TEST_F(ReadBarrierTest, WhatTheLeaderCannotSayIsPassedOn) {
  const Answer answer = Await("linearizable");
  source_.asked.at(0)(store::Refuse(Reason::kBusy, "no leader"));
  EXPECT_EQ(store::ReasonOf(**answer), Reason::kBusy);
}

TEST_F(ReadBarrierTest, BadLevelsTooManyAndStoppingAreRefused) {
  for (const char* level : {"fresh", "max-lag-ms=", "max-lag-ms=-1", "max-lag-ms=soon"}) {
    EXPECT_EQ(store::ReasonOf(**Await(level)), Reason::kUnsupported) << level;
  }
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
