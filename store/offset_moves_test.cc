// Moves of a group's offsets by operators: what they do, what is remembered, and their undo.

#include "store/offset_moves.h"

#include "absl/strings/str_join.h"
#include "base/random.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

using Request = OffsetMoveRequest;

class OffsetMovesTest : public testing::Test {
 protected:
  OffsetMovesTest() : member_(&log_, "offset_moves_test", {}) {
    member_.Start();
    member_.MakeTopic("T", 2);
  }

  // So many messages in each queue of T.
  void Store(int count) {
    for (int i = 0; i < count; ++i) {
      for (int queue = 0; queue < 2; ++queue) {
        NewMessage message = MessageOf("T", StrCat("m", i));
        message.queue = QueueId(queue);
        CHECK(member_.Send({message}).ok());
      }
    }
  }

  absl::StatusOr<OffsetMove> Move(decltype(Request::to) to, std::vector<QueueId> queues = {},
                                  const std::string& group = "G", const std::string& topic = "T") {
    return member_.MoveOffsets({group, topic, std::move(queues), to, "me@host", "a reason"});
  }
  OffsetMove MustMove(decltype(Request::to) to, std::vector<QueueId> queues = {}) {
    auto moved = Move(to, std::move(queues));
    CHECK(moved.ok()) << moved.status();
    return *std::move(moved);
  }
  absl::StatusOr<OffsetMove> Undo(uint64_t number = 0) { return Move(Request::Undo{number}); }

  // "0:3>7" for queue 0, which went from 3 to 7.
  static std::string Items(const OffsetMove& move) {
    return absl::StrJoin(move.items, " ", [](std::string* out, const OffsetMove::Item& item) {
      *out += StrCat(item.queue, ":", item.from, ">", item.to);
    });
  }
  std::vector<int64_t> Offsets(const std::string& group = "G") {
    std::vector<int64_t> offsets;
    for (int queue = 0; queue < 2; ++queue) {
      const auto offset = member_.store().CommitOffset(group, "T", QueueId(queue));
      CHECK(offset.ok()) << offset.status();
      offsets.push_back(offset->value());
    }
    return offsets;
  }
  std::vector<OffsetMove> History(const std::string& group = "G") {
    auto moves = member_.store().ListOffsetMoves(group);
    CHECK(moves.ok()) << moves.status();
    return *std::move(moves);
  }
  // Without the first line: a term's first entry raises the applied index.
  std::string State() {
    const std::string dump = member_.Dump();
    return dump.substr(dump.find('\n'));
  }

  std::vector<QueueId> Lock(const std::string& client, int64_t lease_ms = 10'000) {
    std::optional<absl::StatusOr<std::vector<QueueId>>> answer;
    member_.store().LockQueues(
        {"G", "T", client, {QueueId(0)}, lease_ms},
        [&](absl::StatusOr<std::vector<QueueId>> locked) { answer = std::move(locked); });
    member_.Settle();
    CHECK(answer.has_value() && answer->ok());
    return **std::move(answer);
  }
  absl::Status Commit(const std::string& client, int64_t offset) {
    std::optional<absl::Status> answer;
    member_.store().UpdateOffset("G", "T", QueueId(0), QueueOffset(offset), client,
                                 [&](absl::Status status) { answer = std::move(status); });
    member_.Settle();
    CHECK(answer.has_value());
    return *answer;
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(OffsetMovesTest, AllQueuesMoveAtOnceAndTheHistorySaysWhoWhenAndFromWhere) {
  Store(5);
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 3).ok());
  const int64_t now_ms = member_.clock().WallMillis();
  const OffsetMove moved = MustMove(Request::ToEnd{});
  EXPECT_THAT(Offsets(), ElementsAre(5, 5));
  EXPECT_EQ(Items(moved), "0:3>5 1:0>5");
  EXPECT_EQ(moved.kind, OffsetMoveKind::kSkip);
  MustMove(Request::ToBegin{}, {QueueId(1)});
  EXPECT_THAT(Offsets(), ElementsAre(5, 0));
  MustMove(Request::ToOffset{QueueOffset(2)}, {QueueId(0)});
  const std::vector<OffsetMove> history = History();
  ASSERT_THAT(history, SizeIs(3));
  EXPECT_EQ(history[0], moved);
  EXPECT_EQ(Items(history[1]), "1:5>0");
  EXPECT_EQ(history[2].number, 3u);
  EXPECT_EQ(history[2].who, "me@host");
  EXPECT_EQ(history[2].why, "a reason");
  EXPECT_EQ(history[2].log_time_ms, now_ms);
}

TEST_F(OffsetMovesTest, ATimeIsTheFirstMessageStoredThenOrLater) {
  Store(2);
  member_.clock().AdvanceMillis(1'000);
  const int64_t then_ms = member_.clock().WallMillis();
  Store(3);
  MustMove(Request::ToTime{then_ms});
  EXPECT_THAT(Offsets(), ElementsAre(2, 2));
  MustMove(Request::ToTime{then_ms + 1});
  EXPECT_THAT(Offsets(), ElementsAre(5, 5)) << "no message is as young";
  MustMove(Request::ToTime{0});
  EXPECT_THAT(Offsets(), ElementsAre(0, 0));
}

TEST_F(OffsetMovesTest, AnUndoRestoresWhatWasAndCanBeUndoneItself) {
  Store(5);
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 3).ok());
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 1, 4).ok());
  MustMove(Request::ToBegin{});
  const auto undo = Undo();
  ASSERT_TRUE(undo.ok()) << undo.status();
  EXPECT_EQ(undo->kind, OffsetMoveKind::kUndo);
  EXPECT_EQ(undo->undoes, 1u);
  EXPECT_THAT(Offsets(), ElementsAre(3, 4));
  EXPECT_EQ(ReasonOf(Undo(1).status()), Reason::kIllegalOffset) << "it was undone";
  EXPECT_EQ(ReasonOf(Undo().status()), Reason::kOffsetNotFound) << "nothing is left to undo";
  ASSERT_TRUE(Undo(2).ok()) << "the undo";
  EXPECT_THAT(Offsets(), ElementsAre(0, 0));
  ASSERT_TRUE(Undo().ok()) << "the first is in force again";
  EXPECT_THAT(Offsets(), ElementsAre(3, 4));
  EXPECT_THAT(History(), SizeIs(4));
}

TEST_F(OffsetMovesTest, AGroupTakesOverAnothersOffsets) {
  Store(5);
  ASSERT_TRUE(member_.UpdateOffset("source", "T", 0, 3).ok());
  ASSERT_TRUE(member_.UpdateOffset("source", "T", 1, 1).ok());
  const OffsetMove moved = MustMove(Request::ToGroup{"source"});
  EXPECT_EQ(moved.kind, OffsetMoveKind::kClone);
  EXPECT_THAT(Offsets("G"), ElementsAre(3, 1)) << "the group was made";
  EXPECT_THAT(Offsets("source"), ElementsAre(3, 1));
  EXPECT_THAT(History("source"), SizeIs(0));
  EXPECT_EQ(ReasonOf(Move(Request::ToGroup{"nobody"}).status()), Reason::kOffsetNotFound);
}

TEST_F(OffsetMovesTest, LeasesEndWithAMoveAndALateAckDoesNotAckWhatComesAgain) {
  Store(3);
  ASSERT_THAT(member_.ReceiveBodies("G", "T"), SizeIs(6));
  const std::vector<Delivery> before = member_.last_deliveries();
  const auto late_acks_are_refused = [&] {
    for (const Delivery& delivery : before) {
      EXPECT_EQ(ReasonOf(member_.Ack("G", "T", {delivery.receipt_handle})[0]),
                Reason::kInvalidReceiptHandle);
    }
  };
  MustMove(Request::ToBegin{});
  late_acks_are_refused();
  ASSERT_THAT(member_.ReceiveBodies("G", "T"), SizeIs(6));
  late_acks_are_refused();
  EXPECT_THAT(Offsets(), ElementsAre(0, 0));
  // What was in flight at a move comes again after its undo.
  MustMove(Request::ToEnd{});
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), SizeIs(0));
  ASSERT_TRUE(Undo().ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), SizeIs(6));
}

TEST_F(OffsetMovesTest, WhoHoldsAQueuesLockCannotCommitOverAMoveAndMustTakeItAnew) {
  Store(5);
  ASSERT_THAT(Lock("a"), SizeIs(1));
  ASSERT_TRUE(Commit("a", 4).ok());
  MustMove(Request::ToBegin{});
  EXPECT_EQ(ReasonOf(Commit("a", 5)), Reason::kForbidden) << "of what it had in hand";
  EXPECT_THAT(Lock("a"), SizeIs(0)) << "a renewal";
  EXPECT_THAT(Lock("b"), SizeIs(0)) << "its owner may be consuming still";
  EXPECT_THAT(Offsets(), ElementsAre(0, 0));
  EXPECT_THAT(State(), HasSubstr("revoked"));
  member_.Stop();
  member_.Start();
  EXPECT_EQ(ReasonOf(Commit("a", 5)), Reason::kForbidden) << "also after a restart";
  EXPECT_THAT(Lock("a", 0), SizeIs(1)) << "it lets go";
  EXPECT_EQ(ReasonOf(Commit("a", 5)), Reason::kForbidden) << "late";
  EXPECT_THAT(Lock("a"), SizeIs(1));
  EXPECT_TRUE(Commit("a", 1).ok());
}

TEST_F(OffsetMovesTest, ADeadOwnersQueueIsTakenOverAfterAMoveAsBefore) {
  Store(5);
  Lock("a", 10'000);
  MustMove(Request::ToBegin{});
  member_.clock().AdvanceMillis(10'001);
  EXPECT_EQ(ReasonOf(Commit("a", 5)), Reason::kForbidden) << "late, and nobody has it";
  EXPECT_THAT(Lock("b"), SizeIs(1));
  EXPECT_THAT(State(), Not(HasSubstr("revoked")));
}

TEST_F(OffsetMovesTest, ALockThatWasFlushedBeforeAMoveIsRevokedAfterARestart) {
  Store(5);
  Lock("a");
  ASSERT_TRUE(member_.store().Flush().ok());
  MustMove(Request::ToBegin{});
  member_.Stop();
  member_.Start();
  EXPECT_THAT(State(), HasSubstr("revoked"));
}

TEST_F(OffsetMovesTest, AQueueThatIsNamedTwiceIsMovedOnce) {
  Store(5);
  EXPECT_EQ(Items(MustMove(Request::ToEnd{}, {QueueId(1), QueueId(0), QueueId(1)})), "0:0>5 1:0>5");
}

TEST_F(OffsetMovesTest, AnUndoWithATopicIsOfAMoveOnThatTopic) {
  Store(5);
  member_.MakeTopic("U", 1);
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 3).ok());
  MustMove(Request::ToEnd{});
  ASSERT_TRUE(Move(Request::ToEnd{}, {}, "G", "U").ok());
  EXPECT_EQ(ReasonOf(Move(Request::Undo{1}, {}, "G", "U").status()), Reason::kOffsetNotFound);
  EXPECT_THAT(Offsets(), ElementsAre(5, 5));
  const auto undo = Move(Request::Undo{}, {}, "G", "T");
  ASSERT_TRUE(undo.ok()) << undo.status();
  EXPECT_EQ(undo->undoes, 1u) << "the latest on T, not the latest";
  EXPECT_THAT(Offsets(), ElementsAre(3, 0));
}

TEST_F(OffsetMovesTest, AGroupThatStartsByTimeIsStartedSoAndThenMoved) {
  Store(2);
  member_.clock().AdvanceMillis(1'000);
  member_.MakeGroupFrom(member_.clock().WallMillis(), "G");
  Store(3);
  EXPECT_EQ(Items(MustMove(Request::ToEnd{}, {QueueId(0)})), "0:2>5");
  EXPECT_THAT(Offsets(), ElementsAre(5, 2));
}

TEST_F(OffsetMovesTest, AGroupOfADeletedOnesNameDoesNotInheritItsMoves) {
  Store(3);
  for (int i = 0; i < 3; ++i) MustMove(Request::ToEnd{});
  ASSERT_TRUE(member_.store().Flush().ok());
  ASSERT_TRUE(member_.DeleteGroup("G").ok());
  EXPECT_EQ(MustMove(Request::ToEnd{}).number, 1u);
  member_.Stop();
  member_.Start();
  EXPECT_THAT(History(), SizeIs(1));
}

TEST_F(OffsetMovesTest, WhoHoldsWhatOfAGroupCanBeAsked) {
  Store(2);
  Lock("a", 10'000);
  ReceiveRequest request{"G", "T", QueueId(1), false, {}, 1, 10'000, "b", ""};
  ASSERT_TRUE(member_.Receive(request).ok());
  MustMove(Request::ToBegin{}, {QueueId(0)});
  const auto holds = member_.store().ListHolds("G");
  ASSERT_TRUE(holds.ok()) << holds.status();
  ASSERT_THAT(*holds, SizeIs(2));
  EXPECT_EQ((*holds)[0].client_id, "a");
  EXPECT_TRUE((*holds)[0].locked && (*holds)[0].revoked);
  EXPECT_EQ((*holds)[1].client_id, "b");
  EXPECT_EQ((*holds)[1].queue, QueueId(1));
  EXPECT_EQ((*holds)[1].inflight, 1);
  EXPECT_EQ(ReasonOf(member_.store().ListHolds("nobody").status()), Reason::kGroupNotFound);
  EXPECT_EQ(ReasonOf(member_.store().ListOffsetMoves("nobody").status()), Reason::kGroupNotFound);
}

TEST_F(OffsetMovesTest, TheHistoryIsBoundedAndSurvivesARestartAndAPowerLoss) {
  Store(3);
  for (size_t i = 0; i < OffsetMoves::kMaxMoves + 6; ++i) MustMove(Request::ToEnd{});
  std::vector<OffsetMove> history = History();
  ASSERT_THAT(history, SizeIs(OffsetMoves::kMaxMoves));
  EXPECT_EQ(history.front().number, 7u);
  EXPECT_EQ(ReasonOf(Undo(6).status()), Reason::kOffsetNotFound) << "forgotten";
  const std::string before = State();
  member_.Stop();
  member_.Start();
  EXPECT_EQ(State(), before);
  Random random(1);
  member_.Crash(&random);
  member_.Start();
  EXPECT_EQ(State(), before);
  EXPECT_EQ(MustMove(Request::ToBegin{}).number, OffsetMoves::kMaxMoves + 7);
}

TEST_F(OffsetMovesTest, WhatADeletedTopicsOffsetsWereIsNotRestoredToItsNamesake) {
  Store(5);
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 3).ok());
  MustMove(Request::ToBegin{});
  ASSERT_TRUE(member_.DeleteTopic("T").ok());
  member_.MakeTopic("T", 2);
  Store(5);
  EXPECT_EQ(ReasonOf(Undo(1).status()), Reason::kTopicNotFound);
  EXPECT_EQ(ReasonOf(Undo().status()), Reason::kOffsetNotFound);
  ASSERT_THAT(History(), SizeIs(1)) << "that it was moved is still known";
  const std::string before = State();
  member_.Stop();
  member_.Start();
  EXPECT_EQ(State(), before);
  ASSERT_TRUE(member_.DeleteGroup("G").ok());
  EXPECT_THAT(State(), Not(HasSubstr("offset_move")));
  member_.Stop();
  member_.Start();
  EXPECT_THAT(State(), Not(HasSubstr("offset_move"))) << "their rows went too";
}

TEST_F(OffsetMovesTest, RefusalsSayWhatIsWrongAndMoveNothing) {
  Store(2);
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 1).ok());
  EXPECT_EQ(ReasonOf(Move(Request::ToEnd{}, {}, "G", "U").status()), Reason::kTopicNotFound);
  EXPECT_EQ(ReasonOf(Move(Request::ToEnd{}, {QueueId(0), QueueId(2)}).status()),
            Reason::kQueueNotFound);
  EXPECT_EQ(ReasonOf(Move(Request::ToOffset{QueueOffset(3)}).status()), Reason::kIllegalOffset);
  EXPECT_EQ(ReasonOf(Move(Request::ToOffset{QueueOffset(-1)}).status()), Reason::kIllegalOffset);
  EXPECT_EQ(ReasonOf(Move(Request::Undo{}, {}, "nobody").status()), Reason::kGroupNotFound);
  EXPECT_EQ(ReasonOf(Undo(5).status()), Reason::kOffsetNotFound);
  EXPECT_EQ(ReasonOf(Move(Request::ToEnd{}, {}, "no good name").status()), Reason::kIllegalGroup);
  OffsetMoveRequest wordy{"G", "T", {}, Request::ToEnd{}, std::string(2'000, 'x'), ""};
  EXPECT_FALSE(member_.MoveOffsets(wordy).ok());
  std::swap(wordy.who, wordy.why);
  EXPECT_FALSE(member_.MoveOffsets(wordy).ok());
  EXPECT_THAT(Offsets(), ElementsAre(1, 0));
  EXPECT_THAT(History(), SizeIs(0));
}

TEST(OffsetMoves, ManyQueuesShortenTheHistoryToWhatItsBoundAllows) {
  OffsetMoves moves;
  std::vector<uint64_t> forgotten;
  OffsetMove wide;
  wide.topic = "T";
  wide.items.resize(OffsetMoves::kMaxItems / 2);
  for (int i = 0; i < 3; ++i) moves.Add(wide, &forgotten);
  EXPECT_THAT(forgotten, ElementsAre(1));
  wide.items.resize(OffsetMoves::kMaxItems);
  EXPECT_EQ(moves.Add(wide, &forgotten).number, 4u);
  EXPECT_THAT(forgotten, ElementsAre(1, 2, 3)) << "the newest is kept whatever its size";
}

}  // namespace
}  // namespace raftmq::store
