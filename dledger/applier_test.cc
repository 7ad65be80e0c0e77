// Entries reach the state machine once, in order, from memory or from the disk.
#include "dledger/applier.h"

#include <memory>
#include <string>
#include <vector>

#include "base/strings.h"
#include "dledger/log_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::dledger {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BodiesMachine final : public StateMachine {
 public:
  LogIndex DurableAppliedIndex() const override { return LogIndex(0); }
  absl::Status Apply(std::span<const CommittedEntry> entries) override {
    if (!fail.ok()) return fail;
    batches.push_back(entries.size());
    for (const CommittedEntry& entry : entries) {
      EXPECT_EQ(entry.body_position, entry.position + kFrameHeaderSize);
      EXPECT_EQ(entry.end, entry.body_position + static_cast<int64_t>(entry.body.size()));
      bodies.emplace_back(entry.body);
    }
    return absl::OkStatus();
  }
  void BeginLeadership(Term) override {}
  void EndLeadership() override {}

  std::vector<std::string> bodies;
  std::vector<size_t> batches;
  absl::Status fail;
};

class ApplierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(log_.Create().ok());
    ASSERT_TRUE(log_.Open().ok());
    Make({});
  }

  void Make(Applier::Options options) {
    options.segment_size = kTestSegmentSize;
    applier_ = std::make_unique<Applier>(options, log_.log.get(), &machine_, &apply_, &log_.replica,
                                         LogIndex(0), LogPosition(0),
                                         [this](const absl::Status& status) { told_ = status; });
  }

  // Appends and remembers, as the leader does: a piece per frame.
  void Append(const std::string& body, Term term = Term(1)) {
    auto [meta, frame] = log_.NextFrame(body, term);
    Bytes bytes(std::move(frame));
    ASSERT_TRUE(log_.log->Append(meta, bytes).ok());
    applier_->Remember({&meta, 1}, bytes);
  }

  // Appends several as one piece, as a follower does.
  void AppendPiece(const std::vector<std::string>& bodies, Term term = Term(1)) {
    std::vector<raft::EntryMeta> metas;
    std::string joined;
    for (const std::string& body : bodies) {
      auto [meta, frame] = log_.NextFrame(body, term);
      ASSERT_TRUE(log_.log->Append(meta, Bytes(frame)).ok());
      metas.push_back(meta);
      joined += frame;
    }
    applier_->Remember(metas, Bytes(std::move(joined)));
  }

  void Run() {
    do {
      log_.Settle();
    } while (apply_.RunDue() > 0);
  }

  LogUnderTest log_;
  ManualTaskRunner apply_{&log_.clock};
  BodiesMachine machine_;
  absl::Status told_;
  std::unique_ptr<Applier> applier_;
};

TEST_F(ApplierTest, NothingIsAppliedBeyondTheLimit) {
  AppendPiece({"a", "b", "c"});
  Append("d");
  applier_->ApplyUpTo(LogIndex(2));
  Run();
  EXPECT_THAT(machine_.bodies, ElementsAre("a", "b"));
  EXPECT_EQ(applier_->applied(), LogIndex(2));
  applier_->ApplyUpTo(LogIndex(4));
  Run();
  EXPECT_THAT(machine_.bodies, ElementsAre("a", "b", "c", "d"));
  EXPECT_TRUE(applier_->idle());
}

TEST_F(ApplierTest, EntriesThatWereCutAndReplacedAreNotApplied) {
  AppendPiece({"a", "b", "old c", "old d"});
  Append("old e");
  ASSERT_TRUE(log_.log->TruncateSuffix(LogIndex(3)).ok());
  applier_->Truncate(LogIndex(3));
  Run();
  AppendPiece({"c", "d"}, Term(2));
  Append("e", Term(2));
  applier_->ApplyUpTo(LogIndex(5));
  Run();
  EXPECT_THAT(machine_.bodies, ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(ApplierTest, OldEntriesAreReadFromTheLogAcrossSegments) {
  std::vector<std::string> bodies;
  for (int i = 0; i < 90; ++i) {
    bodies.push_back(StrCat("entry ", i, std::string(static_cast<size_t>(i * 7 % 700), '.')));
    ASSERT_TRUE(log_.AppendAndSettle(bodies.back()).ok());
  }
  ASSERT_GT(log_.log->EndPosition(), LogPosition(2 * kTestSegmentSize));
  applier_->ApplyUpTo(LogIndex(90));
  Run();
  EXPECT_TRUE(told_.ok()) << told_;
  EXPECT_EQ(machine_.bodies, bodies);
}

TEST_F(ApplierTest, WhatMemoryDoesNotHoldAnyMoreComesFromTheLogAndTheRestFromMemory) {
  Applier::Options options;
  options.recent_bytes = 500;
  options.batch_bytes = 300;
  options.job_bytes = 400;
  Make(options);
  std::vector<std::string> bodies;
  for (int i = 0; i < 60; ++i) {
    bodies.push_back(StrCat("entry ", i));
    Append(bodies.back());
    log_.Settle();
  }
  applier_->ApplyUpTo(LogIndex(60));
  Run();
  EXPECT_EQ(machine_.bodies, bodies);
  EXPECT_GT(machine_.batches.size(), 5u) << "batches are bounded";
}

TEST_F(ApplierTest, ALimitThatGrowsWhileAJobRunsIsHonouredAfterIt) {
  Append("a");
  applier_->ApplyUpTo(LogIndex(1));
  EXPECT_FALSE(applier_->idle());
  Append("b");
  applier_->ApplyUpTo(LogIndex(2));
  Run();
  EXPECT_THAT(machine_.bodies, ElementsAre("a", "b"));
}

TEST_F(ApplierTest, AfterAnErrorNothingMoreIsApplied) {
  Append("a");
  machine_.fail = absl::InternalError("no such command");
  applier_->ApplyUpTo(LogIndex(1));
  Run();
  EXPECT_THAT(std::string(Message(told_)), ::testing::HasSubstr("applying entries 1 to 1"));
  EXPECT_FALSE(applier_->log_failed());
  machine_.fail = absl::OkStatus();
  Append("b");
  applier_->ApplyUpTo(LogIndex(2));
  Run();
  EXPECT_THAT(machine_.bodies, IsEmpty());
}

TEST_F(ApplierTest, RotInTheLogIsAnErrorAndIsNotApplied) {
  log_.options.recent_bytes = 0;
  ASSERT_TRUE(log_.Open().ok());
  Make({});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(log_.AppendAndSettle("intact").ok());
  const auto second = log_.log->EntryAt(LogIndex(2));
  ASSERT_TRUE(second.ok());
  log_.fs.FlipBit(log_.Segment(0), second->position.value() + kFrameHeaderSize + 1, 0);
  applier_->ApplyUpTo(LogIndex(3));
  Run();
  EXPECT_TRUE(absl::IsDataLoss(told_)) << told_;
  EXPECT_TRUE(applier_->log_failed());
  EXPECT_LE(machine_.bodies.size(), 1u);
}

}  // namespace
}  // namespace raftmq::dledger
