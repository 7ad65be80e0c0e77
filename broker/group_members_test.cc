#include "broker/group_members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"

namespace raftmq::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class GroupMembersTest : public testing::Test {
 protected:
  struct Heard {
    std::vector<std::vector<std::string>> told;
    int ends = 0;
  };
  class Recorder final : public GroupMembers::Watcher {
   public:
    explicit Recorder(Heard* heard) : heard_(heard) {}
    void Tell(const std::vector<std::string>& ids) override { heard_->told.push_back(ids); }
    void End(const absl::Status&) override { ++heard_->ends; }

   private:
    Heard* const heard_;
  };

  void SetUp() override {
    members_.SetLeading(true);
    clock_.AdvanceMillis(10'000);  // settled
  }

  void Beat(const std::string& client) {
    CallContext context;
    context.client_id = client;
    context.language = ClientLanguage::kRaftMq;
    clients_.Heard(context, v2::PUSH_CONSUMER, "g");
  }
  GroupMembers::WatchId Join(const std::string& client, const std::string& group = "g") {
    Beat(client);
    return members_.Watch(group, client, std::make_unique<Recorder>(&heard_[client]));
  }

  FakeClock clock_;
  ClientRegistry clients_{ClientRegistryOptions{.expire_ms = 60'000}, &clock_};
  GroupMembers members_{GroupMembers::Options(), &clients_, &clock_};
  std::map<std::string, Heard> heard_;
};

TEST_F(GroupMembersTest, AllAreToldAtOnceWhenOneJoins) {
  Join("a");
  Join("b");
  Join("x", "another");
  EXPECT_THAT(heard_["a"].told, ElementsAre(ElementsAre("a"), ElementsAre("a", "b")));
  EXPECT_THAT(heard_["b"].told, ElementsAre(ElementsAre("a", "b")));
  members_.Tick();
  EXPECT_EQ(heard_["a"].told.size(), 2) << "nothing changed";
}

TEST_F(GroupMembersTest, OneWhoseStreamEndsIsGoneAfterAMomentUnlessItComesBack) {
  Join("a");
  const auto b = Join("b");
  EXPECT_TRUE(members_.Unwatch(b));
  EXPECT_FALSE(members_.Unwatch(b));
  clock_.AdvanceMillis(999);
  members_.Tick();
  EXPECT_THAT(members_.Members("g"), ElementsAre("a", "b"));
  const auto again = Join("b");
  clock_.AdvanceMillis(5'000);
  members_.Tick();
  EXPECT_EQ(heard_["a"].told.size(), 2) << "it never was away";
  members_.Unwatch(again);
  clock_.AdvanceMillis(1'000);
  members_.Tick();
  EXPECT_THAT(heard_["a"].told.back(), ElementsAre("a"));
}

TEST_F(GroupMembersTest, OneThatSaysGoodbyeIsGoneWithoutThatMoment) {
  Join("a");
  members_.Unwatch(Join("b"));
  clients_.Remove("b");
  members_.Tick();
  EXPECT_THAT(heard_["a"].told.back(), ElementsAre("a"));
}

TEST_F(GroupMembersTest, OneThatSendsNoHeartbeatsIsGoneThoughItsStreamIsOpen) {
  Join("a");
  Join("b");
  clock_.AdvanceMillis(50'000);
  Beat("a");
  clock_.AdvanceMillis(50'000);
  members_.Tick();
  EXPECT_THAT(heard_["a"].told.back(), ElementsAre("a"));
}

TEST_F(GroupMembersTest, ANewLeaderCountsThoseItHeardOfUntilTheyHadTimeToCome) {
  members_.SetLeading(false);
  EXPECT_EQ(members_.Watch("g", "a", std::make_unique<Recorder>(&heard_["a"])), 0);
  EXPECT_EQ(heard_["a"].ends, 1);
  Beat("b");
  members_.SetLeading(true);
  Join("a");
  EXPECT_THAT(heard_["a"].told.back(), ElementsAre("a", "b"));
  clock_.AdvanceMillis(5'000);
  members_.Tick();
  EXPECT_THAT(heard_["a"].told.back(), ElementsAre("a"));
}

TEST_F(GroupMembersTest, WhenLeadershipEndsSoDoTheStreams) {
  Join("a");
  Join("b");
  members_.SetLeading(false);
  EXPECT_EQ(heard_["a"].ends + heard_["b"].ends, 2);
  EXPECT_THAT(members_.Members("g"), IsEmpty());
}

TEST_F(GroupMembersTest, AClientThatWatchesTwiceIsOneMember) {
  const auto first = Join("a");
  Join("a");
  EXPECT_EQ(heard_["a"].ends, 1);
  EXPECT_FALSE(members_.Unwatch(first)) << "the second one stays";
  EXPECT_THAT(members_.Members("g"), ElementsAre("a"));
}

}  // namespace
}  // namespace raftmq::broker
