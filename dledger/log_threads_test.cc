// The log on a real disk with real threads: what the simulator's single thread cannot show.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>

#include "base/event_loop.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/thread.h"
#include "dledger/frame.h"
#include "dledger/log_files.h"
#include "dledger/segmented_log.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kSegmentSize = 1 << 20;
constexpr int kEntries = 3000;

std::string Body(int i) {
  std::string body = StrCat("body ", i, " ");
  body.resize(static_cast<size_t>(500 + i % 3000), static_cast<char>('a' + i % 26));
  return body;
}

// Runs `call` on the loop and waits for what it returns.
template <typename Call>
auto OnLoop(EventLoop& loop, Call call) {
  std::promise<decltype(call())> promise;
  loop.Post([&] { promise.set_value(call()); });
  return promise.get_future().get();
}

class LogThreadsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = StrCat(testing::TempDir(), "/raftmq_log_", ::getpid());
    ASSERT_TRUE(fs_->RemoveAll(dir_).ok());
    ASSERT_TRUE(CreateLog(fs_, dir_, LogStart{}).ok());
  }
  void TearDown() override { ASSERT_TRUE(fs_->RemoveAll(dir_).ok()); }

  absl::Status Open() {
    auto opened = SegmentedLog::Open({.fs = fs_,
                                      .dir = dir_,
                                      .segment_size = kSegmentSize,
                                      .replica = &replica_,
                                      .writer = &writer_,
                                      .background = &background_,
                                      .damaged_flag = dir_ + "/damaged",
                                      .tail_bytes = 1 << 16,
                                      .reserve_bytes = 0},
                                     nullptr);
    if (!opened.ok()) return opened.status();
    log_ = *std::move(opened);
    return OnLoop(replica_, [this] {
      log_->SetCallbacks({.on_durable = [this](LogIndex index, Term) { acked_ = index.value(); },
                          .on_failure =
                              [this](const absl::Status& status) {
                                ADD_FAILURE() << status;
                                failed_ = true;
                              },
                          .on_room = [] {}});
      return absl::OkStatus();
    });
  }

  // As many as there is room for now, on the replica thread.
  void AppendSome() {
    while (next_ <= kEntries) {
      std::string frame(kFrameHeaderSize, '\0');
      frame += Body(next_);
      const auto size = static_cast<int64_t>(frame.size());
      if (!log_->HasRoomFor(size).ok()) return;
      const LogPosition position = raft::PlaceFrame(log_->EndPosition(), size, kSegmentSize);
      const FrameHeader header = SealFrame(LogIndex(next_), Term(1), position, FrameType::kRecords,
                                           log_->LastChainCrc(), frame);
      const absl::Status appended = log_->Append(MetaOf(header), Bytes(std::move(frame)));
      if (absl::IsUnavailable(appended)) return;
      ASSERT_TRUE(appended.ok()) << appended;
      positions_[next_++] = position.value();
    }
  }

  FileSystem* const fs_ = PosixFileSystem();
  std::string dir_;
  EventLoop replica_{"replica"};
  EventLoop background_{"background"};
  EventLoop writer_{"log-writer"};
  std::unique_ptr<SegmentedLog> log_;
  std::atomic<int64_t> acked_ = 0;
  std::atomic<bool> failed_ = false;
  int next_ = 1;
  std::array<std::atomic<int64_t>, kEntries + 1> positions_ = {};
};

TEST_F(LogThreadsTest, ReadersSeeWhatIsDurableWhileTheLogGrowsAcrossSegments) {
  ASSERT_TRUE(Open().ok());
  std::thread reader = StartThread("reader", [this] {
    Random random(7);
    std::string bytes;
    while (acked_ < kEntries && !failed_) {
      const int64_t durable = acked_;
      if (durable == 0) continue;
      const auto i = static_cast<int>(random.Between(1, durable));
      const std::string expected = Body(i);
      const absl::Status read =
          log_->Read(LogPosition(positions_[i] + kFrameHeaderSize), expected.size(), &bytes);
      ASSERT_TRUE(read.ok()) << read;
      ASSERT_EQ(bytes, expected);
    }
  });
  while (acked_ < kEntries && !failed_) {
    OnLoop(replica_, [this] {
      AppendSome();
      return 0;
    });
  }
  reader.join();
  ASSERT_FALSE(failed_);

  std::promise<absl::Status> stopped;
  OnLoop(replica_, [&] {
    log_->Stop([&](absl::Status status) { stopped.set_value(std::move(status)); });
    return 0;
  });
  EXPECT_TRUE(stopped.get_future().get().ok());
  OnLoop(replica_, [this] {
    log_.reset();
    return 0;
  });

  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(log_->LastIndex(), LogIndex(kEntries));
  EXPECT_GT(log_->Segments().size(), 4u);
  LogPosition from;
  while (const auto sealed = log_->SealedFrom(from)) {
    from = sealed->start + log_->segment_size();
    const auto intact = SegmentScrub(*sealed, log_->segment_size()).Step(INT32_MAX);
    EXPECT_TRUE(intact.ok() && *intact) << intact.status();
  }
  OnLoop(replica_, [this] {
    log_.reset();
    return 0;
  });
}

TEST_F(LogThreadsTest, DestroyedInTheMiddleOfItsWork) {
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(Open().ok());
    next_ = OnLoop(replica_, [this] { return static_cast<int>(log_->LastIndex().value()) + 1; });
    OnLoop(replica_, [this] {
      AppendSome();
      return 0;
    });
    OnLoop(replica_, [this] {
      log_.reset();
      return 0;
    });
    // What was running on the writer is over; what was queued is not run any more.
    OnLoop(writer_, [] { return 0; });
    OnLoop(background_, [] { return 0; });
  }
}

}  // namespace
}  // namespace raftmq::dledger
