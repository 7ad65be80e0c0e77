#include "broker/client_settings.h"

#include <gtest/gtest.h>

#include "broker/proto_time.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

v2::Settings Producer() {
  v2::Settings settings;
  settings.set_client_type(v2::PRODUCER);
  settings.mutable_publishing()->add_topics()->set_name("orders");
  settings.mutable_publishing()->mutable_topics(0)->set_resource_namespace("ns");
  return settings;
}

v2::Settings PushConsumer() {
  v2::Settings settings;
  settings.set_client_type(v2::PUSH_CONSUMER);
  settings.mutable_subscription()->mutable_group()->set_name("readers");
  settings.mutable_subscription()->add_subscriptions()->mutable_topic()->set_name("orders");
  return settings;
}

const ClientLanguage kAll[] = {ClientLanguage::kJava,   ClientLanguage::kGo,
                               ClientLanguage::kCpp,    ClientLanguage::kPython,
                               ClientLanguage::kNodeJs, ClientLanguage::kRust,
                               ClientLanguage::kDotNet, ClientLanguage::kUnknown};

TEST(AnswerSettings, AProducerGetsAnExponentialBackoffAndABodySizeInEveryLanguage) {
  for (const ClientLanguage language : kAll) {
    const v2::Settings answer =
        AnswerSettings(Producer(), language, SettingsDefaults(), std::nullopt);
    ASSERT_EQ(answer.pub_sub_case(), v2::Settings::kPublishing);
    EXPECT_TRUE(answer.backoff_policy().has_exponential_backoff());
    EXPECT_EQ(answer.backoff_policy().max_attempts(), 3);
    EXPECT_EQ(answer.publishing().max_body_size(), 4 << 20);
    EXPECT_TRUE(answer.publishing().validate_message_type());
    EXPECT_FALSE(answer.metric().on());
  }
}

TEST(AnswerSettings, WhatTheClientSaidIsKept) {
  const v2::Settings answer =
      AnswerSettings(Producer(), ClientLanguage::kCpp, SettingsDefaults(), std::nullopt);
  EXPECT_EQ(answer.client_type(), v2::PRODUCER);
  EXPECT_EQ(answer.publishing().topics(0).resource_namespace(), "ns");
}

TEST(AnswerSettings, APushConsumersBackoffIsOfTheKindItsLibraryKnows) {
  for (const ClientLanguage language : kAll) {
    const v2::Settings answer =
        AnswerSettings(PushConsumer(), language, SettingsDefaults(), std::nullopt);
    const v2::RetryPolicy& policy = answer.backoff_policy();
    EXPECT_EQ(policy.max_attempts(), 17);
    if (language == ClientLanguage::kNodeJs) {
      EXPECT_TRUE(policy.has_exponential_backoff());
    } else {
      ASSERT_EQ(policy.customized_backoff().next_size(), 18);
      EXPECT_EQ(ToMillis(policy.customized_backoff().next(0)), 1'000);
      EXPECT_EQ(ToMillis(policy.customized_backoff().next(17)), 7'200'000);
    }
    EXPECT_EQ(answer.subscription().receive_batch_size(), 32);
    EXPECT_EQ(ToMillis(answer.subscription().long_polling_timeout()), 20'000);
    EXPECT_FALSE(answer.subscription().fifo());
  }
}

TEST(AnswerSettings, NodeIsKnownByItsUserAgentToo) {
  v2::Settings asked = PushConsumer();
  asked.mutable_user_agent()->set_language(v2::NODE_JS);
  const v2::Settings answer =
      AnswerSettings(asked, ClientLanguage::kUnknown, SettingsDefaults(), std::nullopt);
  EXPECT_TRUE(answer.backoff_policy().has_exponential_backoff());
}

TEST(AnswerSettings, TheGroupDecidesOrderAndRetries) {
  store::GroupConfig group;
  group.orderly = true;
  group.retry_max_times = 2;
  const v2::Settings answer =
      AnswerSettings(PushConsumer(), ClientLanguage::kJava, SettingsDefaults(), group);
  EXPECT_TRUE(answer.subscription().fifo());
  EXPECT_EQ(answer.backoff_policy().max_attempts(), 3);
}

TEST(AnswerSettings, TheGroupsOwnRetryPolicyIsTold) {
  store::GroupConfig group;
  group.retry_max_times = 3;
  group.retry_policy.delays_ms = {2'000, 9'000};
  v2::RetryPolicy policy =
      AnswerSettings(PushConsumer(), ClientLanguage::kGo, SettingsDefaults(), group)
          .backoff_policy();
  ASSERT_EQ(policy.customized_backoff().next_size(), 2);
  EXPECT_EQ(ToMillis(policy.customized_backoff().next(1)), 9'000);
  policy = AnswerSettings(PushConsumer(), ClientLanguage::kNodeJs, SettingsDefaults(), group)
               .backoff_policy();
  EXPECT_EQ(ToMillis(policy.exponential_backoff().initial()), 2'000);
  EXPECT_EQ(ToMillis(policy.exponential_backoff().max()), 9'000);

  group.retry_policy = {store::RetryPolicy::Kind::kExponential, {}, 100, 1'000, 3};
  for (const ClientLanguage language : kAll) {
    policy = AnswerSettings(PushConsumer(), language, SettingsDefaults(), group).backoff_policy();
    EXPECT_EQ(policy.max_attempts(), 4);
    if (language == ClientLanguage::kPython || language == ClientLanguage::kCpp) {
      ASSERT_EQ(policy.customized_backoff().next_size(), 4);
      EXPECT_EQ(ToMillis(policy.customized_backoff().next(0)), 100);
      EXPECT_EQ(ToMillis(policy.customized_backoff().next(2)), 900);
      EXPECT_EQ(ToMillis(policy.customized_backoff().next(3)), 1'000);
    } else {
      EXPECT_EQ(ToMillis(policy.exponential_backoff().initial()), 100);
      EXPECT_EQ(ToMillis(policy.exponential_backoff().max()), 1'000);
      EXPECT_EQ(policy.exponential_backoff().multiplier(), 3);
    }
  }
}

TEST(AnswerSettings, ALiteConsumersQuotasAreNotZero) {
  v2::Settings asked = PushConsumer();
  asked.set_client_type(v2::LITE_PUSH_CONSUMER);
  const v2::Settings answer =
      AnswerSettings(asked, ClientLanguage::kPython, SettingsDefaults(), std::nullopt);
  EXPECT_GT(answer.subscription().lite_subscription_quota(), 0);
  EXPECT_GT(answer.subscription().max_lite_topic_size(), 0);
}

TEST(CheckSettings, NeitherProducerNorConsumerAndIllegalNamesAreRefused) {
  EXPECT_TRUE(CheckSettings(Producer()).ok());
  EXPECT_TRUE(CheckSettings(PushConsumer()).ok());
  EXPECT_FALSE(CheckSettings(v2::Settings()).ok());
  v2::Settings bad_topic = Producer();
  bad_topic.mutable_publishing()->mutable_topics(0)->set_name("a b");
  EXPECT_FALSE(CheckSettings(bad_topic).ok());
  v2::Settings no_group = PushConsumer();
  no_group.mutable_subscription()->clear_group();
  EXPECT_FALSE(CheckSettings(no_group).ok());
  v2::Settings bad_filter = PushConsumer();
  v2::SubscriptionEntry* entry = bad_filter.mutable_subscription()->add_subscriptions();
  entry->mutable_topic()->set_name("orders");
  entry->mutable_expression()->set_type(v2::SQL);
  entry->mutable_expression()->set_expression("a >");
  EXPECT_EQ(store::ReasonOf(CheckSettings(bad_filter)), store::Reason::kIllegalFilter);
  entry->mutable_expression()->set_expression("a > 1");
  EXPECT_TRUE(CheckSettings(bad_filter).ok());
}

}  // namespace
}  // namespace raftmq::broker
