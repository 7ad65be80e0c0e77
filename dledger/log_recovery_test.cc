// What a start makes of every kind of file a crash, a bad disk or a hand can leave. Numbers in
// comments name the entries of the catalogue of bugs found in the wild that a test guards against.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/strings.h"
#include "dledger/hard_state_file.h"
#include "dledger/log_test_support.h"
#include "dledger/segmented_log.h"

namespace raftmq::dledger {
namespace {

std::string Body(int i, size_t size = 200) {
  std::string body = StrCat("body ", i, " ");
  body.resize(size, static_cast<char>('a' + i % 26));
  return body;
}

std::vector<std::string> Bodies(int to) {
  std::vector<std::string> bodies;
  for (int i = 1; i <= to; ++i) bodies.push_back(Body(i));
  return bodies;
}

class LogRecoveryTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(t.Create().ok());
    ASSERT_TRUE(t.Open().ok());
  }
  // Each its own flush: the mark ends up before the last one.
  void AppendMany(int from, int to) {
    for (int i = from; i <= to; ++i) ASSERT_TRUE(t.AppendAndSettle(Body(i)).ok()) << i;
  }
  LogPosition PositionOf(int index) { return t.log->EntryAt(LogIndex(index))->position; }
  void Flip(LogPosition position) {
    const LogPosition start = SegmentOf(position, kTestSegmentSize);
    t.fs.FlipBit(SegmentPath("/log", start), position - start, 3);
  }
  std::string Flag() { return *DamagedFlag(&t.fs, "/log/damaged").Read(); }
  // Opens a damaged log both ways; afterwards `left` entries are there.
  void ExpectDamage(int left) {
    const std::string before = t.fs.UsedBytes() > 0 ? Everything() : "";
    const absl::Status stopped = t.Open(DamageAction::kStop);
    EXPECT_TRUE(absl::IsDataLoss(stopped)) << stopped;
    EXPECT_TRUE(t.report.damaged);
    EXPECT_NE(Flag(), "");
    EXPECT_EQ(Everything(), before) << "the segments are left alone";
    const absl::Status opened = t.Open(DamageAction::kQuarantine);
    ASSERT_TRUE(opened.ok()) << opened;
    EXPECT_TRUE(t.report.damaged);
    EXPECT_EQ(t.Bodies(), Bodies(left));
    EXPECT_NE(Flag(), "");
    // It can be repaired by a leader, and is whole from then on.
    AppendMany(left + 1, left + 30);
    ASSERT_TRUE(t.Open(DamageAction::kStop).ok()) << t.report.damage;
    EXPECT_FALSE(t.report.damaged);
    EXPECT_EQ(t.Bodies(), Bodies(left + 30));
    EXPECT_NE(Flag(), "") << "only the replica clears it";
  }
  // Names and contents of the commit log but what is prepared.
  std::string Everything() {
    std::string all;
    const std::vector<std::string> names = *t.fs.List("/log/commitlog");
    for (const std::string& name : names) {
      if (!ParseSegmentName(name).has_value()) continue;
      all += StrCat(name, ":", *ReadFile(&t.fs, StrCat("/log/commitlog/", name)), "\n");
    }
    return all;
  }
  LogUnderTest t;
};

TEST_F(LogRecoveryTest, TornTailIsDroppedAndRewritten) {
  AppendMany(1, 3);
  const LogPosition end = t.log->EndPosition();
  Flip(PositionOf(3) + 60);  // the last flush: not known durable
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged);
  EXPECT_GT(t.report.torn_tail_bytes, 0);
  EXPECT_EQ(t.Bodies(), Bodies(2));
  const std::string file = *ReadFile(&t.fs, t.Segment(0));
  const auto from = static_cast<size_t>(t.log->EndPosition().value());
  EXPECT_EQ(file.substr(from, kTestSegmentSize - from), std::string(kTestSegmentSize - from, '\0'));
  AppendMany(3, 3);
  EXPECT_EQ(t.log->EndPosition(), end);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.Bodies(), Bodies(3));
}

TEST_F(LogRecoveryTest, ABadFrameAboveTheMarkIsCutWhateverFollowsIt) {
  AppendMany(1, 2);
  for (int i = 3; i <= 6; ++i) ASSERT_TRUE(t.Append(Body(i)).ok());
  t.Settle();  // one flush
  Flip(PositionOf(4) + 50);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged);
  EXPECT_EQ(t.Bodies(), Bodies(3)) << "entries 5 and 6 are intact, but nothing after a hole counts";
  EXPECT_EQ(Flag(), "");
}

// 19: truncating at a checksum error in the middle of the log removes committed entries.
TEST_F(LogRecoveryTest, ABadFrameBelowTheMarkIsDamageNotATornTail) {
  AppendMany(1, 10);
  Flip(PositionOf(5) + 60);
  ExpectDamage(4);
  // What was given up is kept aside, with the entries after the bad one.
  const std::string kept = *ReadFile(&t.fs, "/log/quarantine/00000000000000000000.1");
  EXPECT_NE(kept.find(Body(9)), std::string::npos);
}

TEST_F(LogRecoveryTest, ABadLastFrameBelowTheMarkIsDamage) {
  AppendMany(1, 3);
  t.writer.RunFor(1'000'000'000);  // idle: the mark catches up
  Flip(PositionOf(3) + 1);
  ExpectDamage(2);
}

TEST_F(LogRecoveryTest, AfterAnOrderlyStopTheWholeLogIsGuarded) {
  AppendMany(1, 3);
  const LogPosition last = PositionOf(3);
  ASSERT_TRUE(t.Stop().ok());
  Flip(last + 47);
  ExpectDamage(2);
}

TEST_F(LogRecoveryTest, AFlagFromAnEarlierStartSaysWhatWasFoundNow) {
  AppendMany(1, 5);
  ASSERT_TRUE(DamagedFlag(&t.fs, "/log/damaged").Set("earlier").ok());
  Flip(PositionOf(2));
  ASSERT_TRUE(t.Open(DamageAction::kQuarantine).ok());
  EXPECT_TRUE(t.report.damaged);
  EXPECT_NE(Flag(), "earlier") << "it would be cleared by who repaired the earlier damage";
  EXPECT_NE(Flag(), "");
}

TEST_F(LogRecoveryTest, AMarkOfWhichNoSlotIsReadableIsDamage) {
  AppendMany(1, 10);
  Flip(PositionOf(5) + 60);  // below what the mark would say
  for (int64_t slot : {0, 4096}) t.fs.FlipBit(t.Segment(0), kTestSegmentSize + slot + 20, 1);
  ExpectDamage(4);
}

TEST_F(LogRecoveryTest, OneBlockOfTheTrailerMayBeBad) {
  AppendMany(1, 10);
  Flip(PositionOf(5) + 60);
  t.fs.Overwrite(t.Segment(0), kTestSegmentSize, std::string(4096, 'x'));
  ExpectDamage(4);
}

TEST_F(LogRecoveryTest, TheFirstMarkOfASegmentMayBeTorn) {
  AppendMany(1, 17);  // 16 in a segment: one flush in the second
  t.fs.Overwrite(t.Segment(4096), kTestSegmentSize, std::string(2 * 4096, '\0'));
  t.fs.Overwrite(t.Segment(4096), kTestSegmentSize, "torn");
  ASSERT_TRUE(t.Open().ok()) << t.report.damage;
  EXPECT_EQ(t.Bodies(), Bodies(17));
}

TEST_F(LogRecoveryTest, AfterARecoveryNoSingleBlockIsAllThatGuardsTheLog) {
  AppendMany(1, 10);
  t.fs.Overwrite(t.Segment(0), kTestSegmentSize, std::string(2 * 4096, '\0'));
  ASSERT_TRUE(t.Open().ok());
  t.Close();
  for (int64_t slot : {0, 4096}) {
    const std::string file = *ReadFile(&t.fs, t.Segment(0));
    EXPECT_NE(file.substr(static_cast<size_t>(kTestSegmentSize + slot), 40), std::string(40, '\0'));
  }
}

TEST_F(LogRecoveryTest, WhileTheFlagIsSetSealedSegmentsAreReadToo) {
  AppendMany(1, 40);
  Flip(PositionOf(20) + 100);
  ASSERT_TRUE(DamagedFlag(&t.fs, "/log/damaged").Set("rot found while running").ok());
  ASSERT_TRUE(t.Open(DamageAction::kQuarantine).ok());
  EXPECT_TRUE(t.report.damaged);
  EXPECT_EQ(t.Bodies(), Bodies(19));
}

TEST_F(LogRecoveryTest, TheFirstFrameBadIsDamageOfAll) {
  AppendMany(1, 5);
  Flip(LogPosition(9));
  ExpectDamage(0);
}

// 20: a member with an emptied or shortened log must not vote as if it were complete.
TEST_F(LogRecoveryTest, AZeroedSegmentIsDamage) {
  AppendMany(1, 5);
  t.fs.Overwrite(t.Segment(0), 0, std::string(kTestSegmentSize, '\0'));
  ExpectDamage(0);
}

TEST_F(LogRecoveryTest, AMissingLatestSegmentIsDamage) {
  AppendMany(1, 40);  // 16 in a segment
  ASSERT_TRUE(t.fs.Remove(t.Segment(2 * 4096)).ok());
  ExpectDamage(32);
}

TEST_F(LogRecoveryTest, AMissingMiddleSegmentIsDamage) {
  AppendMany(1, 40);
  ASSERT_TRUE(t.fs.Remove(t.Segment(4096)).ok());
  ExpectDamage(16);
  EXPECT_TRUE(*t.fs.Exists("/log/quarantine/00000000000000008192.1"));
}

TEST_F(LogRecoveryTest, AMissingFirstSegmentIsDamage) {
  AppendMany(1, 40);
  ASSERT_TRUE(t.fs.Remove(t.Segment(0)).ok());
  ExpectDamage(0);
}

TEST_F(LogRecoveryTest, AllSegmentsMissingIsDamageNotAnEmptyLog) {
  AppendMany(1, 40);
  for (int64_t start : {0, 4096, 8192}) ASSERT_TRUE(t.fs.Remove(t.Segment(start)).ok());
  ExpectDamage(0);
}

TEST_F(LogRecoveryTest, ASegmentCutShortIsDamage) {
  AppendMany(1, 40);
  const LogPosition cut = PositionOf(20) + 10;
  {
    auto file = *t.fs.Open(t.Segment(4096), OpenMode::kReadWrite);
    ASSERT_TRUE(file->Truncate(cut.value() - 4096).ok());
    ASSERT_TRUE(file->DataSync().ok());
  }
  ExpectDamage(19);
}

TEST_F(LogRecoveryTest, RotInASealedSegmentIsDamageOnceItsIndexIsLost) {
  AppendMany(1, 40);
  Flip(PositionOf(20) + 100);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged) << "sealed segments are trusted from their index; see the scrub";
  ASSERT_TRUE(t.fs.Remove(SegmentIndexPath("/log", LogPosition(4096))).ok());
  ExpectDamage(19);
}

TEST_F(LogRecoveryTest, AnIndexOfAnotherHistoryIsNotTrusted) {
  AppendMany(1, 40);
  const std::string path = SegmentIndexPath("/log", LogPosition(4096));
  const std::string stale = *ReadFile(&t.fs, path);
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(18)).ok());
  t.Settle();
  for (int i = 18; i <= 40; ++i) {
    ASSERT_TRUE(t.AppendAndSettle(Body(i), Term(2)).ok());
  }
  ASSERT_TRUE(WriteFileAtomically(&t.fs, path, stale).ok());
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.report.rebuilt_indexes, 1);
  EXPECT_EQ(*t.log->TermAt(LogIndex(18)), Term(2));
  EXPECT_EQ(t.Bodies(), Bodies(40));
}

// 21: metadata that cannot be read is no reason to delete data.
TEST_F(LogRecoveryTest, AnUnreadableRollFileIsDamageAndNothingIsLost) {
  AppendMany(1, 40);
  t.fs.FlipBit("/log/roll", 3, 0);
  EXPECT_TRUE(absl::IsDataLoss(t.Open(DamageAction::kStop)));
  ASSERT_TRUE(t.Open(DamageAction::kQuarantine).ok());
  EXPECT_TRUE(t.report.damaged);
  EXPECT_EQ(t.Bodies(), Bodies(40));
  ASSERT_TRUE(t.Open(DamageAction::kStop).ok());
}

TEST_F(LogRecoveryTest, AnUnreadableLogStartStopsAndChangesNothing) {
  AppendMany(1, 40);
  t.fs.FlipBit("/log/log-start", 3, 0);
  const std::string before = Everything();
  EXPECT_TRUE(absl::IsDataLoss(t.Open(DamageAction::kQuarantine)));
  EXPECT_EQ(Everything(), before);
  t.fs.FlipBit("/log/log-start", 3, 0);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.Bodies(), Bodies(40));
}

// A write that the disk reported and never did (misdirected, phantom).
TEST_F(LogRecoveryTest, APhantomWriteIsFoundAtTheNextStart) {
  AppendMany(1, 3);
  t.fs.AddFault(
      {.op = FileOp::kWrite, .path_contains = t.Segment(0), .times = -1, .phantom = true});
  int last = 3;
  while (t.log->EndPosition() < LogPosition(kTestSegmentSize)) {
    ++last;
    AppendMany(last, last);  // acknowledged: nobody can know
  }
  EXPECT_EQ(t.acked, LogIndex(last));
  t.fs.ClearFaults();
  AppendMany(last + 1, last + 2);
  ExpectDamage(3);
}

// A flush writes the block that it begins in anew, with what earlier flushes left there.
TEST_F(LogRecoveryTest, APhantomWriteIsMadeGoodByTheNextFlushOfItsBlock) {
  AppendMany(1, 3);
  t.fs.AddFault({.op = FileOp::kWrite, .path_contains = "0000", .phantom = true});
  AppendMany(4, 4);
  AppendMany(5, 5);
  ASSERT_TRUE(t.Open(DamageAction::kStop).ok()) << t.report.damage;
  EXPECT_EQ(t.Bodies(), Bodies(5));
}

// Old sectors that come back hold intact frames, of an earlier history.
TEST_F(LogRecoveryTest, StaleFramesThatTheMarkDisprovesAreDamage) {
  AppendMany(1, 6);
  const std::string stale = *ReadFile(&t.fs, t.Segment(0));
  ASSERT_TRUE(t.log->TruncateSuffix(LogIndex(4)).ok());
  t.Settle();
  for (int i = 4; i <= 6; ++i) {
    ASSERT_TRUE(t.AppendAndSettle(Body(i + 100), Term(2)).ok());
  }
  t.writer.RunFor(1'000'000'000);
  t.fs.Overwrite(t.Segment(0), 0, stale.substr(0, kTestSegmentSize));
  EXPECT_TRUE(absl::IsDataLoss(t.Open(DamageAction::kStop)));
  EXPECT_NE(Flag(), "");
}

TEST_F(LogRecoveryTest, ADiskThatCannotBeReadIsAnErrorNotDamage) {
  AppendMany(1, 10);
  t.fs.AddFault({.op = FileOp::kRead,
                 .path_contains = "commitlog/0",
                 .times = -1,
                 .status = absl::UnavailableError("EIO")});
  EXPECT_TRUE(absl::IsUnavailable(t.Open(DamageAction::kQuarantine)));
  t.fs.ClearFaults();
  EXPECT_EQ(Flag(), "");
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.Bodies(), Bodies(10));
}

// 18: what a killed process left in the page cache is not durable until we sync it.
TEST_F(LogRecoveryTest, WhatIsFoundIsSyncedBeforeItCountsAsDurable) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    LogUnderTest u;
    Random random(seed);
    ASSERT_TRUE(u.Create().ok());
    ASSERT_TRUE(u.Open().ok());
    ASSERT_TRUE(u.AppendAndSettle(Body(1)).ok());
    ASSERT_TRUE(u.Append(Body(2)).ok());
    u.fs.HaltBefore(2);  // the frames, the mark - the sync
    u.Settle();
    EXPECT_EQ(u.acked, LogIndex(1));
    u.Close();
    u.fs.Kill();
    ASSERT_TRUE(u.Open().ok());
    EXPECT_EQ(u.log->DurableIndex(), LogIndex(2));
    u.Close();
    u.fs.Crash(&random);
    ASSERT_TRUE(u.Open().ok());
    EXPECT_EQ(u.Bodies(), Bodies(2)) << "seed " << seed;
  }
}

// A mark that were synced together with what it vouches for could survive alone.
TEST_F(LogRecoveryTest, TheMarkOfARecoveryNeverRunsAheadOfTheData) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    for (int64_t step = 0; step < 6; ++step) {
      LogUnderTest u;
      Random random(seed);
      ASSERT_TRUE(u.Create().ok());
      ASSERT_TRUE(u.Open().ok());
      ASSERT_TRUE(u.AppendAndSettle(Body(1)).ok());
      ASSERT_TRUE(u.Append(Body(2, 900)).ok());
      u.fs.HaltBefore(2);
      u.Settle();
      u.Close();
      u.fs.Kill();
      u.fs.HaltBefore(step);
      (void)u.Open().ok();
      u.Close();
      u.fs.Crash(&random);
      const absl::Status opened = u.Open();
      ASSERT_TRUE(opened.ok()) << "seed " << seed << " step " << step << ": " << opened;
    }
  }
}

TEST_F(LogRecoveryTest, SegmentsBeyondTheRecordedLatestAreRemoved) {
  AppendMany(1, 20);
  const std::string extra(static_cast<size_t>(SegmentFileSize(kTestSegmentSize)), '\0');
  ASSERT_TRUE(WriteFileAtomically(&t.fs, t.Segment(8192), extra).ok());
  ASSERT_TRUE(WriteFileAtomically(&t.fs, t.Segment(12288), extra).ok());
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.report.damaged);
  EXPECT_EQ(t.log->Segments(), (std::vector<LogPosition>{LogPosition(0), LogPosition(4096)}));
  EXPECT_FALSE(*t.fs.Exists(t.Segment(8192)));
  EXPECT_EQ(t.Bodies(), Bodies(20));
}

TEST_F(LogRecoveryTest, APreparedSegmentIsUsedAgainAndAHalfPreparedOneIsNot) {
  AppendMany(1, 3);
  ASSERT_TRUE(*t.fs.Exists("/log/commitlog/next"));
  ASSERT_TRUE(WriteFileAtomically(&t.fs, "/log/commitlog/next.tmp", "garbage").ok());
  const int64_t writes = t.fs.Count(FileOp::kWrite);
  ASSERT_TRUE(t.Open().ok());
  t.Settle();
  EXPECT_LE(t.fs.Count(FileOp::kWrite), writes + 2) << "nothing is zeroed once more";
  EXPECT_FALSE(*t.fs.Exists("/log/commitlog/next.tmp"));
  AppendMany(4, 40);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.Bodies(), Bodies(40));
  // One of the wrong size, of another configuration say.
  ASSERT_TRUE(t.fs.Remove("/log/commitlog/next").ok());
  ASSERT_TRUE(WriteFileAtomically(&t.fs, "/log/commitlog/next", "short and not zero").ok());
  ASSERT_TRUE(t.Open().ok());
  AppendMany(41, 80);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.Bodies(), Bodies(80));
}

TEST_F(LogRecoveryTest, ARecoveryThatIsItselfInterruptedIsRepeatedSafely) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (int64_t step = 0;; ++step) {
      LogUnderTest u;
      Random random(seed);
      ASSERT_TRUE(u.Create().ok());
      ASSERT_TRUE(u.Open().ok());
      for (int i = 1; i <= 18; ++i) ASSERT_TRUE(u.AppendAndSettle(Body(i)).ok());
      ASSERT_TRUE(u.fs.Remove(SegmentIndexPath("/log", LogPosition(0))).ok());
      const LogPosition last = u.log->EntryAt(LogIndex(18))->position;
      u.fs.FlipBit(u.Segment(4096), last.value() - 4096 + 60, 1);
      u.Close();
      u.fs.HaltBefore(step);
      (void)u.Open().ok();
      const bool halted = u.fs.halted();
      u.Close();
      u.fs.Crash(&random);
      const absl::Status opened = u.Open();
      ASSERT_TRUE(opened.ok()) << "seed " << seed << " step " << step << ": " << opened;
      EXPECT_EQ(u.Bodies(), Bodies(17));
      if (!halted) break;
      ASSERT_LT(step, 100);
    }
  }
}

TEST_F(LogRecoveryTest, AQuarantineThatIsInterruptedLeavesAFlaggedLog) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (int64_t step = 0;; ++step) {
      LogUnderTest u;
      Random random(seed);
      ASSERT_TRUE(u.Create().ok());
      ASSERT_TRUE(u.Open().ok());
      for (int i = 1; i <= 40; ++i) ASSERT_TRUE(u.AppendAndSettle(Body(i)).ok());
      ASSERT_TRUE(u.fs.Remove(u.Segment(4096)).ok());
      ASSERT_TRUE(u.fs.SyncDir("/log/commitlog").ok());
      u.Close();
      u.fs.HaltBefore(step);
      (void)u.Open(DamageAction::kQuarantine).ok();
      const bool halted = u.fs.halted();
      u.Close();
      u.fs.Crash(&random);
      const absl::Status opened = u.Open(DamageAction::kQuarantine);
      ASSERT_TRUE(opened.ok()) << "seed " << seed << " step " << step << ": " << opened;
      EXPECT_EQ(u.Bodies(), Bodies(16)) << "seed " << seed << " step " << step;
      EXPECT_NE(*DamagedFlag(&u.fs, "/log/damaged").Read(), "");
      // The given-up segment was never deleted.
      EXPECT_TRUE(*u.fs.Exists("/log/quarantine/00000000000000008192.1"));
      if (!halted) break;
      ASSERT_LT(step, 200);
    }
  }
}

}  // namespace
}  // namespace raftmq::dledger
