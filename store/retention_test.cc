// Messages expire on all members alike; what something still waits for stays, and is delivered.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/consume_queue_set.h"
#include "store/message_index.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/reason.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kSegment = 4096;

class RetentionTest : public testing::Test {
 protected:
  static StoreHarness::Options Options() {
    StoreHarness::Options options;
    options.store.queue_entries_per_file = 8;
    options.store.index_slots = 16;
    options.store.index_entries = 32;
    options.ledger.segment_size = kSegment;
    return options;
  }
  RetentionTest() : member_(&log_, "retention_test", Options()) {
    member_.Start();
    member_.MakeTopic("T", 1);
  }

  // Messages "m<i>" of topic T, about `count` times 400 bytes of log.
  void Fill(int count) {
    for (int i = 0; i < count; ++i, ++sent_) {
      NewMessage message = MessageOf("T", StrCat("m", sent_, std::string(200, ' ')), "tag");
      message.keys = {StrCat("k", sent_)};
      CHECK(member_.Send({message}).ok());
    }
  }

  void ReserveHours(const std::string& name, int32_t hours) {
    TopicConfig topic = *member_.store().FindTopic(name);
    topic.reserve_hours = hours;
    ASSERT_TRUE(member_.UpdateTopic(topic).ok());
  }

  // Everything but the last `bytes`.
  Retention::Outcome ExpireAllBut(int64_t bytes) {
    Retention::Limits limits;
    limits.max_bytes = bytes;
    for (;;) {
      auto outcome = member_.Expire(limits);
      CHECK(outcome.ok()) << outcome.status();
      if (!outcome->more) return *outcome;
    }
  }

  QueueOffset MinOf(StoreHarness& member, const std::string& topic) {
    const auto range = member.store().Range(topic, QueueId(0));
    CHECK(range.ok()) << range.status();
    return range->min;
  }

  static std::string NameOf(const std::string& body) { return body.substr(0, body.find(' ')); }
  std::vector<std::string> Receive(const std::string& group, const std::string& topic, int max) {
    std::vector<std::string> names;
    for (const std::string& body : member_.ReceiveBodies(group, topic, max)) {
      names.push_back(NameOf(body));
    }
    return names;
  }

  std::string QueuesOf(StoreHarness& member) {
    ConsumeQueueSet::Options options;
    options.entries_per_file = 8;
    auto set = ConsumeQueueSet::Open(&member.fs(), StrCat(member.dir(), "/consumequeue"), options);
    CHECK(set.ok()) << set.status();
    return (*set)->DumpLogical().value();
  }
  std::string IndexOf(StoreHarness& member) {
    MessageIndex::Options options;
    options.slots = 16;
    options.entries = 32;
    auto index = MessageIndex::Open(&member.fs(), StrCat(member.dir(), "/index"), options);
    CHECK(index.ok()) << index.status();
    return (*index)->DumpLogical().value();
  }

  FakeLog log_;
  StoreHarness member_;
  int sent_ = 0;
};

TEST_F(RetentionTest, WhatIsBeyondTheBytesExpiresInWholeSegments) {
  Fill(100);
  const LogPosition end = log_.end();
  const Retention::Outcome outcome = ExpireAllBut(3 * kSegment);
  EXPECT_TRUE(outcome.moved);
  EXPECT_EQ(outcome.held_up_by, kNoMember);
  EXPECT_EQ(outcome.min_position.value() % kSegment, 0);
  EXPECT_LE(end - outcome.min_position, 3 * kSegment);
  EXPECT_GT(end - outcome.min_position, 2 * kSegment);

  const QueueOffset min = MinOf(member_, "T");
  EXPECT_GT(min, QueueOffset(50));
  const auto first = member_.store().Pull("T", QueueId(0), min, 1, 1 << 20);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(NameOf(BodyOf(first->at(0))), StrCat("m", min));
  EXPECT_GE(ParseRecord(first->at(0))->physical_offset, outcome.min_position);
  const auto gone = member_.store().Pull("T", QueueId(0), min - 1, 1, 1 << 20);
  EXPECT_EQ(ReasonOf(gone.status()), Reason::kOffsetNotFound);
  EXPECT_EQ(ReasonOf(member_.store().RecordAt(outcome.min_position - 1).status()),
            Reason::kMessageNotFound);
  EXPECT_THAT(*member_.store().QueryByKey("T", "k3", 0, INT64_MAX, 10), IsEmpty());
  EXPECT_EQ(member_.store().QueryByKey("T", "k99", 0, INT64_MAX, 10)->size(), 1u);

  EXPECT_FALSE(ExpireAllBut(3 * kSegment).moved) << "there is nothing more to do";
}

TEST_F(RetentionTest, TheLogGoesOnlyWhenWhatTheEntryChangedIsOnDisk) {
  Fill(100);
  const LogPosition min = ExpireAllBut(3 * kSegment).min_position;
  EXPECT_EQ(member_.log_begin(), LogPosition(0));
  ASSERT_TRUE(member_.store().Flush().ok());
  EXPECT_EQ(member_.log_begin(), min);
  EXPECT_EQ(Receive("late", "T", 1), std::vector{StrCat("m", MinOf(member_, "T"))});
}

TEST_F(RetentionTest, OldMessagesExpireByTheirAge) {
  Fill(50);
  member_.clock().Advance(3'600'000'000'000);
  Fill(50);
  Retention::Limits limits;
  limits.reserved_ms = 7'200'000;
  EXPECT_FALSE(member_.Expire(limits)->moved);
  limits.reserved_ms = 1'800'000;
  while (member_.Expire(limits)->moved) {
  }
  // All of the old ones that share no segment with younger ones.
  EXPECT_GT(MinOf(member_, "T"), QueueOffset(38));
  EXPECT_LE(MinOf(member_, "T"), QueueOffset(50));
}

// Messages that a repeated send is known by, "d<first>" to "d<end - 1>".
class RetentionOfSends : public RetentionTest {
 protected:
  static constexpr int64_t kWindowMs = 600'000;

  static SendResult Send(StoreHarness& member, int i) {
    NewMessage message = MessageOf("T", StrCat("d", i, std::string(200, ' ')));
    message.message_id = StrCat("id", i);
    message.client_id = "producer";
    message.born_ms = 1'700'000'000'000;
    const auto sent = member.Send({message});
    CHECK(sent.ok()) << sent.status();
    return sent->at(0);
  }
  void Burst(int first, int end) {
    for (int i = first; i < end; ++i) Send(member_, i);
  }
  Retention::Outcome ExpireOlderThan(int64_t ms) {
    Retention::Limits limits;
    limits.reserved_ms = ms;
    for (;;) {
      auto outcome = member_.Expire(limits);
      CHECK(outcome.ok()) << outcome.status();
      if (!outcome->moved) return *outcome;
    }
  }
};

TEST_F(RetentionOfSends, AfterABurstAndSilenceTheyExpireByTheirAge) {
  Burst(0, 50);
  member_.clock().AdvanceMillis(kWindowMs);
  EXPECT_EQ(ExpireOlderThan(1'000).min_position, LogPosition(0)) << "the window is not over yet";
  member_.clock().AdvanceMillis(1);
  const LogPosition min = ExpireOlderThan(1'000).min_position;
  EXPECT_GT(MinOf(member_, "T"), QueueOffset(38)) << "all but the segment that is written";
  ASSERT_TRUE(member_.store().Flush().ok());
  EXPECT_EQ(member_.log_begin(), min) << "their bytes go, too";
}

TEST_F(RetentionOfSends, AfterABurstAndSilenceTheyExpireByTheBytes) {
  Burst(0, 50);
  member_.clock().AdvanceMillis(kWindowMs);
  EXPECT_FALSE(ExpireAllBut(kSegment).moved);
  member_.clock().AdvanceMillis(1);
  EXPECT_TRUE(ExpireAllBut(kSegment).moved);
  EXPECT_GT(MinOf(member_, "T"), QueueOffset(38));
}

TEST_F(RetentionOfSends, NothingGoesIfTheClockIsSetBackBetweenPlanAndDecision) {
  Burst(0, 50);
  member_.clock().AdvanceMillis(kWindowMs + 1);
  Retention::Limits limits;
  limits.max_bytes = kSegment;
  std::optional<absl::StatusOr<Retention::Outcome>> outcome;
  member_.ledger().set_synchronous(false);
  member_.store().retention().Expire(limits, [&](auto ended) { outcome = std::move(ended); });
  member_.runner().RunDue();
  ASSERT_EQ(member_.ledger().waiting(), 1u) << "it is planned";
  member_.clock().JumpWall(-1);
  member_.Settle();
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(ReasonOf(outcome->status()), Reason::kBusy) << outcome->status();
  EXPECT_TRUE(Send(member_, 0).repeated) << "it is in the window again";
  member_.clock().JumpWall(1);
  EXPECT_TRUE(member_.Expire(limits)->moved);
}

TEST_F(RetentionOfSends, WhatTheWindowHasIsKnownAlsoAfterARestartAndAtAnotherMember) {
  Burst(0, 50);
  member_.clock().AdvanceMillis(kWindowMs);
  Burst(50, 80);
  member_.clock().AdvanceMillis(kWindowMs);
  const LogPosition min = ExpireAllBut(1).min_position;
  EXPECT_GT(min, LogPosition(0));
  ASSERT_TRUE(member_.store().Flush().ok());
  ASSERT_EQ(member_.log_begin(), min);
  const auto all_are_known = [](StoreHarness& member) {
    for (int i = 50; i < 80; ++i) EXPECT_TRUE(Send(member, i).repeated) << i;
    EXPECT_FALSE(Send(member, 0).repeated);
  };
  member_.Kill();
  member_.Start();
  all_are_known(member_);
  member_.ledger().LoseLeadership();
  StoreHarness other(&log_, "retention_test_other", Options());
  other.Start();
  for (int i = 50; i < 80; ++i) EXPECT_TRUE(Send(other, i).repeated) << i;
}

TEST_F(RetentionTest, WhatIsOlderThanItsTopicsReserveTimeIsGoneForConsumersAndTheLogStays) {
  ReserveHours("T", 1);
  member_.MakeTopic("U", 1);
  member_.SendOne("U", "u0");
  Fill(10);
  ASSERT_THAT(Receive("slow", "T", 2), ElementsAre("m0", "m1"));
  Retention::Limits limits;
  limits.by_topic = true;
  EXPECT_EQ(member_.Expire(limits)->queues_moved, 0) << "nothing is old yet";
  member_.clock().Advance(7'200'000'000'000);
  const int64_t young_ms = member_.clock().WallMillis();
  Fill(5);
  EXPECT_EQ(member_.Expire({.reserved_ms = 0})->queues_moved, 0) << "not asked for";
  const auto outcome = member_.Expire(limits);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->queues_moved, 1);
  EXPECT_FALSE(outcome->moved);
  EXPECT_EQ(outcome->min_position, LogPosition(0));

  EXPECT_EQ(MinOf(member_, "T"), QueueOffset(10));
  EXPECT_EQ(MinOf(member_, "U"), QueueOffset(0));
  EXPECT_THAT(Receive("late", "T", 2), ElementsAre("m10", "m11"));
  EXPECT_EQ(ReasonOf(member_.store().Pull("T", QueueId(0), QueueOffset(9), 1, 1'000).status()),
            Reason::kOffsetNotFound);
  EXPECT_EQ(*member_.store().OffsetByTime("T", QueueId(0), 0), QueueOffset(10));
  EXPECT_EQ(*member_.store().OffsetByTime("T", QueueId(0), young_ms), QueueOffset(10));
  EXPECT_EQ(member_.store().retention().counters().missed_messages, 8);
  ASSERT_TRUE(member_.store().Flush().ok());
  EXPECT_EQ(member_.log_begin(), LogPosition(0));
  EXPECT_EQ(member_.Expire(limits)->queues_moved, 0) << "there is nothing more to do";

  // Also when their log goes later, what is in flight comes again.
  Fill(90);
  ExpireAllBut(3 * kSegment);
  EXPECT_THAT(Receive("slow", "T", 2), ElementsAre("m0", "m1"));

  StoreHarness other(&log_, "retention_test_other", Options());
  other.Start(/*lead=*/false);
  EXPECT_EQ(other.Dump(), member_.Dump());
}

TEST_F(RetentionTest, ATopicsReserveTimeIsForgottenWhenItIsTakenBack) {
  ReserveHours("T", 1);
  Fill(1);
  ReserveHours("T", -1);
  member_.clock().Advance(7'200'000'000'000);
  Retention::Limits limits;
  limits.by_topic = true;
  EXPECT_EQ(member_.Expire(limits)->queues_moved, 0);
  TopicConfig topic;
  topic.name = "T";
  topic.reserve_hours = 0;
  EXPECT_EQ(ReasonOf(member_.UpdateTopic(topic)), Reason::kIllegalTopic);
}

TEST_F(RetentionTest, LiteTopicsGoByTheReserveTimeOfTheirParent) {
  member_.MakeTopic("P", 1, TopicType::kLite);
  ReserveHours("P", 1);
  const std::string lite = LiteTopicName("P", "a");
  const auto send = [&](const std::string& body) {
    NewMessage message = MessageOf(lite, body);
    message.type = TopicType::kLite;
    ASSERT_TRUE(member_.Send({message}).ok());
  };
  send("old");
  member_.clock().Advance(7'200'000'000'000);
  send("young");
  Retention::Limits limits;
  limits.by_topic = true;
  EXPECT_EQ(member_.Expire(limits)->queues_moved, 1);
  EXPECT_EQ(MinOf(member_, lite), QueueOffset(1));
}

TEST_F(RetentionTest, NothingExpiresThatAVoterMayLack) {
  Fill(100);
  member_.ledger().set_held_by_all(LogPosition(2 * kSegment + 5));
  const Retention::Outcome outcome = ExpireAllBut(3 * kSegment);
  EXPECT_EQ(outcome.min_position, LogPosition(2 * kSegment));
  EXPECT_EQ(outcome.held_up_by, MemberId(2));
}

TEST_F(RetentionTest, AGroupThatIsBehindGoesOnAtTheFirstMessageThatIsLeft) {
  Fill(10);
  ASSERT_THAT(Receive("slow", "T", 2), ElementsAre("m0", "m1"));
  member_.AckLast("slow", "T");
  Fill(90);
  ExpireAllBut(3 * kSegment);
  const QueueOffset min = MinOf(member_, "T");
  EXPECT_EQ(member_.store().retention().counters().missed_messages, min.value() - 2);
  EXPECT_EQ(*member_.store().CommitOffset("slow", "T", QueueId(0)), min);
  EXPECT_THAT(Receive("slow", "T", 1), ElementsAre(StrCat("m", min)));
  // And nobody is sent back to what is gone.
  ASSERT_TRUE(member_.UpdateOffset("slow", "T", 0, 3).ok());
  EXPECT_EQ(*member_.store().CommitOffset("slow", "T", QueueId(0)), min);
}

TEST_F(RetentionTest, LeasedMessagesComeAgainAndAreGoneWhenAllGroupsAreDone) {
  Fill(10);
  ASSERT_THAT(Receive("a", "T", 3), ElementsAre("m0", "m1", "m2"));
  const std::string ack_of_a = member_.last_deliveries()[1].receipt_handle;
  ASSERT_THAT(Receive("b", "T", 2), ElementsAre("m0", "m1"));
  Fill(90);
  ExpireAllBut(3 * kSegment);
  ASSERT_TRUE(member_.store().Flush().ok());
  EXPECT_EQ(member_.store().retention().counters().kept_records, 3);
  // Also by a process that did not see them go.
  member_.Kill();
  member_.Start();
  EXPECT_EQ(member_.store().retention().counters().kept_records, 3);

  EXPECT_TRUE(member_.Ack("a", "T", {ack_of_a})[0].ok());
  EXPECT_EQ(member_.store().retention().counters().kept_records, 3) << "group b has it still";
  member_.clock().Advance(120'000'000'000);
  EXPECT_THAT(Receive("a", "T", 2), ElementsAre("m0", "m2"));
  member_.AckLast("a", "T");
  EXPECT_THAT(Receive("b", "T", 2), ElementsAre("m0", "m1"));
  member_.AckLast("b", "T");
  EXPECT_EQ(member_.store().retention().counters().kept_records, 0);
  EXPECT_EQ(member_.store().retention().counters().kept_bytes, 0);
  EXPECT_THAT(Receive("b", "T", 1), ElementsAre(StrCat("m", MinOf(member_, "T"))));
}

TEST_F(RetentionTest, AMessageWhoseLastAttemptFailedIsDeadLetteredThoughItExpired) {
  GroupConfig group;
  group.name = "G";
  group.retry_max_times = 0;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  Fill(5);
  ASSERT_THAT(Receive("G", "T", 1), ElementsAre("m0"));
  Fill(95);
  ExpireAllBut(3 * kSegment);
  ASSERT_TRUE(member_.store().Flush().ok());
  member_.clock().Advance(120'000'000'000);
  EXPECT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_THAT(Receive("undertaker", "%DLQ%G", 1), ElementsAre("m0"));
  EXPECT_EQ(member_.store().retention().counters().kept_records, 0);
}

TEST_F(RetentionTest, DelayedMessagesAreDeliveredThoughTheirRecordsExpired) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  std::vector<SendResult> sent;
  for (int i = 0; i < 3; ++i) {
    NewMessage message = MessageOf("D", StrCat("d", i));
    message.type = TopicType::kDelay;
    message.deliver_ms = member_.clock().WallMillis() + 60'000;
    sent.push_back(member_.Send({message})->at(0));
  }
  Fill(100);
  ExpireAllBut(3 * kSegment);
  ASSERT_TRUE(member_.store().Flush().ok());
  ASSERT_GT(member_.log_begin(), sent[2].position);
  EXPECT_EQ(member_.store().retention().counters().kept_records, 3);
  EXPECT_TRUE(member_.Recall("D", sent[1].recall_handle).ok());
  EXPECT_EQ(member_.store().retention().counters().kept_records, 2);
  member_.Kill();
  member_.Start();
  member_.clock().Advance(61'000'000'000);
  EXPECT_EQ(member_.DeliverDue(), 2);
  EXPECT_THAT(Receive("G", "D", 10), ElementsAre("d0", "d2"));
  EXPECT_EQ(member_.store().retention().counters().kept_records, 0);
}

TEST_F(RetentionTest, OpenTransactionsAreCommittedOrRolledBackThoughTheirRecordsExpired) {
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  std::vector<SendResult> halves;
  for (int i = 0; i < 3; ++i) {
    NewMessage message = MessageOf("X", StrCat("x", i));
    message.type = TopicType::kTransaction;
    halves.push_back(member_.Send({message})->at(0));
  }
  ASSERT_TRUE(member_.EndTransaction("X", halves[2], true).ok());
  Fill(100);
  ExpireAllBut(3 * kSegment);
  ASSERT_TRUE(member_.store().Flush().ok());
  EXPECT_EQ(member_.store().retention().counters().kept_records, 2);
  EXPECT_TRUE(member_.EndTransaction("X", halves[0], true).ok());
  EXPECT_TRUE(member_.EndTransaction("X", halves[1], false).ok());
  EXPECT_TRUE(member_.EndTransaction("X", halves[0], true).ok()) << "repeating it is OK";
  EXPECT_THAT(Receive("G", "X", 10), ElementsAre("x0"));
  EXPECT_EQ(member_.store().retention().counters().kept_records, 0);
}

TEST_F(RetentionTest, KeptRecordsAreTakenInSmallSteps) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  for (int i = 0; i < 200; ++i) {
    NewMessage message = MessageOf("D", StrCat("d", i));
    message.type = TopicType::kDelay;
    message.deliver_ms = member_.clock().WallMillis() + 60'000;
    ASSERT_TRUE(member_.Send({message}).ok());
  }
  Fill(20);
  const LogIndex before = log_.last_index();
  member_.ledger().set_synchronous(false);
  ExpireAllBut(2 * kSegment);
  EXPECT_GT(log_.last_index() - before, 5) << "256 bytes of command name 21 records";
  EXPECT_GT(member_.store().retention().counters().kept_records, 150);
}

TEST_F(RetentionTest, DeletingTheGroupOrTheTopicDropsWhatWasKeptForThem) {
  member_.MakeTopic("U", 1);
  member_.SendOne("U", "u0");
  Fill(5);
  ASSERT_EQ(Receive("a", "T", 2).size(), 2u);
  ASSERT_EQ(Receive("b", "U", 1).size(), 1u);
  Fill(95);
  ExpireAllBut(3 * kSegment);
  EXPECT_EQ(member_.store().retention().counters().kept_records, 3);
  ASSERT_TRUE(member_.DeleteGroup("a").ok());
  EXPECT_EQ(member_.store().retention().counters().kept_records, 1);
  ASSERT_TRUE(member_.DeleteTopic("U").ok());
  EXPECT_EQ(member_.store().retention().counters().kept_records, 0);
}

TEST_F(RetentionTest, OnlyALeaderDecides) {
  Fill(50);
  member_.ledger().LoseLeadership();
  Retention::Limits limits;
  limits.max_bytes = kSegment;
  EXPECT_EQ(ReasonOf(member_.Expire(limits).status()), Reason::kNotLeader);
}

// ---- Members

class RetentionMembersTest : public RetentionTest {
 protected:
  RetentionMembersTest() {
    member_.MakeTopic("D", 1, TopicType::kDelay);
    NewMessage delayed = MessageOf("D", "d");
    delayed.type = TopicType::kDelay;
    delayed.deliver_ms = member_.clock().WallMillis() + 3'600'000;
    CHECK(member_.Send({delayed}).ok());
    Fill(50);
    Receive("G", "T", 3);
    Fill(50);
    ExpireAllBut(4 * kSegment);
    Fill(20);
    ExpireAllBut(4 * kSegment);
    Fill(5);
    CHECK(member_.store().Flush().ok());
    CHECK_GT(member_.log_begin(), LogPosition(0));
  }
};

TEST_F(RetentionMembersTest, AnotherMemberHasEqualStateQueuesAndIndex) {
  StoreHarness other(&log_, "retention_test_other", Options());
  other.Start(/*lead=*/false);
  EXPECT_EQ(other.Dump(), member_.Dump());
  EXPECT_THAT(other.Dump(), HasSubstr("retained min_position="));
  EXPECT_THAT(other.Dump(), HasSubstr("kept position="));
  EXPECT_EQ(MinOf(other, "T"), MinOf(member_, "T"));
  other.Stop();
  member_.Stop();
  EXPECT_EQ(QueuesOf(other), QueuesOf(member_));
  EXPECT_EQ(IndexOf(other), IndexOf(member_));
}

TEST_F(RetentionMembersTest, QueuesAndIndexAreMadeAgainFromWhatTheLogStillHas) {
  const std::string state = member_.Dump();
  member_.Stop();
  const std::string queues = QueuesOf(member_);
  const std::string index = IndexOf(member_);
  for (const char* part : {"/consumequeue", "/index"}) {
    ASSERT_TRUE(member_.fs().RemoveAll(member_.dir() + part).ok());
  }
  member_.Start(/*lead=*/false);
  EXPECT_EQ(member_.Dump(), state);
  const QueueOffset min = MinOf(member_, "T");
  EXPECT_EQ(NameOf(BodyOf(member_.store().Pull("T", QueueId(0), min, 1, 1 << 20)->at(0))),
            StrCat("m", min));
  EXPECT_EQ(member_.store().QueryByKey("T", "k120", 0, INT64_MAX, 10)->size(), 1u);
  member_.Stop();
  EXPECT_EQ(QueuesOf(member_), queues);
  EXPECT_EQ(IndexOf(member_), index);
  member_.Start();
  Fill(1);
  member_.clock().Advance(120'000'000'000);
  EXPECT_THAT(Receive("G", "T", 3), ElementsAre("m0", "m1", "m2")) << "kept in the state";
}

TEST_F(RetentionMembersTest, AMemberThatLostItsStateRefusesToStartFromALogThatBeginsLater) {
  member_.Stop();
  ASSERT_TRUE(PosixFileSystem()->RemoveAll(member_.state_dir()).ok());
  const absl::Status refused = member_.TryStart();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
}

TEST_F(RetentionMembersTest, EveryCrashLeavesAMemberThatBecomesEqualAgain) {
  StoreHarness other(&log_, "retention_test_crash", Options());
  Random random(7);
  for (int life = 0; life < 20; ++life) {
    other.Start(/*lead=*/false);
    if (random.Chance(0.5)) {
      ASSERT_TRUE(other.store().Flush().ok());
    }
    ASSERT_EQ(other.Dump(), member_.Dump()) << life;
    Fill(7);
    Receive("G", "T", 2);
    if (random.Chance(0.5)) ExpireAllBut(4 * kSegment);
    if (random.Chance(0.5)) {
      other.Kill();
    } else {
      other.Crash(&random);
    }
  }
}

}  // namespace
}  // namespace raftmq::store
