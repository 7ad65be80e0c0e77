#include "client/route_cache.h"

#include "base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TopicRoute RouteTo(const std::string& address) {
  return {"T", {BrokerRoute{"broker-a", {address}, {0}, {0}}}};
}

// NameServers in memory: each answers, is down, or keeps its callers waiting.
class FakeNameServers final : public RouteSource {
 public:
  void Ask(const std::string& access_point, const std::string& topic, Answer answer) override {
    asked.push_back(access_point);
    if (hold) {
      held.push_back(std::move(answer));
      return;
    }
    answer(answers.at(access_point));
  }

  std::map<std::string, absl::StatusOr<TopicRoute>> answers;
  std::vector<std::string> asked;
  bool hold = false;
  std::vector<Answer> held;
};

class RouteCacheTest : public ::testing::Test {
 protected:
  RouteCacheTest() {
    servers_.answers["n1"] = RouteTo("old:1");
    servers_.answers["n2"] = RouteTo("old:1");
  }

  // The leader's address, or the failure's text.
  std::string Leader(const std::string& topic = "T") {
    std::string result = "no answer";
    cache_.Find(topic, [&](absl::StatusOr<RouteCache::Route> route) {
      result =
          route.ok() ? (*route)->brokers[0].addresses[0] : std::string(route.status().message());
    });
    return result;
  }

  FakeClock clock_;
  FakeNameServers servers_;
  RouteCache cache_{{{"n1", "n2"}, 0}, &servers_, &clock_};
};

TEST_F(RouteCacheTest, ARouteIsAskedForOnceAndThenAtEachPoll) {
  EXPECT_EQ(Leader(), "old:1");
  clock_.AdvanceMillis(3'600'000);
  EXPECT_EQ(Leader(), "old:1");
  EXPECT_THAT(servers_.asked, ElementsAre("n1"));
  servers_.answers["n1"] = RouteTo("new:1");
  cache_.Refresh();
  EXPECT_EQ(Leader(), "new:1");
  EXPECT_THAT(servers_.asked, ElementsAre("n1", "n1"));
}

TEST_F(RouteCacheTest, ADoubtedRouteIsAskedForAgainButNotInAStorm) {
  EXPECT_EQ(Leader(), "old:1");
  servers_.answers["n1"] = RouteTo("new:1");
  cache_.Doubt("T");
  EXPECT_EQ(Leader(), "old:1") << "within 100 ms of the last answer";
  clock_.AdvanceMillis(100);
  EXPECT_EQ(Leader(), "new:1");
  EXPECT_EQ(Leader(), "new:1");
  EXPECT_THAT(servers_.asked, ElementsAre("n1", "n1"));
}

TEST_F(RouteCacheTest, WhenANameServerDiesTheNextIsAskedFromThenOn) {
  servers_.answers["n1"] = absl::UnavailableError("n1 is down");
  EXPECT_EQ(Leader(), "old:1");
  EXPECT_THAT(servers_.asked, ElementsAre("n1", "n2"));
  cache_.Refresh();
  EXPECT_THAT(servers_.asked, ElementsAre("n1", "n2", "n2"));
}

TEST_F(RouteCacheTest, AnOldRouteServesWhileNoNameServerAnswers) {
  EXPECT_EQ(Leader(), "old:1");
  servers_.answers["n1"] = absl::UnavailableError("n1 is down");
  servers_.answers["n2"] = absl::UnavailableError("n2 is down");
  cache_.Refresh();
  EXPECT_EQ(Leader(), "old:1");
  servers_.answers["n2"] = RouteTo("new:1");
  clock_.AdvanceMillis(100);
  EXPECT_EQ(Leader(), "new:1") << "what serves only for want of better is asked for again";
}

TEST_F(RouteCacheTest, ANameServerThatHasJustStartedDoesNotMakeATopicVanish) {
  EXPECT_EQ(Leader(), "old:1");
  servers_.answers["n1"] = absl::NotFoundError("no topic T");
  servers_.answers["n2"] = absl::UnavailableError("n2 is down");
  cache_.Refresh();
  EXPECT_EQ(Leader(), "old:1");
  // Both know that it is gone.
  servers_.answers["n2"] = absl::NotFoundError("no topic T");
  cache_.Refresh();
  EXPECT_EQ(Leader(), "no topic T");
}

TEST_F(RouteCacheTest, AnUnknownTopicIsReportedAsSuchAndNotKept) {
  servers_.answers["n1"] = absl::NotFoundError("no topic U");
  servers_.answers["n2"] = absl::UnavailableError("n2 is down");
  EXPECT_EQ(Leader("U"), "no topic U");
  EXPECT_THAT(cache_.All(), IsEmpty());
  servers_.asked.clear();
  cache_.Refresh();
  EXPECT_THAT(servers_.asked, IsEmpty());
}

TEST_F(RouteCacheTest, ManyWhoWaitAreAnsweredByOneQuestion) {
  servers_.hold = true;
  int answered = 0;
  for (int i = 0; i < 3; ++i) {
    cache_.Find("T", [&](absl::StatusOr<RouteCache::Route> route) { answered += route.ok(); });
  }
  ASSERT_EQ(servers_.held.size(), 1u);
  EXPECT_EQ(answered, 0);
  servers_.held[0](RouteTo("a:1"));
  EXPECT_EQ(answered, 3);
}

}  // namespace
}  // namespace raftmq::client
