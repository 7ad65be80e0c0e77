#include "namesrv/route_table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::namesrv {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SettableClock final : public Clock {
 public:
  int64_t WallMillis() const override { return 0; }
  int64_t MonotonicNanos() const override { return now_ms * 1'000'000; }
  int64_t now_ms = 1000;
};

Registration Member(int id, int64_t term, bool leader, std::vector<std::string> topics = {"T"}) {
  Registration r;
  r.cluster = "c";
  r.broker_name = "broker-a";
  r.member = MemberId(id);
  r.member_name = "n" + std::to_string(id - 1);
  r.client_address = "host" + std::to_string(id) + ":8081";
  r.term = Term(term);
  r.leader = leader;
  if (leader) {
    for (const std::string& topic : topics) r.topics.push_back({topic, 8, 8, 6, "NORMAL"});
  }
  return r;
}

// Id of the member that the route names as leader; 0 if none.
int LeaderOf(const RouteTable& table, const std::string& topic) {
  for (const TopicRouteEntry& entry : table.Route(topic)) {
    for (const GroupMember& member : entry.group.members) {
      if (member.leader) return member.id.value();
    }
  }
  return 0;
}

class RouteTableTest : public ::testing::Test {
 protected:
  SettableClock clock_;
  RouteTable table_{RouteTableOptions{}, &clock_};
};

TEST_F(RouteTableTest, RouteNamesAllMembersAndTheLeader) {
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true)).ok());
  ASSERT_TRUE(table_.Register(2, Member(2, 3, false)).ok());
  std::vector<TopicRouteEntry> route = table_.Route("T");
  ASSERT_EQ(route.size(), 1u);
  EXPECT_EQ(route[0].queues.write_queues, 8);
  ASSERT_EQ(route[0].group.members.size(), 2u);
  EXPECT_EQ(route[0].group.members[1].client_address, "host2:8081");
  EXPECT_EQ(LeaderOf(table_, "T"), 1);
  EXPECT_THAT(table_.Route("unknown"), IsEmpty());
}

TEST_F(RouteTableTest, LateWordFromADeposedLeaderChangesNothing) {
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true)).ok());
  ASSERT_TRUE(table_.Register(2, Member(2, 4, true, {"T", "U"})).ok());
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true, {"old"})).ok());
  EXPECT_EQ(LeaderOf(table_, "T"), 2);
  EXPECT_THAT(table_.Topics(), ElementsAre("T", "U"));
}

TEST_F(RouteTableTest, FollowerOfANewerTermUnnamesTheOldLeader) {
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true)).ok());
  ASSERT_TRUE(table_.Register(2, Member(2, 4, false)).ok());
  EXPECT_EQ(LeaderOf(table_, "T"), 0);
  EXPECT_THAT(table_.Topics(), ElementsAre("T"));
}

TEST_F(RouteTableTest, EndOfStreamEvictsAtOnceAndOnlyThatMember) {
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true)).ok());
  ASSERT_TRUE(table_.Register(2, Member(2, 3, false)).ok());
  table_.EndStream(1);
  EXPECT_EQ(LeaderOf(table_, "T"), 0);
  ASSERT_EQ(table_.Route("T").size(), 1u);
  EXPECT_EQ(table_.Route("T")[0].group.members.size(), 1u);
  table_.EndStream(2);
  EXPECT_THAT(table_.Groups(), IsEmpty());
}

TEST_F(RouteTableTest, EndOfAnOldStreamDoesNotEvictAMemberThatReconnected) {
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true)).ok());
  ASSERT_TRUE(table_.Register(5, Member(1, 3, true)).ok());
  table_.EndStream(1);
  EXPECT_EQ(LeaderOf(table_, "T"), 1);
}

TEST_F(RouteTableTest, SilentMemberIsForgottenAfterTheLeaseAndNotBefore) {
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true)).ok());
  clock_.now_ms += 119'999;
  EXPECT_THAT(table_.Expire(), IsEmpty());
  ASSERT_TRUE(table_.Register(2, Member(2, 3, false)).ok());
  clock_.now_ms += 1;
  EXPECT_THAT(table_.Expire(), ElementsAre("broker-a/1"));
  EXPECT_EQ(LeaderOf(table_, "T"), 0);
  EXPECT_EQ(table_.Groups().size(), 1u);
}

TEST_F(RouteTableTest, OneGroupsDeathLeavesTheOthersQueues) {
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true)).ok());
  Registration other = Member(1, 9, true);
  other.broker_name = "broker-b";
  ASSERT_TRUE(table_.Register(2, other).ok());
  EXPECT_EQ(table_.Route("T").size(), 2u);
  table_.EndStream(1);
  ASSERT_EQ(table_.Route("T").size(), 1u);
  EXPECT_EQ(table_.Route("T")[0].group.broker_name, "broker-b");
}

TEST_F(RouteTableTest, TheLeaderSaysWhoServesAndThatGoesOnWithoutOne) {
  Registration leader = Member(1, 3, true);
  leader.serving = {MemberId(1)};
  leader.preferred = MemberId(2);
  leader.group_dns_name = "all.example:80";
  ASSERT_TRUE(table_.Register(1, leader).ok());
  ASSERT_TRUE(table_.Register(2, Member(2, 3, false)).ok());
  ASSERT_TRUE(table_.Register(3, Member(3, 4, false)).ok()) << "an election";
  const Group group = table_.Route("T")[0].group;
  ASSERT_EQ(group.members.size(), 3u);
  EXPECT_TRUE(group.members[0].serving);
  EXPECT_FALSE(group.members[1].serving);
  EXPECT_FALSE(group.members[2].serving);
  EXPECT_EQ(group.preferred, MemberId(2));
  EXPECT_EQ(group.group_dns_name, "all.example:80");
}

TEST_F(RouteTableTest, AGroupsTopicsAreKnownOnceALeaderHasNamedThem) {
  ASSERT_TRUE(table_.Register(2, Member(2, 3, false)).ok());
  EXPECT_THAT(table_.GroupsWithKnownTopics(), IsEmpty());
  ASSERT_TRUE(table_.Register(1, Member(1, 3, true, {})).ok());
  EXPECT_THAT(table_.GroupsWithKnownTopics(), ElementsAre("broker-a"));
}

TEST_F(RouteTableTest, IncompleteOrForeignRegistrationsAreRefused) {
  Registration r = Member(1, 1, true);
  r.broker_name = "";
  EXPECT_EQ(table_.Register(1, r).code(), absl::StatusCode::kInvalidArgument);
  r = Member(0, 1, true);
  EXPECT_EQ(table_.Register(1, r).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(table_.Register(1, Member(1, 1, true)).ok());
  r = Member(2, 1, false);
  r.cluster = "another";
  EXPECT_EQ(table_.Register(2, r).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace raftmq::namesrv
