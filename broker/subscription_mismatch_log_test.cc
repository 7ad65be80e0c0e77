#include "broker/subscription_mismatch_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/testing/fake_clock.h"

namespace raftmq::broker {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class SubscriptionMismatchTest : public testing::Test {
 protected:
  using Subscriptions = std::vector<std::pair<std::string, std::string>>;

  void Subscribe(const std::string& client, const std::string& group, const Subscriptions& to,
                 v2::ClientType type = v2::PUSH_CONSUMER) {
    CallContext context;
    context.client_id = client;
    v2::Settings settings;
    settings.set_client_type(type);
    settings.mutable_subscription()->mutable_group()->set_name(group);
    for (const auto& [topic, expression] : to) {
      v2::SubscriptionEntry* entry = settings.mutable_subscription()->add_subscriptions();
      entry->mutable_topic()->set_name(topic);
      entry->mutable_expression()->set_expression(expression);
      entry->mutable_expression()->set_type(v2::TAG);
    }
    ASSERT_TRUE(registry_.PutSettings(context, settings, {}));
  }

  std::vector<std::string> Tell() {
    return log_.Tell(registry_.Mismatches(), clock_.MonotonicMillis());
  }

  FakeClock clock_;
  ClientRegistry registry_{ClientRegistryOptions(), &clock_};
  SubscriptionMismatchLog log_;
};

TEST_F(SubscriptionMismatchTest, ConsumersThatSubscribeTheSameAreNotToldOf) {
  Subscribe("a", "g", {{"orders", "x || y"}, {"bills", "*"}});
  Subscribe("b", "g", {{"bills", "*"}, {"orders", "x || y"}});
  Subscribe("c", "h", {{"orders", "*"}});
  EXPECT_THAT(Tell(), IsEmpty());
}

TEST_F(SubscriptionMismatchTest, AnotherExpressionIsToldWithBothClientsAndWhatTheySubscribeTo) {
  Subscribe("a", "g", {{"orders", "x"}});
  Subscribe("b", "g", {{"orders", "x"}});
  Subscribe("c", "g", {{"orders", "y"}});
  EXPECT_THAT(Tell(), ElementsAre(AllOf(HasSubstr("group g "), HasSubstr("a to [orders: x]"),
                                        HasSubstr("c to [orders: y]"))));
}

TEST_F(SubscriptionMismatchTest, AnotherTopicIsAMismatchToo) {
  Subscribe("a", "g", {{"orders", "*"}});
  Subscribe("b", "g", {{"orders", "*"}, {"bills", "*"}});
  EXPECT_THAT(Tell(), SizeIs(1));
}

TEST_F(SubscriptionMismatchTest, APairIsToldOnceInTenMinutesAndAgainAfterItWasMended) {
  Subscribe("a", "g", {{"orders", "x"}});
  Subscribe("b", "g", {{"orders", "y"}});
  EXPECT_THAT(Tell(), SizeIs(1));
  EXPECT_THAT(Tell(), IsEmpty());
  clock_.AdvanceMillis(60'000);
  Subscribe("b", "g", {{"orders", "z"}});
  EXPECT_THAT(Tell(), SizeIs(1)) << "it is another one";
  Subscribe("b", "g", {{"orders", "x"}});
  EXPECT_THAT(Tell(), IsEmpty());
  Subscribe("b", "g", {{"orders", "z"}});
  EXPECT_THAT(Tell(), SizeIs(1)) << "it was mended in between";
  clock_.AdvanceMillis(SubscriptionMismatchLog::kAgainMs);
  Subscribe("a", "g", {{"orders", "x"}});
  Subscribe("b", "g", {{"orders", "z"}});
  EXPECT_THAT(Tell(), SizeIs(1)) << "it lasts";
}

TEST_F(SubscriptionMismatchTest, WhoIsGoneOrSaidNothingOrIsLiteDoesNotCount) {
  Subscribe("a", "g", {{"orders", "x"}});
  clock_.AdvanceMillis(ClientRegistryOptions().expire_ms + 1);
  Subscribe("b", "g", {{"orders", "y"}});
  CallContext context;
  context.client_id = "c";
  ASSERT_TRUE(registry_.Heard(context, v2::PUSH_CONSUMER, "g"));
  Subscribe("d", "g", {{"other", "*"}}, v2::LITE_PUSH_CONSUMER);
  EXPECT_THAT(Tell(), IsEmpty());
}

TEST_F(SubscriptionMismatchTest, ManyGroupsAreToldABoundedNumberAtATime) {
  const size_t groups = SubscriptionMismatchLog::kMaxTold + 5;
  for (size_t i = 0; i < groups; ++i) {
    const std::string group = "g" + std::to_string(i);
    Subscribe("a" + group, group, {{"orders", "x"}});
    Subscribe("b" + group, group, {{"orders", "y"}});
  }
  EXPECT_THAT(Tell(), SizeIs(SubscriptionMismatchLog::kMaxTold));
  EXPECT_THAT(Tell(), SizeIs(5)) << "the others";
  EXPECT_THAT(Tell(), IsEmpty());
}

}  // namespace
}  // namespace raftmq::broker
