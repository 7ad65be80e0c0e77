// Reading by place, time and key, and what a deleted topic leaves.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Queries : public testing::Test {
 protected:
  Queries() : member_(&log_, "store_queries_test", {}) {
    member_.Start();
    member_.MakeTopic("T");
  }

  std::vector<std::string> ByKey(const std::string& topic, const std::string& key,
                                 int64_t begin = 0, int64_t end = INT64_MAX, int max = 32) {
    const auto records = member_.store().QueryByKey(topic, key, begin, end, max);
    CHECK(records.ok()) << records.status();
    std::vector<std::string> bodies;
    for (const std::string& record : *records) bodies.push_back(BodyOf(record));
    return bodies;
  }

  SendResult SendWithKeys(const std::string& topic, const std::string& body,
                          std::vector<std::string> keys) {
    NewMessage message = MessageOf(topic, body);
    message.keys = std::move(keys);
    const auto results = member_.Send({message});
    CHECK(results.ok()) << results.status();
    return results->at(0);
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Queries, PullGivesWhatFitsAndAlwaysAtLeastOne) {
  for (int i = 0; i < 5; ++i) member_.SendOne("T", std::string(1000, 'a' + i));
  MessageStore& store = member_.store();
  EXPECT_EQ(store.Pull("T", QueueId(0), QueueOffset(1), 2, 1 << 20)->size(), 2u);
  EXPECT_EQ(store.Pull("T", QueueId(0), QueueOffset(1), 10, 1)->size(), 1u);
  EXPECT_EQ(store.Pull("T", QueueId(0), QueueOffset(1), 10, 2'500)->size(), 2u);
  EXPECT_EQ(BodyOf(store.Pull("T", QueueId(0), QueueOffset(4), 10, 1 << 20)->at(0))[0], 'e');
  EXPECT_THAT(*store.Pull("T", QueueId(0), QueueOffset(5), 10, 1 << 20), IsEmpty());
  EXPECT_EQ(ReasonOf(store.Pull("T", QueueId(0), QueueOffset(6), 1, 1).status()),
            Reason::kOffsetNotFound);
  EXPECT_EQ(ReasonOf(store.Pull("T", QueueId(1), QueueOffset(0), 1, 1).status()),
            Reason::kQueueNotFound);
  EXPECT_EQ(ReasonOf(store.Pull("U", QueueId(0), QueueOffset(0), 1, 1).status()),
            Reason::kTopicNotFound);
}

TEST_F(Queries, OffsetByTimeIsTheFirstMessageStoredThenOrLater) {
  std::vector<int64_t> times;
  for (int i = 0; i < 10; ++i) {
    times.push_back(member_.SendOne("T", "x").store_ms);
    member_.clock().AdvanceMillis(100);
  }
  MessageStore& store = member_.store();
  EXPECT_EQ(store.OffsetByTime("T", QueueId(0), 0).value(), QueueOffset(0));
  EXPECT_EQ(store.OffsetByTime("T", QueueId(0), times[4]).value(), QueueOffset(4));
  EXPECT_EQ(store.OffsetByTime("T", QueueId(0), times[4] + 1).value(), QueueOffset(5));
  EXPECT_EQ(store.OffsetByTime("T", QueueId(0), times[9] + 1).value(), QueueOffset(10));
  member_.MakeTopic("U");
  EXPECT_EQ(store.OffsetByTime("U", QueueId(0), times[4]).value(), QueueOffset(0));
}

TEST_F(Queries, RangeTellsBothEndsAndTheLastStoreTime) {
  EXPECT_EQ(member_.store().Range("T", QueueId(0))->max, QueueOffset(0));
  const SendResult sent = member_.SendOne("T", "x");
  const auto range = member_.store().Range("T", QueueId(0));
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->min, QueueOffset(0));
  EXPECT_EQ(range->max, QueueOffset(1));
  EXPECT_EQ(range->last_store_ms, sent.store_ms);
}

TEST_F(Queries, AKeyFindsItsMessagesOnlyNewestFirst) {
  SendWithKeys("T", "a", {"k1", "k2"});
  member_.clock().AdvanceMillis(1'000);
  const SendResult b = SendWithKeys("T", "b", {"k1"});
  SendWithKeys("T", "c", {"Aa"});
  SendWithKeys("T", "d", {"BB"});  // the same hash as Aa
  EXPECT_THAT(ByKey("T", "k1"), ElementsAre("b", "a"));
  EXPECT_THAT(ByKey("T", "k2"), ElementsAre("a"));
  EXPECT_THAT(ByKey("T", "Aa"), ElementsAre("c"));
  EXPECT_THAT(ByKey("T", "BB"), ElementsAre("d"));
  EXPECT_THAT(ByKey("T", b.message_id), ElementsAre("b")) << "the message id is a key";
  EXPECT_THAT(ByKey("T", "k1", b.store_ms), ElementsAre("b"));
  EXPECT_THAT(ByKey("T", "k1", 0, b.store_ms - 1), ElementsAre("a"));
  EXPECT_THAT(ByKey("T", "k1", 0, INT64_MAX, 1), ElementsAre("b"));
  EXPECT_THAT(ByKey("T", "k"), IsEmpty());
}

TEST_F(Queries, APositionOutOfTheBlueHoldsNoMessage) {
  const SendResult sent = member_.SendOne("T", "x");
  MessageStore& store = member_.store();
  EXPECT_TRUE(store.RecordAt(sent.position).ok());
  for (const int64_t p : {int64_t{-1}, int64_t{0}, sent.position.value() + 4, int64_t{1} << 50}) {
    EXPECT_EQ(ReasonOf(store.RecordAt(LogPosition(p)).status()), Reason::kMessageNotFound) << p;
  }
}

TEST_F(Queries, GroupProgressHasARowForEachQueueWithItsLag) {
  member_.MakeTopic("U", 2);
  const SendResult first = member_.SendOne("T", "a");
  member_.clock().AdvanceMillis(10);
  member_.SendOne("T", "b");
  member_.SendOne("U", "c");
  member_.ReceiveBodies("G", "T", 1);
  member_.AckLast("G", "T");
  member_.ReceiveBodies("G", "T", 1);
  member_.ReceiveBodies("G", "U", 1);
  const auto rows = member_.store().GroupProgress("G");
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 3u);
  const QueueProgress& t = rows->at(0);
  EXPECT_EQ(t.topic, "T");
  EXPECT_EQ(t.max_offset, QueueOffset(2));
  EXPECT_EQ(t.commit_offset, QueueOffset(1));
  EXPECT_EQ(t.next_offset, QueueOffset(2));
  EXPECT_EQ(t.inflight, 1);
  EXPECT_EQ(t.last_store_ms, first.store_ms);
  EXPECT_EQ(rows->at(1).topic, "U");
  EXPECT_EQ(rows->at(1).last_store_ms, 0);
  EXPECT_EQ(ReasonOf(member_.store().GroupProgress("H").status()), Reason::kGroupNotFound);
}

TEST_F(Queries, ADeletedTopicIsGoneAndItsSuccessorStartsAtZero) {
  SendWithKeys("T", "old", {"k"});
  member_.ReceiveBodies("G", "T");
  const std::string handle = member_.last_deliveries()[0].receipt_handle;
  ASSERT_TRUE(member_.DeleteTopic("T").ok());
  EXPECT_EQ(ReasonOf(member_.DeleteTopic("T")), Reason::kTopicNotFound);
  EXPECT_FALSE(member_.store().FindTopic("T").ok());
  EXPECT_THAT(*member_.store().GroupProgress("G"), IsEmpty());
  EXPECT_FALSE(*member_.fs().Exists(StrCat(member_.dir(), "/consumequeue/T")));

  for (int restart = 0; restart < 2; ++restart) {
    if (restart == 0) {
      member_.MakeTopic("T");
    } else {
      member_.Kill();
      member_.Start();
    }
    EXPECT_EQ(member_.store().Range("T", QueueId(0))->max, QueueOffset(0));
    EXPECT_THAT(ByKey("T", "k"), IsEmpty());
    EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  }
  SendWithKeys("T", "new", {"k"});
  EXPECT_EQ(ReasonOf(member_.Ack("G", "T", {handle})[0]), Reason::kInvalidReceiptHandle);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("new"));
  EXPECT_THAT(ByKey("T", "k"), ElementsAre("new"));
}

TEST_F(Queries, ADeletedGroupStartsAnew) {
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  member_.AckLast("G", "T");
  ASSERT_TRUE(member_.DeleteGroup("G").ok());
  EXPECT_EQ(ReasonOf(member_.DeleteGroup("G")), Reason::kGroupNotFound);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
}

TEST_F(Queries, TopicsAndGroupsAreListedByName) {
  member_.MakeTopic("A", 2);
  GroupConfig group;
  group.name = "G";
  group.retry_max_times = 3;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  const auto topics = member_.store().ListTopics();
  ASSERT_EQ(topics.size(), 2u);
  EXPECT_EQ(topics[0].name, "A");
  EXPECT_EQ(topics[0].read_queues, 2);
  EXPECT_GT(topics[0].created_index, topics[1].created_index);
  EXPECT_EQ(member_.store().ListGroups().at(0).retry_max_times, 3);
}

TEST_F(Queries, ATopicThatMakesNoSenseIsRefused) {
  TopicConfig topic;
  for (const std::string name : {"", "no good", "TBW102"}) {
    topic.name = name;
    EXPECT_EQ(ReasonOf(member_.UpdateTopic(topic)), Reason::kIllegalTopic) << name;
  }
  topic.name = "U";
  topic.write_queues = 0;
  EXPECT_EQ(ReasonOf(member_.UpdateTopic(topic)), Reason::kIllegalTopic);
  topic.write_queues = 100'000;
  EXPECT_EQ(ReasonOf(member_.UpdateTopic(topic)), Reason::kIllegalTopic);
  topic.write_queues = 8;
  topic.type = static_cast<TopicType>(99);
  EXPECT_EQ(ReasonOf(member_.UpdateTopic(topic)), Reason::kIllegalTopic);
}

}  // namespace
}  // namespace raftmq::store
