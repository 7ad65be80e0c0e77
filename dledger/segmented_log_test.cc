#include "dledger/segmented_log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/strings.h"
#include "dledger/log_test_support.h"

namespace raftmq::dledger {
namespace {

std::string Body(int i, size_t size = 100) {
  std::string body = StrCat("body ", i, " ");
  body.resize(size, static_cast<char>('a' + i % 26));
  return body;
}

class SegmentedLogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(t.Create().ok());
    const absl::Status opened = t.Open();
    ASSERT_TRUE(opened.ok()) << opened;
  }
  void AppendMany(int from, int to, Term term = Term(1)) {
    for (int i = from; i <= to; ++i) {
      const absl::Status appended = t.AppendAndSettle(Body(i), term);
      ASSERT_TRUE(appended.ok()) << i << ": " << appended;
    }
  }
  LogUnderTest t;
};

TEST_F(SegmentedLogTest, ANewLogIsEmpty) {
  EXPECT_EQ(t.log->FirstIndex(), LogIndex(1));
  EXPECT_EQ(t.log->LastIndex(), LogIndex(0));
  EXPECT_EQ(t.log->LastTerm(), Term(0));
  EXPECT_EQ(t.log->EndPosition(), LogPosition(0));
  EXPECT_EQ(*t.log->TermAt(LogIndex(0)), Term(0));
  EXPECT_EQ(*t.log->EndAt(LogIndex(0)), LogPosition(0));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->TermAt(LogIndex(1)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->EntryAt(LogIndex(0)).status()));
}

TEST_F(SegmentedLogTest, AnEntryIsReadableAtOnceAndDurableAfterTheFlush) {
  ASSERT_TRUE(t.Append("hello").ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(1));
  EXPECT_EQ(*t.Body(LogIndex(1)), "hello");
  EXPECT_EQ(t.acked, LogIndex(0));
  EXPECT_EQ(t.log->WrittenEnd(), LogPosition(0));
  std::string bytes;
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(LogPosition(0), 10, &bytes)));
  t.Settle();
  EXPECT_EQ(t.acked, LogIndex(1));
  EXPECT_EQ(t.acked_term, Term(1));
  EXPECT_EQ(t.log->DurableIndex(), LogIndex(1));
  ASSERT_TRUE(t.log->Read(LogPosition(kFrameHeaderSize), 5, &bytes).ok());
  EXPECT_EQ(bytes, "hello");
}

TEST_F(SegmentedLogTest, EntriesSurviveAReopenAcrossSegments) {
  AppendMany(1, 100);
  const LogPosition end = t.log->EndPosition();
  const uint32_t chain = t.log->LastChainCrc();
  EXPECT_GE(t.log->Segments().size(), 4u);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged);
  EXPECT_EQ(t.log->LastIndex(), LogIndex(100));
  EXPECT_EQ(t.log->DurableIndex(), LogIndex(100));
  EXPECT_EQ(t.log->EndPosition(), end);
  EXPECT_EQ(t.log->LastChainCrc(), chain);
  for (int i = 1; i <= 100; ++i) EXPECT_EQ(*t.Body(LogIndex(i)), Body(i)) << i;
}

TEST_F(SegmentedLogTest, NothingIsAcknowledgedBeforeTheFdatasync) {
  // Fault catalogue 14 and 23: also for a group of one, durable means synced.
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(t.Append(Body(i)).ok());
  const int64_t syncs = t.fs.Count(FileOp::kDataSync);
  t.replica.RunDue();
  EXPECT_EQ(t.acked, LogIndex(0));
  EXPECT_EQ(t.fs.Count(FileOp::kDataSync), syncs);
  t.writer.RunDue();
  EXPECT_EQ(t.acked, LogIndex(0)) << "told on the replica thread only";
  t.replica.RunDue();
  EXPECT_EQ(t.acked, LogIndex(5));
}

TEST_F(SegmentedLogTest, WhatWaitsSharesOneWriteAndOneSync) {
  ASSERT_TRUE(t.AppendAndSettle("first").ok());
  const int64_t writes = t.fs.Count(FileOp::kWrite);
  const int64_t syncs = t.fs.Count(FileOp::kDataSync);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(t.Append(Body(i)).ok());
  t.Settle();
  EXPECT_EQ(t.acked, LogIndex(21));
  EXPECT_EQ(t.fs.Count(FileOp::kWrite), writes + 2) << "the frames and the durable mark";
  EXPECT_EQ(t.fs.Count(FileOp::kDataSync), syncs + 1);
}

TEST_F(SegmentedLogTest, AFrameNeverSpansSegmentsAndABlankFillsTheRest) {
  // 4 frames of 948 bytes leave 304: the fifth goes to the next segment.
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(t.AppendAndSettle(Body(i, 900)).ok());
  EXPECT_EQ(t.log->EntryAt(LogIndex(5))->position, LogPosition(4096));
  const std::string file = *ReadFile(&t.fs, t.Segment(0));
  const int32_t blank_at = 4 * 948;
  EXPECT_EQ(*ParseBlankFrame(std::string_view(file).substr(blank_at), LogPosition(blank_at)),
            4096 - blank_at);
  EXPECT_EQ(file.substr(blank_at + kFrameHeaderSize, 4096 - blank_at - kFrameHeaderSize),
            std::string(4096 - blank_at - kFrameHeaderSize, '\0'));
}

TEST_F(SegmentedLogTest, ASegmentFilledToTheLastByteHasNoBlank) {
  for (int i = 1; i <= 4; ++i) {
    ASSERT_TRUE(t.AppendAndSettle(Body(i, 1024 - kFrameHeaderSize)).ok());
  }
  EXPECT_EQ(t.log->EndPosition(), LogPosition(4096));
  ASSERT_TRUE(t.AppendAndSettle(Body(5)).ok());
  EXPECT_EQ(t.log->EntryAt(LogIndex(5))->position, LogPosition(4096));
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(5));
  EXPECT_EQ(*t.Body(LogIndex(4)), Body(4, 1024 - kFrameHeaderSize));
}

TEST_F(SegmentedLogTest, AFollowersSliceOfManyFramesIsOneAppend) {
  AppendMany(1, 3);
  std::vector<raft::EntryMeta> metas;
  std::string slice;
  LogPosition position = t.log->EndPosition();
  uint32_t chain = t.log->LastChainCrc();
  for (int i = 4; i <= 8; ++i) {
    std::string frame(kFrameHeaderSize, '\0');
    frame += Body(i);
    const FrameHeader header =
        SealFrame(LogIndex(i), Term(2), position, FrameType::kRecords, chain, frame);
    metas.push_back(MetaOf(header));
    slice += frame;
    position = header.end();
    chain = header.chain_crc;
  }
  ASSERT_TRUE(t.log->Append(metas, Bytes(slice)).ok());
  EXPECT_EQ(t.log->LastIndex(), LogIndex(8));
  EXPECT_EQ(t.log->LastChainCrc(), chain);
  EXPECT_EQ(*t.log->TermAt(LogIndex(3)), Term(1));
  EXPECT_EQ(*t.log->TermAt(LogIndex(4)), Term(2));
  t.Settle();
  EXPECT_EQ(t.acked, LogIndex(8));
  ASSERT_TRUE(t.Open().ok());
  for (int i = 1; i <= 8; ++i) EXPECT_EQ(*t.Body(LogIndex(i)), Body(i));
}

TEST_F(SegmentedLogTest, RecentSlicesAreServedWithoutACopy) {
  auto [meta, frame] = t.NextFrame("payload", Term(1));
  const Bytes bytes(frame);
  ASSERT_TRUE(t.log->Append(meta, bytes).ok());
  const auto slice = t.log->ReadSlice(std::span(&meta, 1));
  ASSERT_TRUE(slice.ok());
  EXPECT_EQ(slice->view().data(), bytes.view().data());
}

TEST_F(SegmentedLogTest, ASliceIsReadFromMemoryFileOrBoth) {
  t.options.tail_bytes = 1000;
  ASSERT_TRUE(t.Open().ok());
  AppendMany(1, 20);
  // Not written yet, but to be sent.
  for (int i = 21; i <= 23; ++i) ASSERT_TRUE(t.Append(Body(i)).ok());
  for (int first = 1; first <= 23; ++first) {
    const auto metas = t.log->EntriesFrom(LogIndex(first), 1 << 20, 100);
    ASSERT_TRUE(metas.ok()) << metas.status();
    ASSERT_FALSE(metas->empty());
    std::vector<raft::EntryMeta> in_segment;
    for (const raft::EntryMeta& meta : *metas) {
      if (SegmentOf(meta.position, kTestSegmentSize) ==
          SegmentOf(metas->front().position, kTestSegmentSize)) {
        in_segment.push_back(meta);
      }
    }
    const auto slice = t.log->ReadSlice(in_segment);
    ASSERT_TRUE(slice.ok()) << first << ": " << slice.status();
    uint32_t chain = *t.log->ChainCrcAt(LogIndex(first - 1));
    EXPECT_TRUE(
        CheckSlice(slice->view(), in_segment, chain, FrameLimits::OfSegments(kTestSegmentSize))
            .ok())
        << first;
  }
}

TEST_F(SegmentedLogTest, MetadataOfOldEntriesIsFoundAfterAReopen) {
  std::vector<raft::EntryMeta> metas;
  for (int i = 1; i <= 200; ++i) {
    auto [meta, frame] = t.NextFrame(Body(i, static_cast<size_t>(10 + i % 90)), Term(1 + i / 30));
    ASSERT_TRUE(t.log->Append(meta, Bytes(std::move(frame))).ok());
    metas.push_back(meta);
    t.Settle();
  }
  for (int reopened = 0; reopened < 2; ++reopened) {
    for (int i = 200; i >= 1; --i) {
      EXPECT_EQ(*t.log->EntryAt(LogIndex(i)), metas[static_cast<size_t>(i - 1)]);
      EXPECT_EQ(*t.log->TermAt(LogIndex(i)), Term(1 + i / 30));
      EXPECT_EQ(*t.log->EndAt(LogIndex(i)), metas[static_cast<size_t>(i - 1)].end());
    }
    LogIndex next(1);
    while (next <= LogIndex(200)) {
      const auto entries = t.log->EntriesFrom(next, 500, 7);
      ASSERT_TRUE(entries.ok()) << entries.status();
      ASSERT_FALSE(entries->empty());
      EXPECT_LE(entries->size(), 7u);
      for (const raft::EntryMeta& meta : *entries) {
        EXPECT_EQ(meta, metas[static_cast<size_t>(next.value() - 1)]);
        ++next;
      }
    }
    ASSERT_TRUE(t.Open().ok());
  }
}

TEST_F(SegmentedLogTest, ALostIndexFileOfASealedSegmentIsRebuiltOrDoneWithout) {
  AppendMany(1, 100);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.report.rebuilt_indexes, 0);
  // While running.
  ASSERT_TRUE(t.fs.Remove(SegmentIndexPath("/log", LogPosition(0))).ok());
  EXPECT_EQ(*t.Body(LogIndex(3)), Body(3));
  // At start.
  t.fs.FlipBit(SegmentIndexPath("/log", LogPosition(4096)), 30, 0);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.report.rebuilt_indexes, 2);
  EXPECT_FALSE(t.report.damaged);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.report.rebuilt_indexes, 0);
  for (int i = 1; i <= 100; ++i) EXPECT_EQ(*t.Body(LogIndex(i)), Body(i)) << i;
}

TEST_F(SegmentedLogTest, RotInAnOldSegmentIsFoundWhenItIsReadAndByTheScrub) {
  AppendMany(1, 100);
  ASSERT_TRUE(t.Open().ok());
  const auto scrub = [&](int64_t start) {
    const auto segment = t.log->SealedFrom(LogPosition(start));
    EXPECT_EQ(segment->start, LogPosition(start));
    absl::StatusOr<bool> ended = false;
    for (SegmentScrub s(*segment, kTestSegmentSize); ended.ok() && !*ended;) ended = s.Step(500);
    return ended.status();
  };
  EXPECT_EQ(scrub(0), absl::OkStatus());
  t.fs.FlipBit(t.Segment(0), 60, 2);
  EXPECT_TRUE(absl::IsDataLoss(t.Body(LogIndex(1)).status()));
  EXPECT_TRUE(absl::IsDataLoss(scrub(0)));
  EXPECT_EQ(scrub(4096), absl::OkStatus());
  const LogPosition last = SegmentOf(t.log->EndPosition() - 1, kTestSegmentSize);
  EXPECT_FALSE(t.log->SealedFrom(last).has_value()) << "the one that grows is no sealed one";
}

TEST_F(SegmentedLogTest, PositionsOutsideTheLogAreOutOfRange) {
  AppendMany(1, 3);
  std::string bytes;
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(LogPosition(-1), 1, &bytes)));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(t.log->EndPosition(), 1, &bytes)));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(LogPosition(INT64_MAX), 100, &bytes)));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(LogPosition(0), SIZE_MAX, &bytes)));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(LogPosition(4000), 200, &bytes)));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->TermAt(LogIndex(4)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(t.log->EntriesFrom(LogIndex(4), 1, 1).status()));
}

TEST_F(SegmentedLogTest, TheMarkCatchesUpWhenIdleAndAtStop) {
  AppendMany(1, 3);
  const auto mark = [&] {
    const auto file = t.fs.Open(t.Segment(0), OpenMode::kRead);
    return **ReadMark(**file, kTestSegmentSize);
  };
  EXPECT_LT(mark().position, t.log->EndPosition());
  t.writer.RunFor(1'000'000'000);
  EXPECT_EQ(mark().position, t.log->EndPosition());
  EXPECT_FALSE(mark().clean);
  const int64_t syncs = t.fs.Count(FileOp::kDataSync);
  t.writer.RunFor(10'000'000'000);
  EXPECT_EQ(t.fs.Count(FileOp::kDataSync), syncs) << "an idle log is left alone";
  AppendMany(4, 5);
  ASSERT_TRUE(t.Stop().ok());
  EXPECT_EQ(mark().position, t.log->EndPosition());
  EXPECT_EQ(mark().chain_crc, t.log->LastChainCrc());
  EXPECT_TRUE(mark().clean);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(mark().clean) << "until the next stop";
}

TEST_F(SegmentedLogTest, WhatWasWrittenLastIsReadWithoutTheDisk) {
  t.options.recent_bytes = 600;
  ASSERT_TRUE(t.Open().ok());
  for (int i = 1; i <= 20; ++i) ASSERT_TRUE(t.AppendAndSettle(std::string(100, 'a' + i)).ok());
  t.fs.AddFault({.op = FileOp::kRead,
                 .path_contains = "commitlog/0",
                 .times = -1,
                 .status = absl::UnavailableError("EIO")});
  std::string bytes;
  const auto read = [&](int index) {
    const raft::EntryMeta entry = *t.log->EntryAt(LogIndex(index));
    return t.log->Read(entry.position + kFrameHeaderSize, 100, &bytes);
  };
  ASSERT_TRUE(read(20).ok());
  EXPECT_EQ(bytes, std::string(100, 'a' + 20));
  EXPECT_TRUE(absl::IsUnavailable(read(1))) << "it is on the disk only";
  t.fs.ClearFaults();
  ASSERT_TRUE(read(1).ok());
  EXPECT_EQ(bytes, std::string(100, 'a' + 1));
}

TEST_F(SegmentedLogTest, WhatIsCutIsNotReadFromMemoryEither) {
  AppendMany(1, 6);
  const raft::EntryMeta cut = *t.log->EntryAt(LogIndex(4));
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(4)).ok());
  t.Settle();
  std::string bytes;
  EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(cut.position, kFrameHeaderSize, &bytes)));
  ASSERT_TRUE(t.AppendAndSettle("another", Term(2)).ok());
  ASSERT_TRUE(t.log->Read(cut.position + kFrameHeaderSize, 7, &bytes).ok());
  EXPECT_EQ(bytes, "another");
}

TEST_F(SegmentedLogTest, ALogThatStartsLaterKeepsItsStart) {
  LogUnderTest u;
  const LogStart start{LogIndex(1000), Term(7), LogPosition(3 * 4096 + 100), 0xABCD};
  ASSERT_TRUE(u.Create(start).ok());
  ASSERT_TRUE(u.Open().ok());
  EXPECT_EQ(u.log->FirstIndex(), LogIndex(1001));
  EXPECT_EQ(u.log->LastIndex(), LogIndex(1000));
  EXPECT_EQ(u.log->LastTerm(), Term(7));
  EXPECT_EQ(*u.log->TermAt(LogIndex(1000)), Term(7));
  EXPECT_EQ(*u.log->ChainCrcAt(LogIndex(1000)), 0xABCDu);
  EXPECT_TRUE(absl::IsOutOfRange(u.log->TermAt(LogIndex(999)).status()));
  for (int i = 1; i <= 60; ++i) ASSERT_TRUE(u.AppendAndSettle(Body(i), Term(8)).ok());
  EXPECT_EQ(u.log->EntryAt(LogIndex(1001))->position, start.position);
  ASSERT_TRUE(u.Open().ok());
  EXPECT_FALSE(u.report.damaged) << u.report.damage;
  EXPECT_EQ(u.log->LastIndex(), LogIndex(1060));
  for (int i = 1; i <= 60; ++i) EXPECT_EQ(*u.Body(LogIndex(1000 + i)), Body(i));
  ASSERT_TRUE(u.log->TruncateSuffix(LogIndex(1001)).ok());
  u.Settle();
  EXPECT_EQ(u.log->LastIndex(), LogIndex(1000));
  ASSERT_TRUE(u.AppendAndSettle("again", Term(9)).ok());
  ASSERT_TRUE(u.Open().ok());
  EXPECT_EQ(u.Bodies(), std::vector<std::string>{"again"});
}

TEST_F(SegmentedLogTest, ALogWhoseStartLeavesNoRoomBeginsInTheNextSegment) {
  LogUnderTest u;
  ASSERT_TRUE(u.Create({LogIndex(10), Term(1), LogPosition(4096 - 48), 1}).ok());
  ASSERT_TRUE(u.Open().ok());
  ASSERT_TRUE(u.AppendAndSettle("body", Term(2)).ok());
  EXPECT_EQ(u.log->EntryAt(LogIndex(11))->position, LogPosition(4096));
  ASSERT_TRUE(u.Open().ok());
  EXPECT_FALSE(u.report.damaged) << u.report.damage;
  EXPECT_EQ(u.Bodies(), std::vector<std::string>{"body"});
}

TEST_F(SegmentedLogTest, DestroyedWithWorkPostedNothingRunsAfter) {
  ASSERT_TRUE(t.Append("one").ok());
  t.writer.RunDue();
  t.log.reset();
  t.Settle();
  EXPECT_EQ(t.acked, LogIndex(0));
}

// ---- Dropping the beginning

class DroppedLogTest : public SegmentedLogTest {
 protected:
  void SetUp() override {
    SegmentedLogTest::SetUp();
    AppendMany(1, 100);  // 27 frames of 148 bytes in each segment
    ASSERT_EQ(t.log->EndPosition(), LogPosition(3 * 4096 + 19 * 148));
  }
  // What is left from the third segment on, by every way of reading.
  void ExpectTheRest() {
    EXPECT_EQ(t.log->FirstIndex(), LogIndex(55));
    EXPECT_EQ(t.log->FirstPosition(), LogPosition(8192));
    EXPECT_EQ(t.log->StartTerm(), Term(1));
    EXPECT_EQ(t.log->LastIndex(), LogIndex(100));
    for (int i = 55; i <= 100; ++i) EXPECT_EQ(*t.Body(LogIndex(i)), Body(i)) << i;
    EXPECT_TRUE(t.log->TermAt(LogIndex(54)).ok());
    EXPECT_TRUE(t.log->ChainCrcAt(LogIndex(54)).ok());
    EXPECT_TRUE(absl::IsOutOfRange(t.log->TermAt(LogIndex(53)).status()));
    EXPECT_TRUE(absl::IsOutOfRange(t.log->EntryAt(LogIndex(54)).status()));
    EXPECT_TRUE(absl::IsOutOfRange(t.log->EntriesFrom(LogIndex(54), 1 << 20, 10).status()));
    std::string bytes;
    EXPECT_TRUE(absl::IsOutOfRange(t.log->Read(LogPosition(4096), 48, &bytes)));
    EXPECT_TRUE(t.log->Read(LogPosition(8192), 48, &bytes).ok());
    EXPECT_EQ(t.log->Segments(), (std::vector{LogPosition(8192), LogPosition(3 * 4096)}));
    for (const int64_t start : {0, 4096}) {
      EXPECT_FALSE(*t.fs.Exists(t.Segment(start))) << start;
      EXPECT_FALSE(*t.fs.Exists(t.Segment(start) + ".idx")) << start;
    }
  }
};

TEST_F(DroppedLogTest, WhatIsBeforeThePositionIsGoneAndTheRestReadsAlsoAfterAReopen) {
  t.log->DropBefore(LogPosition(8192 + 100), LogIndex(100));
  EXPECT_EQ(t.log->FirstIndex(), LogIndex(1)) << "not before the new start is durable";
  t.Settle();
  ExpectTheRest();
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged);
  EXPECT_EQ(t.report.rebuilt_indexes, 0);
  ExpectTheRest();
  AppendMany(101, 130);
  ASSERT_TRUE(t.Open().ok());
  for (int i = 55; i <= 130; ++i) EXPECT_EQ(*t.Body(LogIndex(i)), Body(i)) << i;
}

TEST_F(DroppedLogTest, OnlyWholeSegmentsOfAppliedEntriesGoAndNeverTheLastOne) {
  t.log->DropBefore(LogPosition(1 << 20), LogIndex(27));
  t.Settle();
  EXPECT_EQ(t.log->FirstIndex(), LogIndex(1)) << "no entry behind the first segment is applied";
  t.log->DropBefore(LogPosition(8191), LogIndex(100));
  t.Settle();
  EXPECT_EQ(t.log->FirstIndex(), LogIndex(82)) << "the largest position that was named counts";
  t.log->DropBefore(LogPosition(1 << 30), LogIndex(100));
  t.Settle();
  EXPECT_EQ(t.log->Segments(), std::vector{LogPosition(3 * 4096)});
}

TEST_F(DroppedLogTest, ASegmentWithoutADurableEntryIsNoBeginning) {
  for (int i = 101; i <= 109; ++i) ASSERT_TRUE(t.Append(Body(i)).ok());  // into a fifth segment
  ASSERT_EQ(t.log->EntryAt(LogIndex(109))->position, LogPosition(4 * 4096));
  t.log->DropBefore(LogPosition(4 * 4096), LogIndex(109));
  t.background.RunDue();
  t.replica.RunDue();
  EXPECT_EQ(t.log->FirstIndex(), LogIndex(82));
  t.Settle();
  t.log->DropBefore(LogPosition(4 * 4096), LogIndex(109));
  t.Settle();
  EXPECT_EQ(t.log->FirstIndex(), LogIndex(109));
}

TEST_F(DroppedLogTest, FilesThatACrashLeftBehindGoAtTheNextStart) {
  t.log->DropBefore(LogPosition(8192), LogIndex(100));
  ASSERT_TRUE(t.background.RunOne());  // log-start; nobody removes the files
  ASSERT_TRUE(*t.fs.Exists(t.Segment(0)));
  ASSERT_TRUE(*t.fs.Exists(t.Segment(4096)));
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged);
  ExpectTheRest();
}

TEST_F(DroppedLogTest, AStartThatCannotBeWrittenStopsTheLog) {
  t.fs.AddFault({.op = FileOp::kRename, .status = absl::UnavailableError("EIO")});
  t.log->DropBefore(LogPosition(8192), LogIndex(100));
  t.Settle();
  EXPECT_EQ(t.failures, 1);
  EXPECT_EQ(t.log->FirstIndex(), LogIndex(1));
}

}  // namespace
}  // namespace raftmq::dledger
