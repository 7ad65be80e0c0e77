#include "broker/member_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace raftmq::broker {
namespace {

namespace adm = ::raftmq::v1;
using testing::HasSubstr;

class MemberStatusTest : public testing::Test {
 protected:
  MemberStatusTest() {
    identity_.set_group("broker-a");
    identity_.set_member_id(3);
    identity_.set_member_name("n2");
    request_.set_group("broker-a");
    for (int i = 0; i < 3; ++i) {
      dledger::Member& member = status_.members.emplace_back();
      member.id = MemberId(i + 1);
      member.name = StrCat("n", i);
      member.peer_address = StrCat("host", i, ":40911");
      member.incarnation = Incarnation(100 + i);
      adm::BootstrapMemberSpec* spec = request_.add_members();
      spec->set_id(i + 1);
      spec->set_name(member.name);
      spec->set_peer_address(member.peer_address);
      spec->set_incarnation(100 + i);
    }
  }
  absl::Status Check() { return CheckAlreadyBootstrapped(request_, identity_, status_); }

  adm::MemberIdentity identity_;
  adm::BootstrapRequest request_;
  dledger::LedgerStatus status_;
};

TEST_F(MemberStatusTest, TheSameBootstrapAgainIsFine) { EXPECT_EQ(Check(), absl::OkStatus()); }

TEST_F(MemberStatusTest, ABootstrapWithAnotherMembersNewIncarnationIsRefused) {
  request_.mutable_members(0)->set_incarnation(900);  // its disk was wiped and formatted again
  const absl::Status refused = Check();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(Message(refused)), HasSubstr("member n0 has incarnation"));
}

TEST_F(MemberStatusTest, ABootstrapWithOtherMembersIsRefused) {
  request_.mutable_members()->RemoveLast();
  EXPECT_TRUE(absl::IsFailedPrecondition(Check()));
  request_.add_members()->set_id(7);
  EXPECT_TRUE(absl::IsFailedPrecondition(Check()));
}

TEST_F(MemberStatusTest, DamageIsTold) {
  status_.damage = "a bad frame";
  status_.members[1].damaged = true;
  const adm::GetMemberStatusResponse response = ToMemberStatus(identity_, status_, 0);
  EXPECT_EQ(response.damage(), "a bad frame");
  EXPECT_FALSE(response.members(0).damaged());
  EXPECT_TRUE(response.members(1).damaged());
  EXPECT_EQ(response.members(1).incarnation(), 101u);
}

}  // namespace
}  // namespace raftmq::broker
