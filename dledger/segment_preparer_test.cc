#include "dledger/segment_preparer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "base/strings.h"
#include "base/thread.h"
#include "dledger/log_files.h"
#include "dledger/log_test_support.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kSegmentSize = 4 << 20;
constexpr int64_t kSteps = 16 + 1;  // of 256 KiB, and what is left
constexpr int64_t kSecond = 1'000'000'000;
const char kNext[] = "/log/commitlog/next";

class SegmentPreparerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fs_.CreateDirs("/log").ok());
    ASSERT_TRUE(CreateLog(&fs_, "/log", LogStart()).ok());
    preparer_ = std::make_shared<SegmentPreparer>(
        SegmentPreparer::Options{
            .fs = &fs_,
            .dir = "/log",
            .segment_size = kSegmentSize,
            .full_disk_retry_nanos = kSecond,
            .background = &background_,
            .on_ready = [this] { ++told_; },
            .on_failure = [this](const absl::Status& status) { failures_.push_back(status); },
        },
        /*ready=*/false);
  }

  // What is zeroed lies in writes, what is only allocated does not.
  int64_t Writes() const { return fs_.Count(FileOp::kWrite); }

  FakeClock clock_;
  ManualTaskRunner background_{&clock_};
  MemoryFileSystem fs_;
  int told_ = 0;
  std::vector<absl::Status> failures_;
  std::shared_ptr<SegmentPreparer> preparer_;
};

TEST_F(SegmentPreparerTest, ASegmentIsReadyWhenItsRoomIsAllocatedAndZeroedAfterwards) {
  preparer_->Start();
  EXPECT_TRUE(absl::IsUnavailable(preparer_->state()));
  const int64_t before = Writes();
  background_.RunDue();
  EXPECT_TRUE(preparer_->state().ok());
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(ReadFile(&fs_, kNext)->size(), SegmentFileSize(kSegmentSize));
  EXPECT_EQ(Writes(), before + 1) << "the page of the marks";
  background_.RunFor(kSecond);
  EXPECT_EQ(Writes(), before + 1 + kSteps);
  EXPECT_EQ(background_.size(), 0u);
  preparer_->Start();
  EXPECT_EQ(background_.size(), 0u) << "one is ready";
}

TEST_F(SegmentPreparerTest, ABusyLogHasTheDiskForItself) {
  preparer_->Start();
  background_.RunDue();
  const int64_t before = Writes();
  preparer_->LogWrote(8 << 20);
  for (int i = 0; i < 50; ++i) {
    preparer_->LogWrote(5 << 20);
    background_.RunFor(16'000'000);  // 320 MiB/s
  }
  EXPECT_EQ(Writes(), before);
  EXPECT_TRUE(preparer_->state().ok()) << "and the segment can be taken all the time";
  background_.RunFor(kSecond);
  EXPECT_EQ(Writes(), before + kSteps) << "goes on when the log is calm";
}

TEST_F(SegmentPreparerTest, ALogThatWritesLittleAtATimeIsNotBusy) {
  preparer_->Start();
  background_.RunDue();
  const int64_t before = Writes();
  for (int i = 0; i < 20; ++i) {
    preparer_->LogWrote(100 << 10);
    background_.RunFor(4'000'000);  // 25 MiB/s
  }
  EXPECT_EQ(Writes(), before + kSteps);
}

TEST_F(SegmentPreparerTest, WhatIsTakenIsNotZeroedAnyMore) {
  preparer_->Start();
  background_.RunDue();
  const int64_t before = Writes();
  background_.RunFor(10'000'000);  // some steps
  EXPECT_GT(Writes(), before);
  ASSERT_TRUE(preparer_->Claim());
  EXPECT_FALSE(preparer_->Claim());
  const auto file = *preparer_->NameClaimed(LogPosition(0));
  const std::string frames(kSegmentSize, 'f');
  ASSERT_TRUE(file->PWrite(0, frames).ok());
  preparer_->Start();
  background_.RunFor(kSecond);
  EXPECT_EQ(ReadFile(&fs_, SegmentPath("/log", LogPosition(0)))->substr(0, kSegmentSize), frames);
  EXPECT_TRUE(preparer_->state().ok()) << "and another one is ready";
  EXPECT_TRUE(*fs_.Exists(kNext));
  EXPECT_EQ(background_.size(), 0u);
}

TEST_F(SegmentPreparerTest, ARollWaitsForTheStepThatIsUnderWay) {
  preparer_->Start();
  background_.RunDue();
  absl::Notification zeroing, go_on, renamed;
  fs_.SetHook([&](FileOp op, const std::string& path) {
    if (op == FileOp::kWrite && !zeroing.HasBeenNotified()) {
      zeroing.Notify();
      go_on.WaitForNotification();
    }
    if (op == FileOp::kRename && path == kNext) renamed.Notify();
  });
  std::thread background = StartThread("background", [&] { background_.RunFor(5'000'000); });
  zeroing.WaitForNotification();
  ASSERT_TRUE(preparer_->Claim());
  std::thread writer = StartThread(
      "writer", [&] { EXPECT_TRUE(preparer_->NameClaimed(LogPosition(0)).ok()); });
  EXPECT_FALSE(renamed.WaitForNotificationWithTimeout(absl::Milliseconds(100)));
  go_on.Notify();
  writer.join();
  background.join();
  EXPECT_TRUE(renamed.HasBeenNotified());
  fs_.SetHook(nullptr);
}

TEST_F(SegmentPreparerTest, WhereNothingCanBeAllocatedASegmentIsReadyWhenItIsZeroed) {
  fs_.SetCanAllocate(false);
  preparer_->Start();
  const int64_t before = Writes();
  while (!preparer_->state().ok()) ASSERT_TRUE(background_.RunOne());
  EXPECT_EQ(Writes(), before + kSteps);
  EXPECT_EQ(ReadFile(&fs_, kNext)->size(), SegmentFileSize(kSegmentSize));
  background_.RunFor(kSecond);
  EXPECT_EQ(Writes(), before + kSteps);
  ASSERT_TRUE(preparer_->Claim());
  EXPECT_TRUE(preparer_->NameClaimed(LogPosition(0)).ok());
}

TEST_F(SegmentPreparerTest, TheFirstSegmentIsZeroedWholeBeforeItIsUsed) {
  const int64_t before = Writes();
  preparer_->PrepareNow();
  EXPECT_TRUE(preparer_->state().ok());
  EXPECT_EQ(Writes(), before + 1 + kSteps);
  preparer_->Start();
  EXPECT_EQ(background_.size(), 0u);
}

TEST_F(SegmentPreparerTest, ADiskThatFailsWhileASegmentIsZeroedStopsTheLog) {
  preparer_->Start();
  background_.RunDue();
  fs_.AddFault({.op = FileOp::kWrite, .status = absl::UnavailableError("EIO")});
  background_.RunFor(kSecond);
  ASSERT_EQ(failures_.size(), 1u);
  EXPECT_EQ(background_.size(), 0u);
}

TEST_F(SegmentPreparerTest, ALogThatFailedIsNotZeroedForAnyMore) {
  preparer_->Start();
  background_.RunDue();
  const int64_t before = Writes();
  preparer_->Stop();
  background_.RunFor(kSecond);
  EXPECT_EQ(Writes(), before);
  EXPECT_EQ(background_.size(), 0u);
}

TEST_F(SegmentPreparerTest, ADiskWithoutRoomIsTriedAgainUntilThereIs) {
  fs_.SetCapacity(fs_.UsedBytes() + kSegmentSize);
  preparer_->Start();
  background_.RunDue();
  EXPECT_TRUE(absl::IsResourceExhausted(preparer_->state())) << preparer_->state();
  EXPECT_EQ(told_, 1);
  preparer_->Start();
  background_.RunFor(3 * kSecond);
  EXPECT_TRUE(absl::IsResourceExhausted(preparer_->state()));
  EXPECT_FALSE(*fs_.Exists(StrCat(kNext, ".tmp")));
  fs_.SetCapacity(-1);
  background_.RunFor(2 * kSecond);
  EXPECT_TRUE(preparer_->state().ok());
  EXPECT_TRUE(failures_.empty());
}

// A file system that copies on write can lack the room for what it allocated.
TEST_F(SegmentPreparerTest, AReadySegmentThatHasNoRoomAfterAllIsTakenBack) {
  preparer_->Start();
  background_.RunDue();
  fs_.AddFault({.op = FileOp::kWrite, .status = absl::ResourceExhaustedError("ENOSPC")});
  background_.RunFor(kSecond / 2);
  EXPECT_TRUE(absl::IsResourceExhausted(preparer_->state()));
  EXPECT_FALSE(preparer_->Claim());
  EXPECT_FALSE(*fs_.Exists(kNext));
  background_.RunFor(kSecond);
  EXPECT_TRUE(preparer_->state().ok());
  EXPECT_TRUE(failures_.empty());
}

}  // namespace
}  // namespace raftmq::dledger
