// How what proposals write becomes frames, and how waiting is bounded.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/endian.h"
#include "base/random.h"
#include "base/strings.h"
#include "dledger/frame.h"
#include "dledger/proposal_batcher.h"
#include "dledger/proposal_queue.h"
#include "gtest/gtest.h"
#include "raft/types.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kSegment = 16 << 10;

class ProposalBatcherTest : public ::testing::Test {
 protected:
  ProposalBatcher::Options Defaults() {
    return {kSegment, 2048, [this](int64_t bytes) {
              asked_for_ = bytes;
              return room_;
            }};
  }

  // Writes a record of one repeated letter; returns its position.
  LogPosition Record(char letter, size_t size) {
    const auto reserved = batcher_.ReserveRecord(size);
    EXPECT_TRUE(reserved.ok()) << reserved.status();
    std::memset(reserved->data, letter, size);
    return reserved->position;
  }

  void Begin(AckLevel level = AckLevel::kMajorityDisk) { batcher_.BeginProposal(level); }

  absl::Status room_;
  int64_t asked_for_ = 0;
  ProposalBatcher batcher_{Defaults()};
};

TEST_F(ProposalBatcherTest, RecordsOfSeveralProposalsShareAFrameBackToBack) {
  batcher_.StartAt(LogPosition(100));
  Begin();
  EXPECT_EQ(Record('a', 10), LogPosition(148));
  EXPECT_EQ(batcher_.KeepProposal(), 0u);
  Begin();
  EXPECT_EQ(Record('b', 20), LogPosition(158));
  EXPECT_EQ(batcher_.KeepProposal(), 0u);
  const auto frames = batcher_.TakeFrames();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].position, LogPosition(100));
  EXPECT_EQ(frames[0].bytes.view().substr(48), std::string(10, 'a') + std::string(20, 'b'));
}

TEST_F(ProposalBatcherTest, CommandsCarryTheirLengthAndKeepTheOrderOfCalls) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  Record('a', 10);
  ASSERT_TRUE(batcher_.AppendCommand("first").ok());
  ASSERT_TRUE(batcher_.AppendCommand("second!").ok());
  Record('b', 10);
  EXPECT_EQ(batcher_.KeepProposal(), 2u);
  const auto frames = batcher_.TakeFrames();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].type, FrameType::kRecords);
  EXPECT_EQ(frames[1].type, FrameType::kCommands);
  EXPECT_EQ(frames[2].type, FrameType::kRecords);
  const std::string_view body = frames[1].bytes.view();
  EXPECT_EQ(LoadBe<uint32_t>(body.data() + 48), 5u);
  EXPECT_EQ(body.substr(52, 5), "first");
  EXPECT_EQ(LoadBe<uint32_t>(body.data() + 57), 7u);
  EXPECT_EQ(body.substr(61), "second!");
}

TEST_F(ProposalBatcherTest, WhatIsReservedAtOnceIsOneEntryWhatIsNotMayBeTwo) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  Record('a', 1900);
  const auto atomic = batcher_.ReserveRecords({500, 500, 500});
  ASSERT_TRUE(atomic.ok());
  EXPECT_EQ((*atomic)[1].position, (*atomic)[0].position + 500);
  EXPECT_EQ((*atomic)[2].data, (*atomic)[1].data + 500);
  EXPECT_EQ(batcher_.KeepProposal(), 1u);
  EXPECT_EQ(batcher_.TakeFrames().size(), 2u);
}

TEST_F(ProposalBatcherTest, MemoryReservedEarlierInADecisionStaysValidWhenFramesClose) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  std::vector<ProposalWriter::Reservation> reserved;
  for (int i = 0; i < 50; ++i) reserved.push_back(*batcher_.ReserveRecord(300));
  for (int i = 0; i < 50; ++i) std::memset(reserved[i].data, 'A' + i % 26, 300);
  batcher_.KeepProposal();
  std::string all;
  for (const auto& frame : batcher_.TakeFrames()) all += frame.bytes.view().substr(48);
  std::string expected;
  for (int i = 0; i < 50; ++i) expected += std::string(300, static_cast<char>('A' + i % 26));
  EXPECT_EQ(all, expected);
}

TEST_F(ProposalBatcherTest, ARefusedProposalIsRolledBackAcrossFrames) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  Record('a', 100);
  batcher_.KeepProposal();
  Begin(AckLevel::kMajorityMemory);
  Record('x', 100);
  Record('x', 3000);  // closes the frame that held the first proposal
  ASSERT_TRUE(batcher_.AppendCommand("x").ok());
  batcher_.DropProposal();
  Begin();
  EXPECT_EQ(Record('b', 100), LogPosition(148));
  batcher_.KeepProposal();
  const auto frames = batcher_.TakeFrames();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes.view().substr(48), std::string(100, 'a') + std::string(100, 'b'));
  EXPECT_FALSE(frames[0].ack_in_memory) << "nobody who waits for memory is left";
}

TEST_F(ProposalBatcherTest, AFirstProposalThatIsRefusedLeavesNoFrame) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  Record('x', 100);
  Record('x', 3000);
  batcher_.DropProposal();
  EXPECT_EQ(batcher_.held_bytes(), 0);
  EXPECT_EQ(batcher_.held_frames(), 0u);
  EXPECT_TRUE(batcher_.TakeFrames().empty());
}

TEST_F(ProposalBatcherTest, AProposalThatWroteNothingHasNoFrame) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  Record('a', 10);
  batcher_.KeepProposal();
  Begin();
  EXPECT_EQ(batcher_.KeepProposal(), std::nullopt);
}

TEST_F(ProposalBatcherTest, OnlyTheFrameOfWhoWaitsForMemoryAsksForIt) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  Record('a', 10);
  batcher_.KeepProposal();
  Begin(AckLevel::kMajorityMemory);
  ASSERT_TRUE(batcher_.AppendCommand("c").ok());
  batcher_.KeepProposal();
  const auto frames = batcher_.TakeFrames();
  EXPECT_FALSE(frames[0].ack_in_memory);
  EXPECT_TRUE(frames[1].ack_in_memory);
}

TEST_F(ProposalBatcherTest, TooMuchForAFrameIsRefusedAndSoIsWhatTheLogHasNoRoomFor) {
  batcher_.StartAt(LogPosition(0));
  Begin();
  EXPECT_TRUE(batcher_.ReserveRecord(MaxBodySize(kSegment)).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      batcher_.ReserveRecord(static_cast<size_t>(MaxBodySize(kSegment)) + 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(batcher_.ReserveRecords({2000, 3000}).status()));
  room_ = absl::ResourceExhaustedError("disk full");
  EXPECT_TRUE(absl::IsResourceExhausted(batcher_.ReserveRecord(10).status()));
  EXPECT_GE(asked_for_, batcher_.held_bytes() + 10);
}

TEST_F(ProposalBatcherTest, ASmallFrameDoesNotHoldALargeBuffer) {
  batcher_.StartAt(LogPosition(0));
  for (int turn = 0; turn < 3; ++turn) {
    Begin();
    Record('a', 100);
    batcher_.KeepProposal();
    const auto frames = batcher_.TakeFrames();
    EXPECT_LT(frames[0].bytes.capacity(), 256u);
  }
}

// The rule by which the core places a frame, held to over random sizes: whatever happens, each frame
// lies where the core will put it.
TEST_F(ProposalBatcherTest, EveryFrameLiesWhereTheCoreWillPlaceIt) {
  Random random(42);
  LogPosition end(0);
  for (int turn = 0; turn < 3'000; ++turn) {
    batcher_.StartAt(end);
    for (int64_t n = random.Between(0, 8); n > 0; --n) {
      Begin();
      for (int64_t writes = random.Between(0, 4); writes > 0; --writes) {
        const auto size = static_cast<size_t>(
            random.Chance(0.1) ? random.Between(1, MaxBodySize(kSegment)) : random.Between(1, 500));
        if (random.Chance(0.3)) {
          ASSERT_TRUE(batcher_.AppendCommand(std::string(std::min<size_t>(size, 4000), 'c')).ok());
        } else {
          Record('r', size);
        }
      }
      if (random.Chance(0.2)) {
        batcher_.DropProposal();
      } else {
        batcher_.KeepProposal();
      }
    }
    const int64_t held = batcher_.held_bytes();
    int64_t sum = 0;
    for (const auto& frame : batcher_.TakeFrames()) {
      const auto size = static_cast<int64_t>(frame.bytes.size());
      ASSERT_EQ(frame.position, raft::PlaceFrame(end, size, kSegment)) << "turn " << turn;
      end = frame.position + size;
      sum += size;
    }
    ASSERT_EQ(sum, held);
  }
}

class Sized final : public Proposal {
 public:
  explicit Sized(size_t size) : size_(size) {}
  absl::Status Decide(ProposalWriter&) override { return absl::OkStatus(); }
  void Done(const ProposalOutcome&) override {}
  size_t ByteSize() const override { return size_; }

 private:
  const size_t size_;
};

TEST(ProposalQueue, OnlyTheFirstPushAfterATakeAsksForAWakeUp) {
  ProposalQueue queue({.max_count = 10, .max_bytes = 1000});
  bool wake = false;
  std::vector<std::unique_ptr<Proposal>> taken;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3; ++i) {
      std::unique_ptr<Proposal> proposal = std::make_unique<Sized>(1);
      ASSERT_TRUE(queue.Push(proposal, &wake).ok());
      EXPECT_EQ(wake, i == 0);
    }
    queue.TakeAll(&taken);
  }
  EXPECT_EQ(taken.size(), 6u);
}

TEST(ProposalQueue, WhatWasTakenCountsUntilItIsReleased) {
  ProposalQueue queue({.max_count = 10, .max_bytes = 1000});
  bool wake = false;
  std::vector<std::unique_ptr<Proposal>> taken;
  std::unique_ptr<Proposal> proposal = std::make_unique<Sized>(600);
  ASSERT_TRUE(queue.Push(proposal, &wake).ok());
  queue.TakeAll(&taken);
  proposal = std::make_unique<Sized>(600);
  EXPECT_TRUE(absl::IsResourceExhausted(queue.Push(proposal, &wake)));
  EXPECT_NE(proposal, nullptr) << "the caller still has it, to answer it";
  queue.Release(1, 600);
  EXPECT_TRUE(queue.Push(proposal, &wake).ok());
}

TEST(ProposalQueue, AfterCloseEveryPushIsRefusedWithTheReason) {
  ProposalQueue queue({});
  queue.Close(absl::UnavailableError("stopped"));
  queue.Close(absl::UnavailableError("again"));
  bool wake = false;
  std::unique_ptr<Proposal> proposal = std::make_unique<Sized>(1);
  EXPECT_EQ(queue.Push(proposal, &wake), absl::UnavailableError("stopped"));
}

}  // namespace
}  // namespace raftmq::dledger
