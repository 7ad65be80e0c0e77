// Disks that fail or fill up, completions that come too late, and truncation. Numbers in comments
// name the entries of the catalogue of bugs found in the wild that a test guards against.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/strings.h"
#include "dledger/log_test_support.h"
#include "dledger/segmented_log.h"

namespace raftmq::dledger {
namespace {

std::string Body(int i, size_t size = 200) {
  std::string body = StrCat("body ", i, " ");
  body.resize(size, static_cast<char>('a' + i % 26));
  return body;
}

class LogFailureTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(t.Create().ok());
    ASSERT_TRUE(t.Open().ok());
    t.Settle();
  }
  void AppendMany(int from, int to, Term term = Term(1)) {
    for (int i = from; i <= to; ++i) ASSERT_TRUE(t.AppendAndSettle(Body(i), term).ok()) << i;
  }
  // The log told its failure once and is dead.
  void ExpectPoisoned(LogIndex acked) {
    EXPECT_EQ(t.failures, 1);
    EXPECT_EQ(t.acked, acked);
    EXPECT_TRUE(absl::IsFailedPrecondition(t.Append("more")));
    EXPECT_TRUE(absl::IsFailedPrecondition(t.log->HasRoomFor(1)));
    const int64_t calls = t.fs.MutatingCalls();
    t.Settle();
    t.writer.RunFor(10'000'000'000);
    t.Settle();
    EXPECT_EQ(t.fs.MutatingCalls(), calls) << "nothing is written after a failure";
    EXPECT_EQ(t.failures, 1);
    EXPECT_EQ(t.acked, acked);
    EXPECT_FALSE(t.Stop().ok());
  }
  LogUnderTest t;
};

// 17: a second fsync can succeed without having saved anything.
TEST_F(LogFailureTest, AFailedFsyncStopsTheLogForGood) {
  AppendMany(1, 3);
  t.fs.AddFault({.op = FileOp::kDataSync, .status = absl::UnavailableError("EIO")});
  ASSERT_TRUE(t.Append(Body(4)).ok());
  ASSERT_TRUE(t.Append(Body(5)).ok());
  t.writer.RunDue();
  ASSERT_TRUE(t.Append(Body(6)).ok() || true);
  t.Settle();
  EXPECT_TRUE(absl::IsUnavailable(t.failure)) << t.failure;
  ExpectPoisoned(LogIndex(3));
  // The restart trusts what is really there.
  t.Close();
  Random random(1);
  t.fs.Crash(&random);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_GE(t.log->LastIndex(), LogIndex(3));
}

// 22: an append error that is skipped.
TEST_F(LogFailureTest, AFailedWriteStopsTheLogForGood) {
  AppendMany(1, 3);
  t.fs.AddFault({.op = FileOp::kWrite,
                 .path_contains = "commitlog/0",
                 .status = absl::ResourceExhaustedError("ENOSPC"),
                 .partial = true});
  ASSERT_TRUE(t.Append(Body(4)).ok());
  t.Settle();
  ExpectPoisoned(LogIndex(3));
}

TEST_F(LogFailureTest, AFailureInAnyStepOfARollStopsTheLog) {
  int rolls_failed = 0;
  for (const FileOp op :
       {FileOp::kWrite, FileOp::kDataSync, FileOp::kRename, FileOp::kSyncDir, FileOp::kCreate}) {
    for (int64_t skip = 0; skip < 4; ++skip) {
      LogUnderTest u;
      ASSERT_TRUE(u.Create().ok());
      ASSERT_TRUE(u.Open().ok());
      for (int i = 1; i <= 16; ++i) ASSERT_TRUE(u.AppendAndSettle(Body(i)).ok());
      u.fs.AddFault({.op = op, .skip = skip, .status = absl::UnavailableError("EIO")});
      ASSERT_TRUE(u.Append(Body(17)).ok());
      u.writer.RunDue();
      u.replica.RunDue();
      if (u.failure.ok()) continue;  // the fault hit the derived index, or nothing
      ++rolls_failed;
      EXPECT_EQ(u.failures, 1);
      EXPECT_EQ(u.acked, LogIndex(16));
      u.Close();
      u.fs.ClearFaults();
      Random random(static_cast<uint64_t>(skip));
      u.fs.Crash(&random);
      const absl::Status opened = u.Open();
      ASSERT_TRUE(opened.ok()) << "op " << static_cast<int>(op) << " skip " << skip << opened;
      EXPECT_GE(u.log->LastIndex(), LogIndex(16));
    }
  }
  EXPECT_GE(rolls_failed, 8);
}

TEST_F(LogFailureTest, ADerivedIndexThatCannotBeWrittenIsNoFailure) {
  t.fs.AddFault({.op = FileOp::kCreate,
                 .path_contains = ".idx",
                 .times = -1,
                 .status = absl::UnavailableError("EIO")});
  AppendMany(1, 40);
  EXPECT_EQ(t.failures, 0);
  t.fs.ClearFaults();
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.report.rebuilt_indexes, 2);
  EXPECT_EQ(t.log->LastIndex(), LogIndex(40));
}

TEST_F(LogFailureTest, AFailureOfTheIdleMarkStopsTheLog) {
  AppendMany(1, 3);
  t.fs.AddFault({.op = FileOp::kDataSync, .status = absl::UnavailableError("EIO")});
  t.writer.RunFor(1'000'000'000);
  t.Settle();
  ExpectPoisoned(LogIndex(3));
}

TEST_F(LogFailureTest, AFailureToPrepareASegmentStopsTheLog) {
  AppendMany(1, 3);
  t.fs.AddFault(
      {.op = FileOp::kWrite, .path_contains = "next.tmp", .status = absl::UnavailableError("EIO")});
  AppendMany(4, 16);
  ASSERT_TRUE(t.Append(Body(17)).ok());
  t.Settle();
  EXPECT_EQ(t.failures, 1);
}

// 22: the disk is full. Nothing crashes, nothing is lost, and it goes on when there is room again.
TEST_F(LogFailureTest, AFullDiskRefusesBeforehandAndRecovers) {
  AppendMany(1, 1);  // the first segment is in use, the next is ready
  t.fs.SetCapacity(t.fs.UsedBytes() + 2000);
  int accepted = 1;
  absl::Status refused;
  for (int i = 2; i <= 100 && refused.ok(); ++i) {
    refused = t.log->HasRoomFor(248);
    if (!refused.ok()) break;
    ASSERT_TRUE(t.AppendAndSettle(Body(i)).ok()) << i;
    accepted = i;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_GE(accepted, 31) << "two segments were there";
  EXPECT_TRUE(absl::IsResourceExhausted(t.Append(Body(accepted + 1))));
  EXPECT_EQ(t.log->LastIndex(), LogIndex(accepted)) << "a refused append does nothing";
  EXPECT_EQ(t.acked, LogIndex(accepted));
  EXPECT_EQ(t.failures, 0);
  EXPECT_FALSE(*t.fs.Exists("/log/commitlog/next.tmp")) << "leaves the room to others";

  const int room_calls = t.room_calls;
  t.fs.SetCapacity(-1);
  t.background.RunFor(2'000'000'000);
  t.Settle();
  EXPECT_GT(t.room_calls, room_calls);
  EXPECT_TRUE(t.log->HasRoomFor(248).ok());
  AppendMany(accepted + 1, accepted + 40);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(accepted + 40));
}

TEST_F(LogFailureTest, AReserveIsLeftOnTheDisk) {
  LogUnderTest u;
  u.reserve_bytes = 50'000;
  ASSERT_TRUE(u.Create().ok());
  u.fs.SetCapacity(55'000);
  ASSERT_TRUE(u.Open().ok());
  u.Settle();
  EXPECT_TRUE(absl::IsResourceExhausted(u.log->HasRoomFor(100)));
  u.fs.SetCapacity(100'000);
  u.background.RunFor(2'000'000'000);
  EXPECT_TRUE(u.log->HasRoomFor(100).ok());
}

TEST_F(LogFailureTest, ALogCanStartOnAFullDiskAndWaits) {
  AppendMany(1, 10);
  t.fs.SetCapacity(t.fs.UsedBytes());
  t.Close();
  Random random(1);
  t.fs.Crash(&random);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(10));
  EXPECT_EQ(*t.Body(LogIndex(10)), Body(10));
}

TEST_F(LogFailureTest, WhileTheNextSegmentIsPreparedItIsUnavailable) {
  AppendMany(1, 16);
  // Rolls; the one after is not prepared, since the background is not given its turn.
  for (int i = 17; i <= 32; ++i) {
    ASSERT_TRUE(t.Append(Body(i)).ok()) << i;
    t.writer.RunDue();
    t.replica.RunDue();
  }
  EXPECT_TRUE(absl::IsUnavailable(t.log->HasRoomFor(248)));
  EXPECT_TRUE(absl::IsUnavailable(t.Append(Body(33))));
  EXPECT_EQ(t.log->LastIndex(), LogIndex(32));
  const int room_calls = t.room_calls;
  t.Settle();
  EXPECT_EQ(t.room_calls, room_calls + 1);
  EXPECT_TRUE(t.Append(Body(33)).ok());
}

TEST_F(LogFailureTest, WhatWaitsForTheDiskIsBounded) {
  t.options.max_pending_bytes = 1000;
  ASSERT_TRUE(t.Open().ok());
  t.Settle();
  for (int i = 1; i <= 4; ++i) ASSERT_TRUE(t.Append(Body(i)).ok()) << i;
  EXPECT_TRUE(absl::IsResourceExhausted(t.Append(Body(5))));
  EXPECT_TRUE(absl::IsResourceExhausted(t.log->HasRoomFor(248)));
  t.Settle();
  EXPECT_TRUE(t.log->HasRoomFor(248).ok());
  EXPECT_TRUE(t.Append(Body(5)).ok());
}

TEST_F(LogFailureTest, AStaleFlushCompletionIsDropped) {
  AppendMany(1, 2);
  for (int i = 3; i <= 5; ++i) ASSERT_TRUE(t.Append(Body(i)).ok());
  t.writer.RunDue();  // 3 to 5 are durable; that is posted, but
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(4)).ok());
  ASSERT_TRUE(t.Append("other 4", Term(2)).ok());
  t.replica.RunDue();
  EXPECT_EQ(t.acked, LogIndex(2)) << "says nothing about the entry 4 of now";
  EXPECT_EQ(t.log->DurableIndex(), LogIndex(2));
  t.Settle();
  EXPECT_EQ(t.acked, LogIndex(4));
  EXPECT_EQ(t.acked_term, Term(2));
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.Bodies(), (std::vector<std::string>{Body(1), Body(2), Body(3), "other 4"}));
}

TEST_F(LogFailureTest, TruncationWithinASegmentZeroesWhatItCuts) {
  AppendMany(1, 10);
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(6)).ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(5));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->EntryAt(LogIndex(6)).status()));
  t.Settle();
  EXPECT_EQ(t.acked, LogIndex(5));
  const std::string file = *ReadFile(&t.fs, t.Segment(0));
  const auto from = static_cast<size_t>(t.log->EndPosition().value());
  EXPECT_EQ(file.substr(from, kTestSegmentSize - from), std::string(kTestSegmentSize - from, '\0'));
  AppendMany(6, 40, Term(2));
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(40));
  EXPECT_EQ(*t.log->TermAt(LogIndex(5)), Term(1));
  EXPECT_EQ(*t.log->TermAt(LogIndex(6)), Term(2));
}

TEST_F(LogFailureTest, TruncationAcrossSegmentsDeletesTheLaterOnesLastFirst) {
  AppendMany(1, 60);
  std::vector<std::string> removed;
  t.fs.SetHook([&](FileOp op, const std::string& path) {
    if (op == FileOp::kRemove && path.find(".idx") == std::string::npos) removed.push_back(path);
    if (op == FileOp::kSyncDir && !removed.empty()) removed.push_back("sync");
  });
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(10)).ok());
  t.Settle();
  t.fs.SetHook(nullptr);
  EXPECT_EQ(removed, (std::vector<std::string>{t.Segment(12288), "sync", t.Segment(8192), "sync",
                                               t.Segment(4096), "sync"}));
  EXPECT_EQ(t.acked, LogIndex(9));
  AppendMany(10, 60, Term(3));
  for (int i = 1; i <= 60; ++i) EXPECT_EQ(*t.Body(LogIndex(i)), Body(i));
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged);
  for (int i = 1; i <= 60; ++i) {
    EXPECT_EQ(*t.Body(LogIndex(i)), Body(i));
    EXPECT_EQ(*t.log->TermAt(LogIndex(i)), Term(i < 10 ? 1 : 3));
  }
}

TEST_F(LogFailureTest, TruncationAtASegmentsFirstEntryEndsInTheOneBefore) {
  AppendMany(1, 20);
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(17)).ok());
  t.Settle();
  EXPECT_EQ(t.log->Segments(), std::vector<LogPosition>{LogPosition(0)});
  // A smaller frame fits where the blank was.
  ASSERT_TRUE(t.AppendAndSettle("small", Term(2)).ok());
  EXPECT_EQ(SegmentOf(t.log->EntryAt(LogIndex(17))->position, kTestSegmentSize), LogPosition(0));
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(17));
  EXPECT_EQ(*t.Body(LogIndex(17)), "small");
}

TEST_F(LogFailureTest, TheWholeLogCanBeTruncated) {
  AppendMany(1, 40);
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(1)).ok());
  t.Settle();
  EXPECT_EQ(t.log->LastIndex(), LogIndex(0));
  AppendMany(1, 3, Term(2));
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(3));
  EXPECT_EQ(*t.log->TermAt(LogIndex(1)), Term(2));
}

TEST_F(LogFailureTest, WhatIsTruncatedBeforeItWasWrittenNeverAppears) {
  AppendMany(1, 14);
  for (int i = 15; i <= 20; ++i) ASSERT_TRUE(t.Append(Body(i)).ok());  // across a roll
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(15)).ok());
  ASSERT_TRUE(t.Append("new 15", Term(2)).ok());
  t.Settle();
  EXPECT_EQ(t.acked, LogIndex(15));
  EXPECT_EQ(*t.Body(LogIndex(15)), "new 15");
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(15));
  EXPECT_EQ(*t.Body(LogIndex(15)), "new 15");
}

TEST_F(LogFailureTest, WhileATruncationWaitsTheLogDoesNotRoll) {
  AppendMany(1, 20);
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(15)).ok());
  absl::Status appended;
  while (appended.ok()) appended = t.Append(Body(99), Term(2));
  EXPECT_TRUE(absl::IsUnavailable(appended)) << appended;
  t.Settle();
  EXPECT_EQ(t.failures, 0);
  ASSERT_TRUE(t.AppendAndSettle(Body(99), Term(2)).ok());
  const LogIndex last = t.log->LastIndex();
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), last);
}

TEST_F(LogFailureTest, MetadataReadBeforeATruncationIsForgotten) {
  t.options.tail_bytes = 0;
  ASSERT_TRUE(t.Open().ok());
  AppendMany(1, 10);
  ASSERT_TRUE(t.log->EntryAt(LogIndex(6)).ok());
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(4)).ok());
  std::vector<raft::EntryMeta> metas;
  for (int i = 4; i <= 12; ++i) {
    auto [meta, frame] = t.NextFrame(Body(i, 150), Term(2));
    ASSERT_TRUE(t.log->Append(meta, Bytes(std::move(frame))).ok());
    metas.push_back(meta);
    t.Settle();
  }
  for (const raft::EntryMeta& meta : metas) {
    const auto found = t.log->EntryAt(meta.index);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, meta);
  }
}

TEST_F(LogFailureTest, ReadersOfARemovedSegmentGetAnErrorNotACrash) {
  AppendMany(1, 40);
  std::string bytes;
  ASSERT_TRUE(t.log->Read(LogPosition(8192), 10, &bytes).ok());
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(3)).ok());
  t.Settle();
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(LogPosition(8192), 10, &bytes)));
}

}  // namespace
}  // namespace raftmq::dledger
