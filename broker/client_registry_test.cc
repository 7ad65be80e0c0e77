#include "broker/client_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/testing/fake_clock.h"

namespace raftmq::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ClientRegistryTest : public testing::Test {
 protected:
  void Heartbeat(const std::string& id) {
    CallContext context;
    context.client_id = id;
    ASSERT_TRUE(registry_.Heard(context, v2::PUSH_CONSUMER, "g"));
  }

  FakeClock clock_;
  ClientRegistry registry_{ClientRegistryOptions(), &clock_};
};

TEST_F(ClientRegistryTest, AClientThatMovedToAnotherMemberLives) {
  Heartbeat("c");
  clock_.AdvanceMillis(15'000);
  EXPECT_THAT(registry_.Quiet(10), IsEmpty());
  clock_.AdvanceMillis(100'000);
  EXPECT_THAT(registry_.Quiet(10), ElementsAre("c"));
  registry_.HeardElsewhere("c", 3'000);
  EXPECT_THAT(registry_.Quiet(10), IsEmpty());
  clock_.AdvanceMillis(60'000);
  registry_.ExpireSilent();
  EXPECT_TRUE(registry_.IsAlive("c")) << "three minutes after its last word here";
  EXPECT_THAT(registry_.Quiet(10), ElementsAre("c")) << "it is still asked about";
  clock_.AdvanceMillis(60'000);
  registry_.ExpireSilent();
  EXPECT_FALSE(registry_.IsAlive("c"));
  EXPECT_THAT(registry_.Quiet(10), IsEmpty());
}

TEST_F(ClientRegistryTest, TheLeaderKnowsClientsThatItNeverHeardItself) {
  registry_.HeardElsewhere("far", 0);
  clock_.AdvanceMillis(2'000);
  EXPECT_EQ(registry_.HeardAgoMillis("far"), 2'000);
  EXPECT_EQ(registry_.HeardAgoMillis("nobody"), std::nullopt);
}

TEST_F(ClientRegistryTest, WhatWasHeardIsReportedOnce) {
  Heartbeat("c");
  Heartbeat("c");
  EXPECT_THAT(registry_.TakeHeard(), ElementsAre("c"));
  EXPECT_THAT(registry_.TakeHeard(), IsEmpty());
}

TEST_F(ClientRegistryTest, ClientsAreCountedByGroupAndLanguageWhileTheyAreHeard) {
  Heartbeat("old");
  clock_.AdvanceMillis(100'000);
  Heartbeat("c");
  CallContext producer;
  producer.client_id = "p";
  producer.language = ClientLanguage::kJava;
  ASSERT_TRUE(registry_.Heard(producer, v2::PRODUCER, ""));
  using Kind = ClientRegistry::Kind;
  EXPECT_THAT(registry_.Count(),
              ElementsAre(testing::Pair(Kind{"", ClientLanguage::kJava}, 1),
                          testing::Pair(Kind{"g", ClientLanguage::kUnknown}, 2)));
  clock_.AdvanceMillis(50'000);
  EXPECT_THAT(registry_.Count(),
              ElementsAre(testing::Pair(Kind{"", ClientLanguage::kJava}, 1),
                          testing::Pair(Kind{"g", ClientLanguage::kUnknown}, 1)));
}

TEST_F(ClientRegistryTest, AGoodbyeIsBelieved) {
  Heartbeat("c");
  registry_.HeardElsewhere("c", 0);
  registry_.Remove("c");
  EXPECT_FALSE(registry_.IsAlive("c"));
  EXPECT_THAT(registry_.TakeHeard(), IsEmpty());
}

}  // namespace
}  // namespace raftmq::broker
