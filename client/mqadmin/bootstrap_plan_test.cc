#include "client/mqadmin/bootstrap_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;
using testing::HasSubstr;

// Three members that were just formatted.
std::vector<AnsweredMember> Formatted() {
  std::vector<AnsweredMember> members(3);
  for (int i = 0; i < 3; ++i) {
    members[i].address = StrCat("host", i, ":8081");
    members[i].status.set_role(pb::NOT_BOOTSTRAPPED);
    pb::MemberIdentity* identity = members[i].status.mutable_identity();
    identity->set_group("broker-a");
    identity->set_member_id(i + 1);
    identity->set_member_name(StrCat("n", i));
    identity->set_peer_address(StrCat("host", i, ":40911"));
    identity->set_incarnation(100 + i);
  }
  return members;
}

// One of `members` runs in the group that they make.
void Bootstrapped(int which, std::vector<AnsweredMember>& members) {
  pb::GetMemberStatusResponse& status = members[which].status;
  status.set_role(pb::FOLLOWER);
  for (const AnsweredMember& member : members) {
    pb::GroupMember* row = status.add_members();
    row->set_id(member.status.identity().member_id());
    row->set_name(member.status.identity().member_name());
    row->set_peer_address(member.status.identity().peer_address());
    row->set_incarnation(member.status.identity().incarnation());
  }
}

TEST(PlanBootstrap, NewMembersGetTheSameMembersAndIncarnations) {
  const auto plan = PlanBootstrap(Formatted());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->group(), "broker-a");
  ASSERT_EQ(plan->members_size(), 3);
  EXPECT_EQ(plan->members(2).name(), "n2");
  EXPECT_EQ(plan->members(2).incarnation(), 102u);
}

TEST(PlanBootstrap, ARepetitionAfterSomeWereBootstrappedIsFine) {
  std::vector<AnsweredMember> members = Formatted();
  Bootstrapped(0, members);
  Bootstrapped(2, members);
  EXPECT_TRUE(PlanBootstrap(members).ok());
}

TEST(PlanBootstrap, WipedMembersDoNotStartAnEmptyGroupBesideTheSurvivor) {
  std::vector<AnsweredMember> members = Formatted();
  Bootstrapped(2, members);  // the last one asked: the others must not have been written to before
  for (int wiped : {0, 1}) members[wiped].status.mutable_identity()->set_incarnation(900 + wiped);
  const auto plan = PlanBootstrap(members);
  ASSERT_TRUE(absl::IsFailedPrecondition(plan.status())) << plan.status();
  EXPECT_THAT(std::string(Message(plan.status())), HasSubstr("host2:8081"));
  EXPECT_THAT(std::string(Message(plan.status())), HasSubstr("another incarnation of member n0"));
}

TEST(PlanBootstrap, AMemberOfAnotherGroupOrAddressOrTwiceIsRefused) {
  const auto refused = [](auto change) {
    std::vector<AnsweredMember> members = Formatted();
    change(members);
    return absl::IsFailedPrecondition(PlanBootstrap(members).status());
  };
  EXPECT_TRUE(refused([](auto& m) { m[1].status.mutable_identity()->set_group("broker-b"); }));
  EXPECT_TRUE(refused([](auto& m) { m.push_back(m[0]); }));
  EXPECT_TRUE(refused([](auto& m) {
    Bootstrapped(0, m);
    m[1].status.mutable_identity()->set_peer_address("elsewhere:1");
  }));
  EXPECT_TRUE(refused([](auto& m) {
    Bootstrapped(0, m);
    m.pop_back();
  }));
}

}  // namespace
}  // namespace raftmq::mqadmin
