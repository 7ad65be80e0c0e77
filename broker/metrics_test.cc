// What Prometheus is told of a store.
#include "broker/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/testing/store_harness.h"

namespace raftmq::broker {
namespace {

using store::SendResult;
using store::TopicType;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kNode[] = R"({cluster="c",node_type="broker",node_id="b-n0")";

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() : member_(&log_, "metrics_test", {}) { member_.Start(); }

  std::string Text() {
    if (metrics_ == nullptr) {
      Metrics::Options options;
      options.cluster = "c";
      options.node_id = "b-n0";
      options.max_half_messages = 3;
      options.max_rows = 3;
      metrics_ = std::make_unique<Metrics>(options, Deps());
    }
    return metrics_->Text();
  }
  MetricsDeps Deps() {
    MetricsDeps deps;
    deps.counters = &member_.store().counters();
    deps.read_gauges = [this](size_t max_rows) { return member_.store().ReadGauges(max_rows); };
    deps.waiting = &member_.store().waiting();
    deps.retention = &member_.store().retention();
    deps.ledger = &member_.ledger();
    deps.clock = &member_.clock();
    deps.count_clients = [this] { return clients_; };
    deps.connections = [] { return 7; };
    return deps;
  }
  SendResult Send(const std::string& topic, TopicType type, int64_t delay_ms = 0) {
    store::NewMessage message = store::MessageOf(topic, "body");
    message.type = type;
    if (delay_ms > 0) message.deliver_ms = member_.clock().WallMillis() + delay_ms;
    auto sent = member_.Send({message});
    CHECK(sent.ok()) << sent.status();
    return sent->at(0);
  }
  // A line of the exposition: name, labels beside the node's, value.
  static std::string Line(const std::string& name, const std::string& labels,
                          const std::string& value) {
    return StrCat("\n", name, kNode, labels.empty() ? "" : ",", labels, "} ", value, "\n");
  }

  store::FakeLog log_;
  store::StoreHarness member_;
  std::map<ClientRegistry::Kind, int64_t> clients_;
  std::unique_ptr<Metrics> metrics_;
};

TEST_F(MetricsTest, OpenTransactionsAreToldByTopicAndThoseThatAreTooManyTogether) {
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  member_.MakeTopic("Y", 1, TopicType::kTransaction);
  const SendResult first = Send("X", TopicType::kTransaction);
  Send("X", TopicType::kTransaction);
  Send("Y", TopicType::kTransaction);
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_half_messages", R"(topic="X")", "2")));
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_half_messages", R"(topic="Y")", "1")));
  EXPECT_THAT(Text(), Not(HasSubstr(R"(topic=""})")));
  Send("Y", TopicType::kTransaction);
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_half_messages", R"(topic="")", "1")));
  member_.clock().AdvanceMillis(700);
  ASSERT_TRUE(member_.EndTransaction("X", first, true).ok());
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_half_messages", R"(topic="X")", "1")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_half_messages", R"(topic="Y")", "2")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_commit_messages_total", R"(topic="X")", "1")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_finish_message_latency_sum", "", "700")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_finish_message_latency_bucket", R"(le="100")", "0")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_finish_message_latency_bucket", R"(le="1000")", "1")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_finish_message_latency_bucket", R"(le="+Inf")", "1")));
}

TEST_F(MetricsTest, HowLateTheEarliestDelayedMessageIs) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  Send("D", TopicType::kDelay, 1'000);
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_timing_messages", "", "1")));
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_timer_dequeue_latency", "", "0")));
  member_.clock().AdvanceMillis(1'250);
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_timer_dequeue_latency", "", "250")));
  ASSERT_EQ(member_.DeliverDue(), 1);
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_timer_dequeue_total", R"(topic="D")", "1")));
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_timer_dequeue_latency", "", "0")));
}

TEST_F(MetricsTest, TopicsAndGroupsHaveRowsOfTheirOwn) {
  member_.MakeTopic("T", 2);
  for (int i = 0; i < 3; ++i) member_.SendOne("T", "x");
  ASSERT_EQ(member_.ReceiveBodies("G", "T", 1).size(), 1u);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_messages_in_total",
                                   R"(topic="T",message_type="NORMAL")", "3")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_consumer_lag_messages",
                                   R"(topic="T",consumer_group="G")", "3")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_consumer_inflight_messages",
                                   R"(topic="T",consumer_group="G")", "1")));
  EXPECT_THAT(text, HasSubstr(Line("raftmq_messages_delivered_total", "", "1")));
}

TEST_F(MetricsTest, BytesInAndOutAreThoseOfTheRecords) {
  member_.MakeTopic("T");
  member_.SendOne("T", "x");
  const auto size = member_.store().Pull("T", QueueId(0), QueueOffset(0), 1, 1'000)->at(0).size();
  ASSERT_EQ(member_.ReceiveBodies("G", "T", 1).size(), 1u);
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_throughput_in_total", "", StrCat(size))));
  EXPECT_THAT(Text(), HasSubstr(Line("rocketmq_throughput_out_total", "", StrCat(2 * size))))
      << "pulled, and received";
}

TEST_F(MetricsTest, ConnectedClientsAreToldByGroupAndLanguageAndTooManyGroupsTogether) {
  clients_ = {{{"", ClientLanguage::kJava}, 4},   {{"g1", ClientLanguage::kJava}, 1},
              {{"g2", ClientLanguage::kJava}, 2}, {{"g3", ClientLanguage::kJava}, 3},
              {{"g4", ClientLanguage::kJava}, 5}, {{"g5", ClientLanguage::kJava}, 6}};
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_producer_connections", R"(language="JAVA")", "4")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_consumer_connections",
                                   R"(consumer_group="g3",language="JAVA")", "3")));
  EXPECT_THAT(text, HasSubstr(Line("rocketmq_consumer_connections",
                                   R"(consumer_group="",language="JAVA")", "11")));
  EXPECT_THAT(text, HasSubstr(Line("raftmq_connections", "", "7")));
}

}  // namespace
}  // namespace raftmq::broker
