#include "raft/raft_log.h"

#include <vector>

#include "gtest/gtest.h"
#include "raft/testing/memory_log.h"
#include "raft/testing/messages.h"

namespace raftmq::raft {
namespace {

using testing::Entries;
using testing::MemoryLog;
using testing::TermsOf;

constexpr int64_t kSegment = 1000;

// Entries of 100 bytes with `terms` on disk, none in memory.
struct OnDisk {
  explicit OnDisk(const std::vector<int64_t>& terms, int64_t committed = 0) {
    for (const EntryMeta& e : Entries({}, terms, kSegment)) storage.Append(e);
    log = std::make_unique<RaftLog>(&storage, storage.End(), LogIndex(committed), LogIndex(0));
  }
  void Append(const std::vector<int64_t>& terms) {
    for (const EntryMeta& e : Entries(log->last(), terms, kSegment)) {
      log->Append(e);
      storage.Append(e);
    }
  }
  MemoryLog storage;
  std::unique_ptr<RaftLog> log;
};

TEST(RaftLog, ReadsOldEntriesFromStorageAndNewOnesFromMemory) {
  OnDisk d({1, 2, 2});
  d.Append({3, 3});
  const int64_t terms[] = {0, 1, 2, 2, 3, 3};
  for (int64_t i = 0; i <= 5; ++i) {
    EXPECT_EQ(*d.log->TermAt(LogIndex(i)), Term(terms[i])) << i;
    EXPECT_EQ(*d.log->EndAt(LogIndex(i)), LogPosition(i * 100)) << i;
  }
  EXPECT_TRUE(absl::IsOutOfRange(d.log->TermAt(LogIndex(6)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(d.log->TermAt(LogIndex(-1)).status()));
}

TEST(RaftLog, ASliceIsContiguousInOneSegmentAndWithinItsLimits) {
  OnDisk d(std::vector<int64_t>(8, 1));
  d.Append(std::vector<int64_t>(12, 1));  // 9 entries of 100 fit a segment, a tenth fills it
  const auto count = [&d](int64_t first, int64_t bytes, int32_t n) {
    return d.log->Slice(LogIndex(first), bytes, n, kSegment)->size();
  };
  EXPECT_EQ(count(1, 1 << 20, 100), 8u);  // what storage has
  EXPECT_EQ(count(9, 1 << 20, 100), 2u);  // to the segment's end
  EXPECT_EQ(count(11, 1 << 20, 100), 10u);
  EXPECT_EQ(count(11, 350, 100), 3u);
  EXPECT_EQ(count(11, 1 << 20, 4), 4u);
  EXPECT_EQ(count(11, 10, 100), 1u);  // at least one
  EXPECT_EQ(count(2, 350, 100), 3u);
}

TEST(RaftLog, NeverAsksStorageForWhatItRemoved) {
  OnDisk d({1, 1, 1, 1});
  ASSERT_TRUE(d.log->TruncateFrom(LogIndex(3)).ok());  // storage still holds four
  EXPECT_EQ(d.log->last(), (LogEnd{LogIndex(2), Term(1), LogPosition(200)}));
  EXPECT_EQ(d.log->durable(), LogIndex(2));
  EXPECT_EQ(d.log->Slice(LogIndex(1), 1 << 20, 100, kSegment)->size(), 2u);
  EXPECT_FALSE(*d.log->Matches(LogIndex(3), Term(1)));
}

TEST(RaftLog, AFailedReadLeavesATruncationUndone) {
  OnDisk d({1, 1, 1, 1});
  d.storage.FailReads(absl::DataLossError("disk"));
  EXPECT_TRUE(absl::IsDataLoss(d.log->TruncateFrom(LogIndex(3))));
  EXPECT_EQ(d.log->last().index, LogIndex(4));
}

TEST(RaftLog, FindsTheLastEntryWithATermAtMost) {
  OnDisk d({1, 1, 3, 3});
  d.Append({3, 5, 5});
  const auto find = [&d](int64_t upto, int64_t term) {
    return d.log->LastWithTermAtMost(LogIndex(upto), Term(term))->value();
  };
  EXPECT_EQ(find(7, 5), 7);
  EXPECT_EQ(find(100, 9), 7);
  EXPECT_EQ(find(7, 4), 5);
  EXPECT_EQ(find(4, 4), 4);
  EXPECT_EQ(find(7, 2), 2);
  EXPECT_EQ(find(7, 0), 0);
  EXPECT_EQ(find(0, 9), 0);
}

TEST(RaftLog, CompactedEntriesComeFromStorage) {
  OnDisk d({});
  d.Append({1, 1, 2, 2});
  d.log->CommitTo(LogIndex(4));
  ASSERT_TRUE(d.log->DurableTo(LogIndex(4), Term(2)));
  d.log->AppliedTo(LogIndex(3));
  d.log->Compact(LogIndex(3));
  EXPECT_EQ(d.log->base(), LogIndex(3));
  EXPECT_EQ(d.log->tail().size(), 1u);
  EXPECT_EQ(*d.log->TermAt(LogIndex(2)), Term(1));
  EXPECT_EQ(TermsOf(*d.log->Slice(LogIndex(1), 1 << 20, 100, kSegment)),
            (std::vector<int64_t>{1, 1, 2}));
}

TEST(RaftLog, DroppedEntriesMatchAnyLeaderSinceTheyWereCommitted) {
  OnDisk d({1, 1, 2, 2}, /*committed=*/4);
  d.storage.DropBefore(LogIndex(4));
  EXPECT_TRUE(*d.log->Matches(LogIndex(1), Term(1)));
  EXPECT_FALSE(*d.log->Matches(LogIndex(4), Term(1)));
  EXPECT_TRUE(absl::IsOutOfRange(d.log->Slice(LogIndex(2), 100, 1, kSegment).status()));
}

TEST(RaftLog, DurabilityNeedsTheTermOfTheEntryThatWasSynced) {
  OnDisk d({1});
  d.Append({1, 1});
  EXPECT_FALSE(d.log->DurableTo(LogIndex(9), Term(1)));
  EXPECT_TRUE(d.log->DurableTo(LogIndex(2), Term(1)));
  EXPECT_FALSE(d.log->DurableTo(LogIndex(2), Term(1)));  // known
  ASSERT_TRUE(d.log->TruncateFrom(LogIndex(2)).ok());
  d.log->Append(Entries(d.log->last(), {2}, kSegment)[0]);
  EXPECT_FALSE(d.log->DurableTo(LogIndex(2), Term(1)));
  EXPECT_EQ(d.log->durable(), LogIndex(1));
}

using RaftLogDeathTest = ::testing::Test;

TEST(RaftLogDeathTest, DiesRatherThanRemoveACommittedEntry) {
  OnDisk d({1, 1, 1}, /*committed=*/2);
  EXPECT_DEATH((void)d.log->TruncateFrom(LogIndex(2)), "committed");
}

}  // namespace
}  // namespace raftmq::raft
