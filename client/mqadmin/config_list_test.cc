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
       "topicFilterType":"SINGLE_TAG","attributes":{"+message.type":"FIFO","+ack.level":"all"}},
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

}  // namespace
}  // namespace raftmq::mqadmin
