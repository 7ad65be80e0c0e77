#include "dledger/hard_state_file.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "base/testing/memory_file_system.h"

namespace raftmq::dledger {
namespace {

constexpr char kPath[] = "/store/hardstate";

class HardStateTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fs_.CreateDirs("/store").ok());
    ASSERT_TRUE(fs_.SyncDir("/").ok());
  }
  raft::HardState Read() {
    const auto state = HardStateFile(&fs_, kPath).Read();
    EXPECT_TRUE(state.ok()) << state.status();
    return state.value_or(raft::HardState{Term(-1)});
  }
  MemoryFileSystem fs_;
};

TEST_F(HardStateTest, IsTermZeroWithoutAVoteBeforeTheFirstWrite) {
  EXPECT_EQ(Read(), raft::HardState{});
}

TEST_F(HardStateTest, SurvivesACrashOnceWritten) {
  HardStateFile file(&fs_, kPath);
  ASSERT_TRUE(file.Write({Term(7), MemberId(2)}).ok());
  EXPECT_EQ(*ReadFile(&fs_, kPath), "term=7\nvote=2\ncrc=981c9179\n");
  Random random(1);
  fs_.Crash(&random);
  EXPECT_EQ(Read(), (raft::HardState{Term(7), MemberId(2)}));
}

TEST_F(HardStateTest, AnyFailedStepIsAnErrorAndTheLastOneEver) {
  const FileOp steps[] = {FileOp::kCreate, FileOp::kWrite, FileOp::kDataSync, FileOp::kRename,
                          FileOp::kSyncDir};
  for (FileOp step : steps) {
    MemoryFileSystem fs;
    ASSERT_TRUE(fs.CreateDirs("/store").ok());
    HardStateFile file(&fs, kPath);
    ASSERT_TRUE(file.Write({Term(1), MemberId(1)}).ok());
    fs.AddFault({.op = step, .status = absl::UnavailableError("EIO")});
    EXPECT_TRUE(absl::IsUnavailable(file.Write({Term(2), MemberId(2)})))
        << "step " << static_cast<int>(step);
    const int64_t calls = fs.MutatingCalls();
    EXPECT_FALSE(file.Write({Term(3), MemberId(3)}).ok()) << "poisoned";
    EXPECT_EQ(fs.MutatingCalls(), calls) << "nothing is tried again";
  }
}

TEST_F(HardStateTest, ACrashAtAnyStepLeavesTheOldOrTheNewState) {
  const raft::HardState old_state{Term(5), MemberId(1)};
  const raft::HardState new_state{Term(6), MemberId(3)};
  for (uint64_t seed = 0; seed < 50; ++seed) {
    for (int64_t step = 0; step < 10; ++step) {
      MemoryFileSystem fs;
      Random random(seed);
      ASSERT_TRUE(fs.CreateDirs("/store").ok());
      ASSERT_TRUE(fs.SyncDir("/").ok());
      ASSERT_TRUE(HardStateFile(&fs, kPath).Write(old_state).ok());
      fs.HaltBefore(step);
      const bool written = HardStateFile(&fs, kPath).Write(new_state).ok();
      fs.Crash(&random);
      const auto state = HardStateFile(&fs, kPath).Read();
      ASSERT_TRUE(state.ok()) << "seed " << seed << " step " << step << ": " << state.status();
      if (written) {
        EXPECT_EQ(*state, new_state) << "seed " << seed << " step " << step;
      } else {
        EXPECT_TRUE(*state == old_state || *state == new_state) << "seed " << seed;
      }
    }
  }
}

// A vote that a killed process had renamed but not synced must not be acted on, and then be undone
// by a power loss.
TEST_F(HardStateTest, WhatIsReadAfterAKillSurvivesAPowerLoss) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    MemoryFileSystem fs;
    Random random(seed);
    ASSERT_TRUE(fs.CreateDirs("/store").ok());
    ASSERT_TRUE(fs.SyncDir("/").ok());
    ASSERT_TRUE(HardStateFile(&fs, kPath).Write({Term(5), MemberId(1)}).ok());
    fs.HaltBefore(4);  // create, write, sync, rename - sync of the folder
    EXPECT_FALSE(HardStateFile(&fs, kPath).Write({Term(6), MemberId(3)}).ok());
    fs.Kill();
    const auto seen = HardStateFile(&fs, kPath).Read();
    ASSERT_TRUE(seen.ok());
    fs.Crash(&random);
    EXPECT_EQ(*HardStateFile(&fs, kPath).Read(), *seen) << "seed " << seed;
  }
}

TEST_F(HardStateTest, EveryFlippedBitMakesItUnreadable) {
  HardStateFile file(&fs_, kPath);
  ASSERT_TRUE(file.Write({Term(7), MemberId(2)}).ok());
  const auto size = static_cast<int64_t>(ReadFile(&fs_, kPath)->size());
  for (int64_t byte = 0; byte < size; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      fs_.FlipBit(kPath, byte, bit);
      EXPECT_TRUE(absl::IsDataLoss(file.Read().status())) << byte << "." << bit;
      fs_.FlipBit(kPath, byte, bit);
    }
  }
  EXPECT_TRUE(file.Read().ok());
}

TEST_F(HardStateTest, TheDamagedFlagStaysUntilCleared) {
  DamagedFlag flag(&fs_, "/store/damaged");
  EXPECT_EQ(*flag.Read(), "");
  ASSERT_TRUE(flag.Set("two\nlines").ok());
  Random random(1);
  fs_.Crash(&random);
  EXPECT_EQ(*flag.Read(), "two lines");
  ASSERT_TRUE(flag.Clear().ok());
  EXPECT_EQ(*flag.Read(), "");
  ASSERT_TRUE(flag.Clear().ok());
}

TEST_F(HardStateTest, AnUnreadableDamagedFlagIsSet) {
  DamagedFlag flag(&fs_, "/store/damaged");
  ASSERT_TRUE(flag.Set("reason").ok());
  fs_.FlipBit("/store/damaged", 3, 3);
  EXPECT_NE(*flag.Read(), "");
}

}  // namespace
}  // namespace raftmq::dledger
