// Dead letters on their way back: each once, whoever asks and however often.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/sql_filter.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Redrive : public testing::Test {
 protected:
  Redrive() : member_(&log_, "redrive_test", {}) {
    member_.Start();
    member_.MakeTopic("T");
    GroupConfig group;
    group.name = "G";
    group.retry_max_times = 0;
    CHECK(member_.UpdateGroup(group).ok());
  }

  // Sends it, fails it, and sees it dead-lettered. Returns its message id.
  std::string Kill(NewMessage message) {
    const std::string id = message.message_id, topic = message.topic;
    CHECK(member_.Send({std::move(message)}).ok());
    CHECK_EQ(member_.ReceiveBodies("G", topic).size(), 1u);
    CHECK(member_.Nack("G", topic, member_.last_deliveries()[0].receipt_handle).ok());
    CHECK_EQ(member_.DeadLetterDue(), 1);
    return id;
  }
  std::string Kill(const std::string& body, const std::string& tag = "",
                   const std::string& topic = "T") {
    return Kill(MessageOf(topic, body, tag));
  }

  static RedriveRequest All() {
    RedriveRequest request;
    request.group = "G";
    return request;
  }

  // The ids of those that were sent, or would be.
  std::vector<std::string> Ids(const RedriveRequest& request, StoreHarness* member = nullptr) {
    const auto result = (member == nullptr ? member_ : *member).Redrive(request);
    CHECK(result.ok()) << result.status();
    std::vector<std::string> ids;
    for (const RedrivenMessage& message : result->messages) {
      if (message.status.ok()) ids.push_back(message.message_id);
    }
    return ids;
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Redrive, AMessageComesBackAsItWasAndOnce) {
  NewMessage message = MessageOf("T", "body", "red");
  message.keys = {"k1", "k2"};
  message.user_properties = {{"amount", "7"}};
  message.message_group = "x";
  const std::string id = Kill(std::move(message));
  const auto first = member_.Redrive(All());
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->messages.size(), 1u);
  const RedrivenMessage& sent = first->messages[0];
  EXPECT_TRUE(sent.status.ok()) << sent.status;
  EXPECT_EQ(sent.message_id, id);
  EXPECT_EQ(sent.origin_topic, "T");
  EXPECT_EQ(sent.reason, "MAX_ATTEMPTS");
  EXPECT_EQ(sent.attempts, 1);
  EXPECT_EQ(sent.keys, "k1 k2");
  EXPECT_EQ(sent.tag, "red");
  EXPECT_EQ(first->next, QueueOffset(1));
  EXPECT_EQ(first->end, QueueOffset(1));

  ASSERT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("body"));
  EXPECT_EQ(member_.last_deliveries()[0].attempt, 1);
  const auto record = ParseRecord(member_.last_deliveries()[0].record);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->unique_key(), id);
  EXPECT_EQ(record->tags(), "red");
  EXPECT_EQ(record->keys(), "k1 k2");
  EXPECT_EQ(record->properties.Get("amount"), "7");
  EXPECT_EQ(record->properties.Get("__SHARDINGKEY"), "x");
  EXPECT_EQ(record->reconsume_times, 0);
  EXPECT_EQ(record->physical_offset, sent.position);
  EXPECT_EQ(record->for_group(), "G");
  record->properties.ForEach([](std::string_view name, std::string_view) {
    EXPECT_FALSE(name.starts_with("DLQ_")) << name;
  });

  const auto second = member_.Redrive(All());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_THAT(second->messages, IsEmpty());
  EXPECT_EQ(second->done_before, 1);
}

TEST_F(Redrive, WhatWasDoneStaysDoneOverRestartsAndChangesOfLeader) {
  const std::string a = Kill("a"), b = Kill("b"), c = Kill("c"), d = Kill("d");
  RedriveRequest one = All();
  one.max_messages = 1;
  one.from = QueueOffset(1);
  EXPECT_THAT(Ids(one), ElementsAre(b));
  one.from = QueueOffset(3);
  EXPECT_THAT(Ids(one), ElementsAre(d));
  EXPECT_THAT(member_.Dump(), HasSubstr("redriven %DLQ%G 0 from=1 to=2"));
  member_.Stop();  // from its rows
  member_.Start();
  one.from = QueueOffset(2);
  EXPECT_THAT(Ids(one), ElementsAre(c)) << "and the ranges become one";
  EXPECT_THAT(member_.Dump(), HasSubstr("redriven %DLQ%G 0 from=1 to=4"));
  member_.Stop();
  member_.Start();
  const std::string dump = member_.Dump();
  EXPECT_THAT(dump, HasSubstr("redriven %DLQ%G 0 from=1 to=4"));
  member_.Kill();  // from the log
  StoreHarness other(&log_, "redrive_test_other", {});
  other.Start();
  EXPECT_THAT(Ids(All(), &other), ElementsAre(a));
  EXPECT_THAT(Ids(All(), &other), IsEmpty());
  EXPECT_EQ(other.ReceiveBodies("readers", "T").size(), 4u) << "not the four again";
  EXPECT_THAT(other.ReceiveBodies("G", "T"), ElementsAre("b", "d", "c", "a"));
}

TEST_F(Redrive, ADryRunShowsThemAndSendsNone) {
  const std::string a = Kill("a"), b = Kill("b");
  RedriveRequest dry = All();
  dry.dry_run = true;
  EXPECT_THAT(Ids(dry), ElementsAre(a, b));
  EXPECT_THAT(Ids(dry), ElementsAre(a, b));
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  EXPECT_THAT(Ids(All()), ElementsAre(a, b));
  EXPECT_THAT(Ids(dry), IsEmpty());
}

TEST_F(Redrive, OnlyWhatIsWantedGoesBackAndTheRestStays) {
  member_.MakeTopic("U");
  NewMessage keyed = MessageOf("T", "keyed");
  keyed.keys = {"k1", "k2"};
  const std::string by_key = Kill(std::move(keyed));
  NewMessage rich = MessageOf("T", "rich");
  rich.user_properties = {{"amount", "500"}};
  const std::string by_sql = Kill(std::move(rich));
  const std::string by_tag = Kill("tagged", "red");
  const std::string by_topic = Kill("other", "", "U");
  const std::string by_id = Kill("id");
  member_.clock().AdvanceMillis(10'000);
  const int64_t later_ms = member_.clock().WallMillis();
  const std::string by_time = Kill("late");
  member_.clock().AdvanceMillis(10'000);
  const std::string rest = Kill("rest");

  RedriveRequest key = All();
  key.key = "k2";
  EXPECT_THAT(Ids(key), ElementsAre(by_key));
  RedriveRequest id = All();
  id.key = by_id;
  EXPECT_THAT(Ids(id), ElementsAre(by_id));
  RedriveRequest sql = All();
  sql.filter.sql = *SqlFilter::Parse("amount > 100");
  EXPECT_THAT(Ids(sql), ElementsAre(by_sql));
  RedriveRequest tag = All();
  tag.filter.tags = {"blue", "red"};
  EXPECT_THAT(Ids(tag), ElementsAre(by_tag));
  RedriveRequest topic = All();
  topic.origin_topic = "U";
  EXPECT_THAT(Ids(topic), ElementsAre(by_topic));
  RedriveRequest time = All();
  time.begin_ms = later_ms;
  time.end_ms = later_ms + 5'000;
  EXPECT_THAT(Ids(time), ElementsAre(by_time));
  const auto last = member_.Redrive(All());
  ASSERT_EQ(last->messages.size(), 1u);
  EXPECT_EQ(last->messages[0].message_id, rest);
  EXPECT_EQ(last->done_before, 6);
}

TEST_F(Redrive, AMessageWhoseTopicIsGoneStaysDeadUntilItIsThere) {
  member_.MakeTopic("U");
  const std::string id = Kill("a", "", "U");
  ASSERT_TRUE(member_.DeleteTopic("U").ok());
  const auto result = member_.Redrive(All());
  ASSERT_EQ(result->messages.size(), 1u);
  EXPECT_EQ(ReasonOf(result->messages[0].status), Reason::kTopicNotFound);
  member_.MakeTopic("U");
  EXPECT_THAT(Ids(All()), ElementsAre(id));
}

TEST_F(Redrive, OneThatCannotBeReadIsAFailureOfItsOwnAndThoseBehindItGoBack) {
  const std::string a = Kill("a");
  Kill("rotten");
  const std::string c = Kill("c");
  const auto letter = member_.store().Pull("%DLQ%G", QueueId(0), QueueOffset(1), 1, 1);
  ASSERT_TRUE(letter.ok()) << letter.status();
  log_.Corrupt(ParseRecord(letter->at(0))->physical_offset + 90);
  RedriveRequest request = All();
  request.dry_run = true;
  EXPECT_THAT(Ids(request), ElementsAre(a, c));
  const auto result = member_.Redrive(All());
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->messages.size(), 3u);
  EXPECT_EQ(result->messages[1].offset, QueueOffset(1));
  EXPECT_EQ(result->messages[1].dead_ms, 0);
  EXPECT_TRUE(absl::IsDataLoss(result->messages[1].status)) << result->messages[1].status;
  EXPECT_EQ(result->next, QueueOffset(3));
  EXPECT_EQ(result->unwanted, 0);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("a", "c"));

  const auto again = member_.Redrive(All());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->messages.size(), 1u) << "it stays dead, and is told each time";
  EXPECT_EQ(again->done_before, 2);
}

TEST_F(Redrive, OfTwoAtOnceOneSendsIt) {
  const std::string id = Kill("a");
  member_.ledger().set_synchronous(false);
  std::vector<absl::Status> ended;
  for (int i = 0; i < 2; ++i) {
    member_.store().dead_letters().Redrive(All(), [&](absl::StatusOr<RedriveResult> result) {
      ASSERT_TRUE(result.ok()) << result.status();
      ended.push_back(result->messages.at(0).status);
    });
  }
  member_.Settle();
  ASSERT_EQ(ended.size(), 2u);
  EXPECT_NE(ended[0].ok(), ended[1].ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("a"));
}

// ---- Only the group that failed gets it

class RedriveForOneGroup : public Redrive {
 protected:
  RedriveForOneGroup() {
    GroupConfig orderly;
    orderly.name = "orderly";
    orderly.orderly = true;
    CHECK(member_.UpdateGroup(orderly).ok());
    // All have begun on the topic before.
    for (const char* group : {"G", "plain", "tagged", "sql", "orderly"}) {
      member_.ReceiveBodies(group, "T");
    }
  }

  // All that the group gets, acked.
  std::vector<std::string> Drain(const std::string& group, std::vector<std::string> tags = {},
                                 std::shared_ptr<const SqlFilter> sql = nullptr) {
    std::vector<std::string> all;
    for (;;) {
      ReceiveRequest request;
      request.group = group;
      request.topic = "T";
      request.filter.tags = tags;
      request.filter.sql = sql;
      request.client_id = "tester";
      auto result = member_.Receive(std::move(request));
      CHECK(result.ok()) << result.status();
      std::vector<std::string> handles;
      for (const Delivery& delivery : result->deliveries) {
        all.push_back(BodyOf(delivery.record));
        handles.push_back(delivery.receipt_handle);
      }
      if (handles.empty()) return all;
      for (const absl::Status& acked : member_.Ack(group, "T", handles)) CHECK(acked.ok()) << acked;
    }
  }

  // Offsets that the group has not passed.
  int64_t Lag(const std::string& group) {
    int64_t lag = 0;
    const auto rows = member_.store().GroupProgress(group);
    CHECK(rows.ok()) << rows.status();
    for (const QueueProgress& row : *rows) lag += row.max_offset - row.commit_offset;
    return lag;
  }

  // Dead letters come back between ordinary messages.
  void SendBackBetweenOthers() {
    for (const char* body : {"a", "b", "c"}) Kill(body, "red");
    for (const char* group : {"plain", "tagged", "sql", "orderly"}) Drain(group);
    member_.SendOne("T", "before", "red");
    RedriveRequest two = All();
    two.max_messages = 2;
    CHECK_EQ(Ids(two).size(), 2u);
    member_.SendOne("T", "between", "red");
    CHECK_EQ(Ids(All()).size(), 1u);
    member_.SendOne("T", "behind", "red");
  }
  void ExpectThatTheOthersGetNone() {
    const auto ordinary = ElementsAre("before", "between", "behind");
    EXPECT_THAT(Drain("plain"), ordinary);
    EXPECT_THAT(Drain("tagged", {"red"}), ordinary);
    EXPECT_THAT(Drain("sql", {}, *SqlFilter::Parse("TAGS = 'red'")), ordinary);
    EXPECT_THAT(Drain("orderly"), ordinary);
    for (const char* group : {"plain", "tagged", "sql", "orderly"})
      EXPECT_EQ(Lag(group), 0) << group;
  }
};

TEST_F(RedriveForOneGroup, AllOthersPassOverItHoweverTheyReceive) {
  SendBackBetweenOthers();
  EXPECT_THAT(Drain("G"), ElementsAre("before", "a", "b", "between", "c", "behind"));
  EXPECT_EQ(Lag("G"), 0);
  ExpectThatTheOthersGetNone();
}

TEST_F(RedriveForOneGroup, AlsoAfterARestartAndWhenAllIsMadeAnewFromTheLog) {
  SendBackBetweenOthers();
  member_.Stop();
  member_.Start();
  EXPECT_THAT(member_.Dump(), HasSubstr(" for_one=4-8"));
  EXPECT_THAT(Drain("plain"), ElementsAre("before", "between", "behind"));
  member_.Kill();
  StoreHarness other(&log_, "redrive_one_group_other", {});
  other.Start();
  EXPECT_THAT(other.Dump(), HasSubstr(" for_one=4-8"));
  EXPECT_THAT(other.ReceiveBodies("tagged", "T", 32, {"red"}),
              ElementsAre("before", "between", "behind"));
  EXPECT_THAT(other.ReceiveBodies("G", "T", 32, {"red"}),
              ElementsAre("before", "a", "b", "between", "c", "behind"));
}

TEST_F(RedriveForOneGroup, TheGroupsOwnFilterDecidesAsEver) {
  SendBackBetweenOthers();
  EXPECT_THAT(Drain("G", {"blue"}), IsEmpty());
  EXPECT_EQ(Lag("G"), 0);
}

TEST_F(RedriveForOneGroup, AnOrderlyGroupGetsItBackToo) {
  GroupConfig orderly;
  orderly.name = "G";
  orderly.orderly = true;
  orderly.retry_max_times = 0;
  ASSERT_TRUE(member_.UpdateGroup(orderly).ok());
  SendBackBetweenOthers();
  EXPECT_THAT(Drain("G"), ElementsAre("before", "a", "b", "between", "c", "behind"));
  ExpectThatTheOthersGetNone();
}

TEST_F(RedriveForOneGroup, WhatFailsAgainIsADeadLetterForWhoeverReadsThose) {
  const std::string id = Kill("a");
  ASSERT_THAT(Ids(All()), ElementsAre(id));
  ASSERT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("a"));
  ASSERT_TRUE(member_.Nack("G", "T", member_.last_deliveries()[0].receipt_handle).ok());
  ASSERT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_THAT(member_.ReceiveBodies("undertakers", "%DLQ%G"), ElementsAre("a", "a"));
  EXPECT_THAT(Ids(All()), ElementsAre(id)) << "the second one";
  EXPECT_THAT(Drain("G"), ElementsAre("a"));
  EXPECT_THAT(Drain("plain"), ElementsAre("a")) << "the first time";
}

TEST_F(RedriveForOneGroup, WhoseDeadLetterItIsTheQueuesNameSays) {
  Kill("a");
  NewMessage old = MessageOf("%DLQ%G", "old");
  old.user_properties = {{"DLQ_ORIGIN_TOPIC", "T"}};
  ASSERT_TRUE(member_.Send({std::move(old)}).ok());
  ASSERT_EQ(Ids(All()).size(), 2u);
  EXPECT_THAT(Drain("G"), ElementsAre("a", "old"));
  EXPECT_THAT(Drain("plain"), ElementsAre("a")) << "the first time";
}

TEST_F(RedriveForOneGroup, AWindowOfNothingElseIsPassedInOneReceive) {
  for (int i = 0; i < 5; ++i) Kill("x");
  Drain("plain");
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(Ids(All()).size(), 5u);
    for (const std::string& body : member_.ReceiveBodies("G", "T")) ASSERT_EQ(body, "x");
    for (const Delivery& delivery : std::vector(member_.last_deliveries())) {
      ASSERT_TRUE(member_.Nack("G", "T", delivery.receipt_handle).ok());
    }
    ASSERT_EQ(member_.DeadLetterDue(), 5);
  }
  member_.SendOne("T", "ordinary");
  EXPECT_THAT(member_.ReceiveBodies("plain", "T"), ElementsAre("ordinary"));
}

TEST_F(RedriveForOneGroup, WithoutTheGroupItStaysDead) {
  const std::string id = Kill("a");
  ASSERT_TRUE(member_.DeleteGroup("G").ok());
  const auto result = member_.Redrive(All());
  ASSERT_EQ(result->messages.size(), 1u);
  EXPECT_EQ(ReasonOf(result->messages[0].status), Reason::kGroupNotFound);
  GroupConfig from_the_end;
  from_the_end.name = "G";
  from_the_end.consume_from = ConsumeFrom::kLast;
  ASSERT_TRUE(member_.UpdateGroup(from_the_end).ok());
  EXPECT_EQ(ReasonOf(member_.Redrive(All())->messages.at(0).status), Reason::kOffsetNotFound)
      << "it would begin behind it";
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  EXPECT_THAT(Ids(All()), ElementsAre(id));
  EXPECT_THAT(Drain("G"), ElementsAre("a"));
}

TEST_F(Redrive, AGroupWithoutDeadLettersSaysSo) {
  EXPECT_EQ(ReasonOf(member_.Redrive(All()).status()), Reason::kTopicNotFound);
  Kill("a");
  RedriveRequest beyond = All();
  beyond.queue = QueueId(1);
  EXPECT_EQ(ReasonOf(member_.Redrive(beyond).status()), Reason::kTopicNotFound);
}

TEST_F(Redrive, ADeletedDeadLetterQueueBeginsAnew) {
  Kill("a");
  ASSERT_EQ(Ids(All()).size(), 1u);
  ASSERT_TRUE(member_.DeleteTopic("%DLQ%G").ok());
  EXPECT_THAT(member_.Dump(), Not(HasSubstr("redriven")));
  member_.ReceiveBodies("G", "T");
  ASSERT_TRUE(member_.Nack("G", "T", member_.last_deliveries()[0].receipt_handle).ok());
  ASSERT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_EQ(Ids(All()).size(), 1u);
}

}  // namespace
}  // namespace raftmq::store
