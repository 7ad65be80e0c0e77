#include "broker/group_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/testing/fake_clock.h"

namespace raftmq::broker {
namespace {

using testing::ElementsAre;

// Member 1 of three.
class GroupViewTest : public testing::Test {
 protected:
  GroupViewTest() {
    status_.self = MemberId(1);
    for (int i = 1; i <= 3; ++i) {
      dledger::Member member;
      member.id = MemberId(i);
      member.connected = true;
      status_.members.push_back(member);
    }
  }
  void Lead(int64_t term) {
    status_.role = dledger::Role::kLeader;
    status_.serving = true;
    status_.term = Term(term);
    status_.leader = status_.self;
  }
  std::vector<int> Serving() {
    std::vector<int> ids;
    for (const MemberId id : view_.Serving(status_)) ids.push_back(id.value());
    return ids;
  }
  void Report(int member, int64_t applied) {
    view_.OnReport(MemberId(member), LogIndex(applied), status_);
  }

  FakeClock clock_{1'000'000'000};
  dledger::LedgerStatus status_;
  GroupView view_{GroupView::Options(), &clock_};
};

TEST_F(GroupViewTest, AMemberThatIsConnectedAndSaysNothingIsLeftOut) {
  Lead(1);
  EXPECT_THAT(Serving(), ElementsAre(1, 2, 3)) << "a new leader waits for their reports";
  Report(2, 0);
  Report(3, 0);
  clock_.AdvanceMillis(1'100);
  Report(2, 0);
  clock_.AdvanceMillis(100);
  EXPECT_THAT(Serving(), ElementsAre(1, 2)) << "member 3 may be stopped";
  Report(3, 0);
  EXPECT_THAT(Serving(), ElementsAre(1, 2, 3));
}

TEST_F(GroupViewTest, AMemberWhoseConnectionIsGoneIsLeftOutAtOnce) {
  Lead(1);
  Report(2, 0);
  Report(3, 0);
  status_.members[1].connected = false;
  EXPECT_THAT(Serving(), ElementsAre(1, 3));
}

TEST_F(GroupViewTest, AMemberThatCatchesUpIsListedOnceItHas) {
  Lead(1);
  status_.commit_index = LogIndex(100'000);
  Report(2, 10);
  Report(3, 100'000);
  EXPECT_THAT(Serving(), ElementsAre(1, 3));
  Report(2, 99'500);
  EXPECT_THAT(Serving(), ElementsAre(1, 2, 3));
  Report(2, 60'000);
  EXPECT_THAT(Serving(), ElementsAre(1, 2, 3)) << "it may fall behind a little more";
  Report(2, 40'000);
  EXPECT_THAT(Serving(), ElementsAre(1, 3));
}

TEST_F(GroupViewTest, ReportsToAnEarlierTermAreForgotten) {
  Lead(1);
  Report(2, 0);
  Report(3, 0);
  clock_.AdvanceMillis(5'000);
  Lead(4);
  EXPECT_THAT(Serving(), ElementsAre(1, 2, 3));
  clock_.AdvanceMillis(1'300);
  EXPECT_THAT(Serving(), ElementsAre(1));
}

TEST_F(GroupViewTest, OthersListWhatTheLeaderSaidUntilThatIsOld) {
  view_.OnAnswer(Term(2), LogIndex(5), {MemberId(2), MemberId(1)});
  EXPECT_THAT(Serving(), ElementsAre(1, 2));
  view_.OnAnswer(Term(1), LogIndex(5), {MemberId(3)});
  EXPECT_THAT(Serving(), ElementsAre(1, 2)) << "the old leader's answer came late";
  clock_.AdvanceMillis(2'000);
  status_.members[1].connected = false;
  EXPECT_THAT(Serving(), ElementsAre(1, 3)) << "by connections";
}

TEST_F(GroupViewTest, AMemberHasCaughtUpOnceItHasTheLeadersCommit) {
  status_.applied_index = LogIndex(10);
  EXPECT_FALSE(view_.CaughtUp(status_)) << "nobody said how far the others are";
  view_.OnAnswer(Term(1), LogIndex(100'000), {});
  EXPECT_FALSE(view_.CaughtUp(status_));
  status_.applied_index = LogIndex(99'999);
  EXPECT_TRUE(view_.CaughtUp(status_));
  clock_.AdvanceMillis(60'000);
  EXPECT_TRUE(view_.CaughtUp(status_)) << "also without a leader";
}

TEST_F(GroupViewTest, ALeaderThatServesHasCaughtUp) {
  Lead(1);
  EXPECT_TRUE(view_.CaughtUp(status_));
}

}  // namespace
}  // namespace raftmq::broker
