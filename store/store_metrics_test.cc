// What a store counts, and how its gauges stand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/names.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::Pair;

class StoreMetrics : public testing::Test {
 protected:
  StoreMetrics() : member_(&log_, "store_metrics_test", {}) { member_.Start(); }

  SendResult Send(const std::string& topic, TopicType type, int64_t delay_ms = 0) {
    NewMessage message = MessageOf(topic, "body");
    message.type = type;
    if (delay_ms > 0) message.deliver_ms = member_.clock().WallMillis() + delay_ms;
    auto sent = member_.Send({message});
    CHECK(sent.ok()) << sent.status();
    return sent->at(0);
  }
  const StoreCounters& counters() { return member_.store().counters(); }
  StoreGauges Gauges(size_t max_rows = 100) { return member_.store().ReadGauges(max_rows); }

  // In the bucket that ends at `bound_ms`, and in all.
  static std::pair<int64_t, int64_t> CountsOf(const TimeCounts& counts, int64_t bound_ms) {
    const TimeCounts::Snapshot snapshot = counts.Take();
    int64_t all = 0, there = -1;
    for (size_t i = 0; i < snapshot.counts.size(); ++i) {
      all += snapshot.counts[i];
      if (i < TimeCounts::kBoundsMs.size() && TimeCounts::kBoundsMs[i] == bound_ms) {
        there = snapshot.counts[i];
      }
    }
    return {there, all};
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(StoreMetrics, EachEndOfATransactionIsCountedOnceWithItsTime) {
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  const SendResult kept = Send("X", TopicType::kTransaction);
  const SendResult dropped = Send("X", TopicType::kTransaction);
  const SendResult forgotten = Send("X", TopicType::kTransaction);
  EXPECT_EQ(Gauges().open_transactions, 3);
  member_.clock().AdvanceMillis(700);
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(member_.EndTransaction("X", kept, true).ok());
    ASSERT_TRUE(member_.EndTransaction("X", dropped, false).ok());
  }
  auto open = member_.store().waiting().ListTransactions(LogPosition(0), 10);
  ASSERT_EQ(open.size(), 1u);
  open[0].half.checks = 1;
  ASSERT_TRUE(member_.SetChecks(open).ok());
  ASSERT_TRUE(member_.ExpireTransaction(forgotten.position).ok());
  EXPECT_EQ(counters().committed, 1);
  EXPECT_EQ(counters().rolled_back, 1);
  const NamedCounts::Name x("X", "");
  EXPECT_THAT(counters().committed_of.Take(), ElementsAre(Pair(x, 1)));
  EXPECT_THAT(counters().rolled_back_of.Take(), ElementsAre(Pair(x, 1)));
  EXPECT_EQ(counters().checks, 1);
  EXPECT_EQ(counters().given_up, 1);
  EXPECT_EQ(CountsOf(counters().finish_time, 1'000), std::make_pair(int64_t{2}, int64_t{2}));
  EXPECT_EQ(counters().finish_time.Take().sum_ms, 1'400);
  EXPECT_EQ(Gauges().open_transactions, 0);
}

TEST_F(StoreMetrics, DelayedMessagesAreCountedAndHowLateTheyWere) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  Send("D", TopicType::kDelay, 1'000);
  const SendResult recalled = Send("D", TopicType::kDelay, 2'000);
  const SendResult third = Send("D", TopicType::kDelay, 9'000);
  EXPECT_EQ(counters().timers_added, 3);
  EXPECT_EQ(Gauges().timers, 3);
  ASSERT_TRUE(member_.Recall("D", recalled.recall_handle).ok());
  member_.clock().AdvanceMillis(1'050);
  ASSERT_EQ(member_.DeliverDue(), 1);
  EXPECT_EQ(counters().timers_delivered, 1);
  const NamedCounts::Name d("D", "");
  EXPECT_THAT(counters().timers_added_of.Take(), ElementsAre(Pair(d, 3)));
  EXPECT_THAT(counters().timers_delivered_of.Take(), ElementsAre(Pair(d, 1)));
  EXPECT_EQ(counters().timers_dropped, 1);
  EXPECT_EQ(CountsOf(counters().timer_lateness, 100), std::make_pair(int64_t{1}, int64_t{1}));
  EXPECT_EQ(Gauges().timers, 1);
  EXPECT_EQ(Gauges().earliest_timer_ms, third.due_ms);
}

TEST_F(StoreMetrics, DeadLettersAndDeliveriesAreCounted) {
  member_.MakeTopic("T");
  GroupConfig group;
  group.name = "G";
  group.retry_max_times = 0;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  member_.SendOne("T", "poison");
  ASSERT_EQ(member_.ReceiveBodies("G", "T").size(), 1u);
  EXPECT_EQ(counters().delivered, 1);
  member_.clock().AdvanceMillis(60'000);
  ASSERT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_EQ(counters().dead_letters, 1);
  EXPECT_THAT(counters().dead_letters_of.Take(), ElementsAre(Pair(NamedCounts::Name("T", "G"), 1)));
}

TEST_F(StoreMetrics, ARollbackOfATransactionFromBeforeTheStartIsOfNoKnownTopic) {
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  const SendResult half = Send("X", TopicType::kTransaction);
  member_.Stop();
  member_.Start();
  ASSERT_TRUE(member_.EndTransaction("X", half, false).ok());
  EXPECT_THAT(counters().rolled_back_of.Take(), ElementsAre(Pair(NamedCounts::Name("", ""), 1)));
}

TEST(NamedCountsTest, NamesThatAreTooManyCountTogether) {
  NamedCounts counts;
  for (size_t i = 0; i < NamedCounts::kMaxNames + 5; ++i) counts.Add(StrCat("t", i));
  counts.Add("t0");
  const auto taken = counts.Take();
  EXPECT_EQ(taken.at({"t0", ""}), 2);
  EXPECT_EQ(taken.at({"", ""}), 5);
  EXPECT_EQ(taken.size(), NamedCounts::kMaxNames + 1);
}

TEST(ExpiredMessages, AReadFromAnOffsetThatExpiredIsCounted) {
  FakeLog log;
  StoreHarness::Options options;
  options.ledger.segment_size = 4'096;
  options.store.dedupe_messages = 0;
  StoreHarness small(&log, "store_metrics_expired", options);
  small.Start();
  small.MakeTopic("T");
  for (int i = 0; i < 300; ++i) small.SendOne("T", std::string(200, 'x'));
  Retention::Limits limits;
  limits.max_bytes = 3 * 4'096;
  while (small.Expire(limits)->moved) {
  }
  const int64_t min = small.store().Range("T", QueueId(0))->min.value();
  ASSERT_GT(min, 0);
  EXPECT_EQ(small.store().counters().expired, min);
  EXPECT_EQ(small.store().counters().offset_gone, 0);
  EXPECT_FALSE(small.store().Pull("T", QueueId(0), QueueOffset(0), 1, 1 << 20).ok());
  EXPECT_EQ(small.store().counters().offset_gone, 1);
}

TEST_F(StoreMetrics, GaugesTellWhatIsStoredAndWhatIsBehind) {
  member_.MakeTopic("A", 2);
  member_.MakeTopic("B");
  for (int i = 0; i < 5; ++i) member_.SendOne("A", "x");
  ASSERT_TRUE(member_.UpdateOffset("G", "A", 0, 0).ok());
  ASSERT_EQ(member_.ReceiveBodies("H", "A", 2).size(), 2u);
  const StoreGauges gauges = Gauges();
  ASSERT_EQ(gauges.topics.size(), 2u);
  EXPECT_EQ(gauges.topics[0].name, "A");
  EXPECT_EQ(gauges.topics[0].messages_in, 5);
  EXPECT_EQ(gauges.topics[1].messages_in, 0);
  EXPECT_EQ(gauges.topic_count, 2);
  EXPECT_EQ(gauges.group_count, 2);
  ASSERT_EQ(gauges.backlogs.size(), 2u);
  EXPECT_EQ(gauges.backlogs[1].group, "H");
  EXPECT_EQ(gauges.backlogs[1].lag, 5);
  EXPECT_EQ(gauges.backlogs[1].inflight, 2);
  member_.AckLast("H", "A");
  EXPECT_EQ(Gauges().backlogs[1].lag, 3);
  EXPECT_EQ(Gauges().backlogs[1].inflight, 0);
  EXPECT_EQ(Gauges(1).topics.size(), 1u);
  EXPECT_EQ(Gauges(1).rows_left_out, 2);
}

TEST_F(StoreMetrics, AMemberThatDoesNotLeadCountsNothingThatItApplies) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  Send("D", TopicType::kDelay, 1'000);
  EXPECT_EQ(counters().timers_added, 1);
  member_.Kill();  // what is replayed was counted by the process that is gone
  member_.Start();
  EXPECT_EQ(Gauges().timers, 1);
  EXPECT_EQ(counters().timers_added, 0);
}

}  // namespace
}  // namespace raftmq::store
