// Sending: which queue, which offset, what is refused, what the caller is told.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;

class Send : public testing::Test {
 protected:
  Send() : member_(&log_, "send_test", {}) { member_.Start(); }

  Reason RefusalOf(std::vector<NewMessage> messages) {
    const auto result = member_.Send(std::move(messages));
    CHECK(!result.ok());
    return ReasonOf(result.status()).value();
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Send, TellsQueueOffsetPositionAndStoreTimeOfWhatItStored) {
  member_.MakeTopic("T");
  NewMessage message = MessageOf("T", "hello", "blue");
  message.keys = {"k1", "k2"};
  message.user_properties = {{"color", "dark"}};
  const auto results = member_.Send({message});
  ASSERT_TRUE(results.ok()) << results.status();
  const SendResult& result = results->at(0);
  EXPECT_EQ(result.message_id, message.message_id);
  EXPECT_EQ(result.queue, QueueId(0));
  EXPECT_EQ(result.offset, QueueOffset(0));
  EXPECT_EQ(result.store_ms, member_.clock().WallMillis());
  const auto bytes = member_.store().RecordAt(result.position);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto record = ParseRecord(*bytes);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->body, "hello");
  EXPECT_EQ(record->topic, "T");
  EXPECT_EQ(record->tags(), "blue");
  EXPECT_EQ(record->keys(), "k1 k2");
  EXPECT_EQ(record->unique_key(), message.message_id);
  EXPECT_EQ(record->properties.Get("color"), "dark");
  EXPECT_EQ(record->physical_offset, result.position);
  EXPECT_EQ(record->store_timestamp_ms, result.store_ms);
  EXPECT_EQ(record->born_host.ToString(), "10.0.0.1:5555");
}

TEST_F(Send, MessagesThatMayGoAnywhereTakeTheQueuesInTurn) {
  member_.MakeTopic("T", 4);
  member_.MakeTopic("U", 4);
  std::vector<int> count(4);
  for (int i = 0; i < 40; ++i) {
    ++count[member_.SendOne("T", "x").queue.value()];
    member_.SendOne("U", "x");  // has turns of its own
  }
  EXPECT_THAT(count, ElementsAre(10, 10, 10, 10));
}

TEST_F(Send, AMessageGroupAlwaysGoesToOneQueueInOrder) {
  member_.MakeTopic("F", 4, TopicType::kFifo);
  for (const std::string group : {"order-1", "order-2", "order-3"}) {
    std::optional<QueueId> queue;
    int64_t last = -1;
    for (int i = 0; i < 8; ++i) {
      NewMessage message = MessageOf("F", StrCat(group, "/", i));
      message.type = TopicType::kFifo;
      message.message_group = group;
      const auto results = member_.Send({message});
      ASSERT_TRUE(results.ok()) << results.status();
      if (!queue.has_value()) queue = results->at(0).queue;
      EXPECT_EQ(results->at(0).queue, *queue);
      EXPECT_GT(results->at(0).offset.value(), last);
      last = results->at(0).offset.value();
    }
  }
}

TEST_F(Send, ABatchIsStoredInOrderInOneQueueAndOneEntry) {
  member_.MakeTopic("T", 4);
  const LogIndex before = log_.last_index();
  std::vector<NewMessage> batch;
  for (int i = 0; i < 32; ++i) batch.push_back(MessageOf("T", StrCat("m", i)));
  const auto results = member_.Send(batch);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(log_.last_index(), before + 1);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(results->at(i).queue, results->at(0).queue);
    EXPECT_EQ(results->at(i).offset, QueueOffset(i));
  }
  const auto records =
      member_.store().Pull("T", results->at(0).queue, QueueOffset(0), 100, 1 << 20);
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 32u);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(BodyOf(records->at(i)), StrCat("m", i));
}

TEST_F(Send, SendsThatWaitTogetherShareAnEntryAndAreNumberedOneByOne) {
  member_.MakeTopic("T");
  member_.ledger().set_synchronous(false);
  const LogIndex before = log_.last_index();
  std::vector<int64_t> offsets;
  for (int i = 0; i < 10; ++i) {
    member_.store().Send({MessageOf("T", "x")}, dledger::AckLevel::kMajorityDisk,
                         [&](auto results) {
                           ASSERT_TRUE(results.ok());
                           offsets.push_back(results->at(0).offset.value());
                         });
  }
  member_.Settle();
  EXPECT_EQ(log_.last_index(), before + 1);
  EXPECT_THAT(offsets, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST_F(Send, RefusesWhatTheTopicDoesNotTake) {
  EXPECT_EQ(RefusalOf({MessageOf("nowhere", "x")}), Reason::kTopicNotFound);
  member_.MakeTopic("T");
  member_.MakeTopic("F", 1, TopicType::kFifo);
  NewMessage fifo = MessageOf("T", "x");
  fifo.type = TopicType::kFifo;
  EXPECT_EQ(RefusalOf({fifo}), Reason::kTypeConflict);
  EXPECT_EQ(RefusalOf({MessageOf("F", "x")}), Reason::kTypeConflict);
  NewMessage elsewhere = MessageOf("T", "x");
  elsewhere.queue = QueueId(1);
  EXPECT_EQ(RefusalOf({elsewhere}), Reason::kQueueNotFound);
  NewMessage delayed = MessageOf("T", "x");
  delayed.type = TopicType::kDelay;
  EXPECT_EQ(RefusalOf({delayed}), Reason::kTypeConflict);
  TopicConfig closed;
  closed.name = "T";
  closed.perm = kPermRead;
  ASSERT_TRUE(member_.UpdateTopic(closed).ok());
  EXPECT_EQ(RefusalOf({MessageOf("T", "x")}), Reason::kForbidden);
}

TEST_F(Send, RefusesWhatIsNoProperSend) {
  member_.MakeTopic("T");
  member_.MakeTopic("U");
  EXPECT_EQ(RefusalOf({}), Reason::kMessageCorrupted);
  EXPECT_EQ(RefusalOf({MessageOf("T", "x"), MessageOf("U", "x")}), Reason::kMessageCorrupted);
  NewMessage tag = MessageOf("T", "x",
                             std::string("a\x02"
                                         "b"));
  EXPECT_EQ(RefusalOf({tag}), Reason::kIllegalTag);
  NewMessage property = MessageOf("T", "x");
  property.user_properties["p"] = std::string(40'000, 'p');
  EXPECT_EQ(RefusalOf({property}), Reason::kPropertiesTooLarge);
  NewMessage large = MessageOf("T", std::string(2 << 20, 'b'));  // frames have 1 MiB here
  EXPECT_EQ(RefusalOf({large}), Reason::kBodyTooLarge);
  EXPECT_EQ(member_.store().Range("T", QueueId(0))->max, QueueOffset(0)) << "nothing was stored";
}

TEST_F(Send, AMemberThatDoesNotLeadSaysSo) {
  member_.MakeTopic("T");
  member_.ledger().LoseLeadership();
  EXPECT_EQ(RefusalOf({MessageOf("T", "x")}), Reason::kNotLeader);
}

TEST_F(Send, AHostNameAsBornHostIsKeptAsAProperty) {
  member_.MakeTopic("T");
  NewMessage message = MessageOf("T", "x");
  message.born_host = "client.example.com:77";
  const auto results = member_.Send({message});
  ASSERT_TRUE(results.ok()) << results.status();
  const auto bytes = member_.store().RecordAt(results->at(0).position);
  EXPECT_EQ(ParseRecord(*bytes)->properties.Get(property::kBornHost), "client.example.com:77");
}

TEST_F(Send, LogTimeNeverGoesBackWhenTheWallClockDoes) {
  member_.MakeTopic("T");
  const int64_t first = member_.SendOne("T", "a").store_ms;
  member_.clock().JumpWall(-60'000);
  EXPECT_EQ(member_.SendOne("T", "b").store_ms, first);
  member_.clock().JumpWall(120'000);
  EXPECT_EQ(member_.SendOne("T", "c").store_ms, first + 60'000);
}

}  // namespace
}  // namespace raftmq::store
