#include "client/mqadmin/config_list.h"

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;
using testing::HasSubstr;
using testing::SizeIs;

TEST(ConfigList, TopicsAsRocketMqWritesThem) {
  const auto topics = ParseTopicList(R"([
      {"topicName":"orders","readQueueNums":4,"writeQueueNums":2,"perm":6,"order":false,
       "topicFilterType":"SINGLE_TAG","attributes":{"+message.type":"FIFO","+ack.level":"all",
       "+reserve.time":"72"}},
      {"topicName":"bills"}])");
  ASSERT_TRUE(topics.ok()) << topics.status();
  ASSERT_THAT(*topics, SizeIs(2));
  const pb::UpdateTopicRequest& orders = (*topics)[0];
  EXPECT_EQ(orders.name(), "orders");
  EXPECT_EQ(orders.read_queues(), 4);
  EXPECT_EQ(orders.write_queues(), 2);
  EXPECT_EQ(orders.perm(), 6);
  EXPECT_EQ(orders.type(), pb::FIFO);
  EXPECT_EQ(orders.ack_level(), "all");
  EXPECT_EQ(orders.reserve_hours(), 72);
  EXPECT_FALSE((*topics)[1].has_read_queues()) << "what is left out stays as it is";
}

TEST(ConfigList, GroupsAsRocketMqWritesThem) {
  const auto groups = ParseGroupList(R"([
      {"groupName":"billing","consumeEnable":true,"consumeMessageOrderly":true,"retryMaxTimes":3,
       "consumeBroadcastEnable":true,"groupRetryPolicy":{"type":"CUSTOMIZED",
       "customizedRetryPolicy":{"next":[1000]}}}, {"groupName":"audit"}])");
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_THAT(*groups, SizeIs(2));
  const pb::UpdateGroupRequest& billing = (*groups)[0];
  EXPECT_TRUE(billing.consume_enable() && billing.orderly());
  EXPECT_EQ(billing.retry_max_times(), 3);
  EXPECT_EQ(billing.retry_policy().customized().next_ms(0), 1'000);
  EXPECT_FALSE((*groups)[1].has_orderly());
}

TEST(ConfigList, ErrorsNameTheItem) {
  const struct {
    const char* text;
    const char* says;
  } kCases[] = {
      {"", "no JSON list"},
      {"{}", "no JSON list"},
      {"[1]", "item 1 of the list is no object"},
      {R"([{"topicName":"a"},{"topicName":""}])", "item 2 of the list has no topicName"},
      {R"([{"topicName":"a","perm":"6"}])", "item 1 of the list has a perm"},
      {R"([{"topicName":"a","readQueueNums":99999999999}])", "has a readQueueNums"},
      {R"([{"topicName":"a","attributes":[]}])", "attributes that are no object"},
      {R"([{"topicName":"a","attributes":{"+message.type":"ODD"}}])", "+message.type=ODD"},
  };
  for (const auto& c : kCases) {
    const auto topics = ParseTopicList(c.text);
    ASSERT_EQ(topics.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(std::string(Message(topics.status())), HasSubstr(c.says));
  }
  for (const char* text : {R"([{"topicName":"a"}])", R"([{"groupName":"a","consumeEnable":1}])",
                           R"([{"groupName":"a","groupRetryPolicy":{"type":"ODD"}}])"}) {
    EXPECT_EQ(ParseGroupList(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ConfigList, WhatWasExportedIsReadBackWithNothingLost) {
  pb::Topic topic;
  topic.set_name("orders");
  topic.set_read_queues(4);
  topic.set_write_queues(2);
  topic.set_perm(6);
  topic.set_type(pb::LITE);
  topic.set_ack_level("all");
  topic.set_lite_expiration_minutes(30);
  pb::Group group;
  group.set_name("billing");
  group.set_orderly(true);
  group.set_retry_max_times(3);
  group.set_consume_from(pb::CONSUME_FROM_TIMESTAMP);
  group.set_consume_timestamp_ms(1'700'000'000'000);
  group.mutable_retry_policy()->mutable_exponential()->set_initial_ms(5);
  group.mutable_retry_policy()->mutable_exponential()->set_max_ms(50);
  group.mutable_retry_policy()->mutable_exponential()->set_multiplier(3);
  group.set_lite_exclusive(true);
  group.set_lite_client_quota(7);
  const std::map<std::string, pb::Topic> topics = {{"orders", topic}};
  const std::map<std::string, pb::Group> groups = {{"billing", group}};
  const std::string text = MetadataJson(&topics, &groups, 5);

  const auto read_topics = ParseTopicList(text);
  ASSERT_TRUE(read_topics.ok()) << read_topics.status();
  ASSERT_THAT(*read_topics, SizeIs(1));
  const pb::UpdateTopicRequest& orders = (*read_topics)[0];
  EXPECT_EQ(orders.name(), "orders");
  EXPECT_EQ(orders.read_queues(), 4);
  EXPECT_EQ(orders.write_queues(), 2);
  EXPECT_EQ(orders.perm(), 6);
  EXPECT_EQ(orders.type(), pb::LITE);
  EXPECT_EQ(orders.ack_level(), "all");
  EXPECT_EQ(orders.lite_expiration_minutes(), 30);

  const auto read_groups = ParseGroupList(text);
  ASSERT_TRUE(read_groups.ok()) << read_groups.status();
  ASSERT_THAT(*read_groups, SizeIs(1));
  const pb::UpdateGroupRequest& billing = (*read_groups)[0];
  EXPECT_TRUE(billing.has_consume_enable());
  EXPECT_FALSE(billing.consume_enable());
  EXPECT_TRUE(billing.orderly());
  EXPECT_EQ(billing.retry_max_times(), 3);
  EXPECT_EQ(billing.consume_from(), pb::CONSUME_FROM_TIMESTAMP);
  EXPECT_EQ(billing.consume_timestamp_ms(), 1'700'000'000'000);
  EXPECT_EQ(billing.retry_policy().exponential().multiplier(), 3);
  EXPECT_TRUE(billing.lite_exclusive());
  EXPECT_EQ(billing.lite_client_quota(), 7);
}

TEST(ConfigList, ATableThatWasNotExportedIsNotThere) {
  const std::map<std::string, pb::Topic> topics;
  const auto groups = ParseGroupList(MetadataJson(&topics, nullptr, 5));
  ASSERT_FALSE(groups.ok());
  EXPECT_THAT(std::string(groups.status().message()), HasSubstr("subscriptionGroupTable"));
}

}  // namespace
}  // namespace raftmq::mqadmin
