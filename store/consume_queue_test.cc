#include "store/consume_queue.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/thread.h"
#include "gtest/gtest.h"
#include "store/applied_mark.h"
#include "store/consume_queue_set.h"

namespace raftmq::store {
namespace {

namespace stdfs = std::filesystem;

ConsumeQueueEntry Entry(int64_t position) {
  return {LogPosition(position), 100 + static_cast<int32_t>(position % 50), -position};
}

class ConsumeQueues : public testing::Test {
 protected:
  ConsumeQueues() {
    // In memory where there is such a place: no test here needs a real disk.
    std::string pattern =
        (stdfs::exists("/dev/shm") ? "/dev/shm" : testing::TempDir()) + "/queues.XXXXXX";
    root_ = mkdtemp(pattern.data());
    directory_ = root_ + "/consumequeue";
  }
  ~ConsumeQueues() override { stdfs::remove_all(root_); }

  // Opens the set anew, as a process that starts does. What was not flushed is lost.
  void Restart(ConsumeQueueSet::Options options = {.entries_per_file = 10}) {
    set_.reset();
    auto set = ConsumeQueueSet::Open(PosixFileSystem(), directory_, options);
    ASSERT_TRUE(set.ok()) << set.status();
    set_ = *std::move(set);
  }

  // Applies "log entries" [from, to): entry i is at position i * 1000 and is the next message of
  // queue i % 3 of topic T.
  void Apply(int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const absl::Status status =
          set_->Append("T", QueueId(i % 3), QueueOffset(i / 3), Entry(i * 1000));
      ASSERT_TRUE(status.ok()) << status;
    }
  }
  static AppliedMark MarkAt(int64_t i) { return {LogIndex(i), LogPosition(i * 1000)}; }
  void Flush(int64_t i) {
    const absl::Status status = set_->Flush(MarkAt(i));
    ASSERT_TRUE(status.ok()) << status;
  }

  std::string Dump() {
    auto dump = set_->DumpLogical();
    EXPECT_TRUE(dump.ok()) << dump.status();
    return dump.value_or("");
  }

  // Relative path and content of every file below the directory.
  std::vector<std::pair<std::string, std::string>> Files() const {
    std::vector<std::pair<std::string, std::string>> files;
    for (const auto& file : stdfs::recursive_directory_iterator(directory_)) {
      if (!file.is_regular_file()) continue;
      files.emplace_back(file.path().string().substr(directory_.size() + 1),
                         ReadFile(PosixFileSystem(), file.path().string()).value());
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  std::string FilePath(int64_t queue, int64_t file) const {
    char name[32];
    snprintf(name, sizeof(name), "%020lld", static_cast<long long>(file * 200));
    return StrCat(directory_, "/T/", queue, "/", static_cast<const char*>(name));
  }

  std::shared_ptr<ConsumeQueue> Queue(int64_t id, std::string_view topic = "T") {
    return set_->Find(topic, QueueId(id));
  }

  std::string root_, directory_;
  std::unique_ptr<ConsumeQueueSet> set_;
};

TEST_F(ConsumeQueues, AnEntryIsTwentyBigEndianBytesAtItsOffset) {
  Restart();
  ASSERT_TRUE(set_->Append("T", QueueId(0), QueueOffset(0), {LogPosition(0), 1, 0}).ok());
  ASSERT_TRUE(set_->Append("T", QueueId(0), QueueOffset(1),
                           {LogPosition(0x0102030405060708), 0x090A0B0C, int64_t{-2}})
                  .ok());
  ASSERT_TRUE(set_->Flush({LogIndex(1), LogPosition(0x0102030405060709)}).ok());
  const std::string bytes = ReadFile(PosixFileSystem(), FilePath(0, 0)).value();
  ASSERT_EQ(bytes.size(), 40u);
  EXPECT_EQ(bytes.substr(20), std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C"
                                          "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE"));
}

TEST_F(ConsumeQueues, EntriesAreReadableBeforeDuringAndAfterAFlush) {
  Restart();
  const auto check = [this](int64_t count) {
    ASSERT_EQ(Queue(0)->MaxOffset(), QueueOffset(count));
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(Queue(0)->Get(QueueOffset(i)).value(), Entry(i * 3000)) << i;
    }
    const auto range = Queue(0)->GetRange(QueueOffset(3), 1000).value();
    ASSERT_EQ(range.size(), static_cast<size_t>(count - 3));
    EXPECT_EQ(range.front(), Entry(9000));
    EXPECT_EQ(range.back(), Entry((count - 1) * 3000));
  };
  Apply(0, 75);
  check(25);
  ASSERT_TRUE(set_->Freeze(MarkAt(75)));
  Apply(75, 90);
  check(30);
  EXPECT_FALSE(set_->Freeze(MarkAt(90)));
  ASSERT_TRUE(set_->WriteFrozen().ok());
  check(30);
  EXPECT_EQ(set_->mark(), MarkAt(75));
  Flush(90);
  check(30);
  EXPECT_EQ(set_->buffered_bytes(), 0);
  Restart();
  check(30);
}

TEST_F(ConsumeQueues, FilesAreNamedByTheirFirstByteAndGrowAsNeeded) {
  Restart();
  Apply(0, 75);
  Flush(75);
  EXPECT_EQ(stdfs::file_size(directory_ + "/T/0/00000000000000000000"), 200u);
  EXPECT_EQ(stdfs::file_size(directory_ + "/T/0/00000000000000000200"), 200u);
  EXPECT_EQ(stdfs::file_size(directory_ + "/T/0/00000000000000000400"), 100u);
}

TEST_F(ConsumeQueues, OffsetsOutsideAreOutOfRange) {
  Restart();
  Apply(0, 30);
  EXPECT_TRUE(absl::IsOutOfRange(Queue(0)->Get(QueueOffset(-1)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(Queue(0)->Get(QueueOffset(10)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(Queue(0)->GetRange(QueueOffset(11), 1).status()));
  EXPECT_EQ(Queue(0)->GetRange(QueueOffset(10), 5)->size(), 0u);
  EXPECT_EQ(set_->Find("T", QueueId(7)), nullptr);
  EXPECT_EQ(set_->Find("other", QueueId(0)), nullptr);
}

TEST_F(ConsumeQueues, AGapADifferentRecordOrAnOlderPositionIsRefused) {
  Restart();
  Apply(0, 30);
  EXPECT_TRUE(absl::IsDataLoss(set_->Append("T", QueueId(0), QueueOffset(11), Entry(90000))));
  EXPECT_TRUE(absl::IsDataLoss(set_->Append("T", QueueId(0), QueueOffset(9), Entry(90000))));
  EXPECT_TRUE(absl::IsDataLoss(set_->Append("T", QueueId(0), QueueOffset(10), Entry(27000))));
  // The very same record again is a replay.
  EXPECT_TRUE(set_->Append("T", QueueId(0), QueueOffset(9), Entry(27000)).ok());
  EXPECT_EQ(Queue(0)->MaxOffset(), QueueOffset(10));
}

TEST_F(ConsumeQueues, ATopicThatIsNoDirectorysNameIsRefused) {
  Restart();
  for (std::string_view topic : {"", "..", "a/b", "queues.mark", "a b"}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(set_->Append(topic, QueueId(0), QueueOffset(0), Entry(1000))))
        << topic;
  }
  EXPECT_TRUE(set_->Append("%RETRY%group-1_x|y", QueueId(0), QueueOffset(0), Entry(1000)).ok());
}

TEST_F(ConsumeQueues, CrashAndReplayMakeTheSameBytesAsAStraightRun) {
  Restart();
  Apply(0, 200);
  Flush(200);
  const auto straight = Files();
  const std::string dump = Dump();

  const uint64_t seed = 7;
  Random random(seed);
  for (int round = 0; round < 20; ++round) {
    stdfs::remove_all(directory_);
    Restart();
    int64_t flushed = 0;
    while (flushed < 200) {
      const int64_t to = random.Between(flushed, 200);
      Apply(random.Between(0, flushed), to);  // a replay may begin before the mark
      switch (random.Below(3)) {
        case 0:  // nothing reaches the disk
          break;
        case 1: {  // the files do, the mark does not
          const stdfs::path mark = directory_ + "/queues.mark", copy = root_ + "/copy";
          stdfs::remove(copy);
          if (stdfs::exists(mark)) stdfs::copy_file(mark, copy);
          Flush(to);
          stdfs::remove(mark);
          if (stdfs::exists(copy)) stdfs::copy_file(copy, mark);
          break;
        }
        case 2:
          Flush(to);
          flushed = to;
          break;
      }
      Restart();
      ASSERT_EQ(set_->mark(), MarkAt(flushed)) << "seed " << seed << " round " << round;
      ASSERT_TRUE(set_->damaged().empty()) << "seed " << seed << " round " << round;
    }
    EXPECT_EQ(Files(), straight) << "seed " << seed << " round " << round;
    EXPECT_EQ(Dump(), dump) << "seed " << seed << " round " << round;
  }
}

TEST_F(ConsumeQueues, WhatACrashLeftBeyondTheMarkIsCut) {
  Restart();
  Apply(0, 30);
  Flush(30);
  std::ofstream(FilePath(0, 0), std::ios::app) << "half an entry";
  std::ofstream(FilePath(0, 1)) << "a file too many";
  stdfs::create_directories(directory_ + "/Unknown/0");
  std::ofstream(directory_ + "/Unknown/0/00000000000000000000") << "a topic too many";
  Restart();
  EXPECT_TRUE(set_->damaged().empty());
  EXPECT_EQ(stdfs::file_size(FilePath(0, 0)), 200u);
  EXPECT_FALSE(stdfs::exists(FilePath(0, 1)));
  EXPECT_FALSE(stdfs::exists(directory_ + "/Unknown"));
  EXPECT_EQ(Queue(0)->MaxOffset(), QueueOffset(10));
}

TEST_F(ConsumeQueues, ExpiredEntriesGoByPositionAndTheirFilesWithThem) {
  Restart();
  Apply(0, 90);  // 30 in each queue
  Flush(90);
  set_->SetMinPosition(LogPosition(75'500));  // entry 76 is the first to stay
  EXPECT_EQ(Queue(0)->MinOffset().value(), QueueOffset(26));
  EXPECT_EQ(Queue(1)->MinOffset().value(), QueueOffset(25));
  EXPECT_TRUE(absl::IsOutOfRange(Queue(0)->Get(QueueOffset(25)).status()));
  EXPECT_EQ(Queue(0)->Get(QueueOffset(26)).value(), Entry(78'000));
  EXPECT_TRUE(stdfs::exists(FilePath(0, 1)));  // the mark doesn't know yet
  Flush(90);
  EXPECT_FALSE(stdfs::exists(FilePath(0, 0)));
  EXPECT_FALSE(stdfs::exists(FilePath(0, 1)));
  EXPECT_TRUE(stdfs::exists(FilePath(0, 2)));
  Restart();
  EXPECT_TRUE(set_->damaged().empty());
  EXPECT_EQ(Queue(0)->MinOffset().value(), QueueOffset(26));
  EXPECT_EQ(Queue(1)->MinOffset().value(), QueueOffset(25));
}

TEST_F(ConsumeQueues, AQueueWithNothingLeftKeepsItsOffsets) {
  Restart();
  Apply(0, 90);
  set_->SetMinPosition(LogPosition(1'000'000));
  Flush(1001);
  for (int restart = 0; restart < 3; ++restart) {
    ASSERT_EQ(Queue(0)->MinOffset().value(), QueueOffset(30 + restart));
    ASSERT_EQ(Queue(0)->MaxOffset(), QueueOffset(30 + restart));
    const int64_t at = 2000 + restart;
    ASSERT_TRUE(set_->Append("T", QueueId(0), QueueOffset(30 + restart), Entry(at * 1000)).ok());
    EXPECT_EQ(Queue(0)->Get(QueueOffset(30 + restart)).value(), Entry(at * 1000));
    Flush(at + 1);
    set_->SetMinPosition(LogPosition((at + 1) * 1000));
    Flush(at + 1);
    Restart();
    ASSERT_TRUE(set_->damaged().empty()) << set_->damaged()[0].status;
  }
}

TEST_F(ConsumeQueues, AnExpiryIsRepeatedByReplayAfterACrash) {
  Restart();
  Apply(0, 60);
  Flush(60);
  Apply(60, 90);
  set_->SetMinPosition(LogPosition(50'000));
  Restart();  // before any flush
  EXPECT_EQ(Queue(0)->MinOffset().value(), QueueOffset(0));
  Apply(60, 90);
  set_->SetMinPosition(LogPosition(50'000));
  EXPECT_EQ(Queue(0)->MinOffset().value(), QueueOffset(17));
}

TEST_F(ConsumeQueues, ADeletedTopicStaysDeletedThroughReplays) {
  Restart();
  Apply(0, 31);
  ASSERT_TRUE(set_->Append("Other", QueueId(0), QueueOffset(0), Entry(30'500)).ok());
  Flush(31);
  Apply(31, 40);
  const std::shared_ptr<ConsumeQueue> held = Queue(0);
  ASSERT_TRUE(set_->DeleteTopic("T", LogPosition(40'000)).ok());
  EXPECT_EQ(Queue(0), nullptr);
  EXPECT_TRUE(absl::IsNotFound(held->Get(QueueOffset(0)).status()));
  EXPECT_FALSE(stdfs::exists(directory_ + "/T"));

  Restart();  // the mark is still before the deletion
  EXPECT_EQ(set_->mark(), MarkAt(31));
  EXPECT_EQ(Queue(0), nullptr);
  Apply(31, 40);  // replayed records of the deleted topic
  EXPECT_EQ(Queue(0), nullptr);
  ASSERT_TRUE(set_->DeleteTopic("T", LogPosition(40'000)).ok());
  // A new topic of that name begins at 0.
  ASSERT_TRUE(set_->Append("T", QueueId(0), QueueOffset(0), Entry(41'000)).ok());
  EXPECT_EQ(Queue(0)->MaxOffset(), QueueOffset(1));
  Flush(42);
  Restart();
  ASSERT_TRUE(set_->DeleteTopic("T", LogPosition(40'000)).ok());  // an old one, replayed again
  EXPECT_EQ(Queue(0)->Get(QueueOffset(0)).value(), Entry(41'000));
  EXPECT_EQ(Queue(0, "Other")->MaxOffset(), QueueOffset(1));
}

TEST_F(ConsumeQueues, ATopicDeletedWhileAFlushWaitsIsNotFlushed) {
  Restart();
  Apply(0, 30);
  ASSERT_TRUE(set_->Freeze(MarkAt(30)));
  ASSERT_TRUE(set_->DeleteTopic("T", LogPosition(30'000)).ok());
  ASSERT_TRUE(set_->WriteFrozen().ok());
  EXPECT_FALSE(stdfs::exists(directory_ + "/T"));
  Restart();
  EXPECT_EQ(Queue(0), nullptr);
}

TEST_F(ConsumeQueues, TimesAreFoundByBinarySearch) {
  Restart();
  Apply(0, 90);
  Flush(60);
  // Stored at 0, 0, 10, 10, 20, 20, …
  const auto stored = [](const ConsumeQueueEntry& entry) -> absl::StatusOr<int64_t> {
    return entry.position.value() / 3000 / 2 * 10;
  };
  const auto find = [&](int64_t ms, TimeBoundary boundary) {
    return Queue(0)->OffsetByTime(ms, boundary, stored).value().value();
  };
  EXPECT_EQ(find(-5, TimeBoundary::kLower), 0);
  EXPECT_EQ(find(0, TimeBoundary::kLower), 0);
  EXPECT_EQ(find(10, TimeBoundary::kLower), 2);
  EXPECT_EQ(find(11, TimeBoundary::kLower), 4);
  EXPECT_EQ(find(140, TimeBoundary::kLower), 28);
  EXPECT_EQ(find(141, TimeBoundary::kLower), 30);
  EXPECT_EQ(find(-5, TimeBoundary::kUpper), 0);
  EXPECT_EQ(find(0, TimeBoundary::kUpper), 1);
  EXPECT_EQ(find(10, TimeBoundary::kUpper), 3);
  EXPECT_EQ(find(15, TimeBoundary::kUpper), 3);
  EXPECT_EQ(find(1000, TimeBoundary::kUpper), 29);
  set_->SetMinPosition(LogPosition(30'000));
  EXPECT_EQ(find(0, TimeBoundary::kLower), 10);
  EXPECT_EQ(find(0, TimeBoundary::kUpper), 10);
}

TEST_F(ConsumeQueues, DamageIsFoundAtOpenAndRepairedFromTheLog) {
  const std::vector<std::pair<const char*, std::function<void()>>> damages = {
      {"a file is gone", [this] { stdfs::remove(FilePath(1, 1)); }},
      {"a directory is gone", [this] { stdfs::remove_all(directory_ + "/T/1"); }},
      {"the last file is short", [this] { stdfs::resize_file(FilePath(1, 2), 40); }},
      {"a sealed file is short", [this] { stdfs::resize_file(FilePath(1, 0), 199); }},
      {"the last entry changed",
       [this] {
         std::fstream file(FilePath(1, 2));
         file.seekp(80).put('\x7F');
       }},
      {"a zero page",
       [this] {
         std::fstream file(FilePath(1, 2));
         file.write(std::string(60, '\0').data(), 60);
       }},
  };
  Restart();
  Apply(0, 75);
  Flush(75);
  const auto straight = Files();
  for (const auto& [what, damage] : damages) {
    damage();
    Restart();
    const auto damaged = set_->damaged();
    ASSERT_EQ(damaged.size(), 1u) << what;
    EXPECT_EQ(damaged[0].queue_id, QueueId(1)) << what;
    EXPECT_TRUE(absl::IsDataLoss(damaged[0].status)) << what;
    EXPECT_TRUE(absl::IsDataLoss(Queue(1)->Get(QueueOffset(0)).status())) << what;
    EXPECT_TRUE(absl::IsDataLoss(set_->Append("T", QueueId(1), QueueOffset(25), Entry(76'000))));
    EXPECT_EQ(Queue(0)->Get(QueueOffset(0)).value(), Entry(0)) << what;
    // A restart in the middle of the repair finds the damage again.
    ASSERT_TRUE(set_->Reset("T", QueueId(1), QueueOffset(0)).ok());
    Apply(0, 30);
    Restart();
    ASSERT_EQ(set_->damaged().size(), 1u) << what;

    ASSERT_TRUE(set_->Reset("T", QueueId(1), QueueOffset(0)).ok());
    Apply(0, 75);
    EXPECT_TRUE(set_->damaged().empty()) << what;
    Flush(75);
    EXPECT_EQ(Files(), straight) << what;
  }
}

TEST_F(ConsumeQueues, AChangedEntryInTheMiddleIsFoundByVerify) {
  Restart();
  Apply(0, 75);
  Flush(75);
  const auto straight = Files();
  {
    std::fstream file(FilePath(1, 0));
    file.seekp(60).put('\x7F');  // entry 3's position
  }
  EXPECT_TRUE(set_->Find("T", QueueId(0))->Verify().ok());
  const absl::Status status = Queue(1)->Verify();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_NE(Message(status).find("offset 4"), std::string_view::npos) << status;

  ASSERT_TRUE(set_->TruncateTo("T", QueueId(1), QueueOffset(3)).ok());
  EXPECT_EQ(Queue(1)->MaxOffset(), QueueOffset(3));
  Apply(0, 75);
  EXPECT_TRUE(Queue(1)->Verify().ok());
  Flush(75);
  EXPECT_EQ(Files(), straight);
}

TEST_F(ConsumeQueues, TruncationCutsWhatIsOnDiskAndInMemory) {
  Restart();
  Apply(0, 75);
  Flush(60);
  for (const int64_t end : {24, 22, 20, 15, 10, 3, 0}) {
    ASSERT_TRUE(set_->TruncateTo("T", QueueId(0), QueueOffset(end)).ok()) << end;
    EXPECT_EQ(Queue(0)->MaxOffset(), QueueOffset(end));
    if (end > 0) {
      EXPECT_EQ(Queue(0)->Get(QueueOffset(end - 1)).value(), Entry((end - 1) * 3000));
    }
    // The next entry may have any position above the one that is last now.
    const int64_t again = end * 3000;
    ASSERT_TRUE(set_->Append("T", QueueId(0), QueueOffset(end), Entry(again)).ok()) << end;
    Flush(75);
    ASSERT_EQ(Queue(0)->Get(QueueOffset(end)).value(), Entry(again)) << end;
  }
}

TEST_F(ConsumeQueues, AMissingOrDamagedMarkEmptiesTheSet) {
  for (const bool missing : {true, false}) {
    stdfs::remove_all(directory_);
    Restart();
    Apply(0, 75);
    Flush(75);
    const auto straight = Files();
    if (missing) {
      stdfs::remove(directory_ + "/queues.mark");
    } else {
      std::fstream file(directory_ + "/queues.mark");
      file.seekp(30).put('\x55');
    }
    Restart();
    EXPECT_EQ(set_->mark(), AppliedMark());
    EXPECT_TRUE(set_->List().empty());
    EXPECT_FALSE(stdfs::exists(directory_ + "/T"));
    Apply(0, 75);
    Flush(75);
    EXPECT_EQ(Files(), straight);
  }
}

TEST_F(ConsumeQueues, ARebuildFromARetainedLogBeginsAtItsFirstOffset) {
  Restart();
  Apply(45, 75);  // offsets 15 to 24: the log has no more
  EXPECT_EQ(Queue(0)->MinOffset().value(), QueueOffset(15));
  EXPECT_EQ(Queue(0)->Get(QueueOffset(15)).value(), Entry(45'000));
  Flush(75);
  Restart();
  EXPECT_TRUE(set_->damaged().empty());
  EXPECT_EQ(Queue(0)->MinOffset().value(), QueueOffset(15));
  EXPECT_EQ(Queue(0)->Get(QueueOffset(24)).value(), Entry(72'000));
}

TEST_F(ConsumeQueues, AFileThatVanishesWhileRunningDamagesItsQueueOnly) {
  Restart({.entries_per_file = 10, .max_open_files = 1});
  Apply(0, 15);
  Flush(15);
  ASSERT_TRUE(Queue(1)->Get(QueueOffset(0)).ok());  // queue 0's file is closed now
  stdfs::remove_all(directory_ + "/T/0");
  Apply(15, 18);
  Flush(18);
  EXPECT_TRUE(absl::IsDataLoss(Queue(0)->Get(QueueOffset(0)).status()));
  EXPECT_EQ(set_->damaged().size(), 1u);
  EXPECT_EQ(Queue(1)->MaxOffset(), QueueOffset(6));
  Restart();
  EXPECT_EQ(set_->damaged().size(), 1u);
  ASSERT_TRUE(set_->Reset("T", QueueId(0), QueueOffset(0)).ok());
  Apply(0, 18);
  EXPECT_EQ(Queue(0)->MaxOffset(), QueueOffset(6));
}

TEST_F(ConsumeQueues, ADirectoryRebuiltFromItsDurableFilesIsTheSame) {
  Restart();
  Apply(0, 90);
  set_->SetMinPosition(LogPosition(40'000));
  Flush(90);
  Apply(90, 100);
  const std::string copy = root_ + "/copy";
  for (const auto& file : set_->DurableFiles()) {
    const std::string bytes = ReadFile(PosixFileSystem(), directory_ + "/" + file.path).value();
    ASSERT_GE(static_cast<int64_t>(bytes.size()), file.size);
    stdfs::create_directories(stdfs::path(copy + "/" + file.path).parent_path());
    std::ofstream(copy + "/" + file.path) << bytes.substr(0, file.size);
  }
  Restart();
  const std::string dump = Dump();
  directory_ = copy;
  Restart();
  EXPECT_TRUE(set_->damaged().empty());
  EXPECT_EQ(set_->mark(), MarkAt(90));
  EXPECT_EQ(Dump(), dump);
}

TEST_F(ConsumeQueues, ManyQueuesShareAFewOpenFiles) {
  constexpr int kQueues = 2000;
  Restart({.entries_per_file = 10, .max_open_files = 16});
  const auto open_files = [] {
    return std::distance(stdfs::directory_iterator("/proc/self/fd"), stdfs::directory_iterator());
  };
  const auto before = open_files();
  for (int i = 0; i < kQueues; ++i) {
    ASSERT_TRUE(set_->Append(StrCat("T", i), QueueId(0), QueueOffset(0), Entry(i * 1000)).ok());
  }
  Flush(kQueues);
  EXPECT_LE(open_files() - before, 16);
  Restart({.entries_per_file = 10, .max_open_files = 16});
  for (int i = 0; i < kQueues; ++i) {
    ASSERT_EQ(Queue(0, StrCat("T", i))->Get(QueueOffset(0)).value(), Entry(i * 1000));
  }
  EXPECT_LE(open_files() - before, 16);
  // An entry each costs one small file, not a preallocated one.
  EXPECT_EQ(stdfs::file_size(directory_ + "/T0/0/00000000000000000000"), 20u);
}

TEST_F(ConsumeQueues, ReadersSeeOnlyRightEntriesBesideAWriterAndAFlusher) {
  constexpr int64_t kEntries = 30'000;
  Restart({.entries_per_file = 100, .max_open_files = 2});
  Apply(0, 3);
  std::atomic<int64_t> applied = 3;
  std::atomic<bool> done = false;
  std::thread flusher = StartThread("flusher", [&] {
    while (!done) ASSERT_TRUE(set_->WriteFrozen().ok());
  });
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 2; ++reader) {
    readers.push_back(StartThread("reader", [&, reader] {
      Random random(reader);
      const std::shared_ptr<ConsumeQueue> queue = Queue(reader);
      while (!done) {
        const int64_t end = queue->MaxOffset().value();
        const int64_t from = random.Between(queue->MinOffset()->value(), end);
        const auto entries = queue->GetRange(QueueOffset(from), 50);
        // It may have expired since.
        if (absl::IsOutOfRange(entries.status())) continue;
        ASSERT_TRUE(entries.ok()) << entries.status();
        for (size_t i = 0; i < entries->size(); ++i) {
          ASSERT_EQ((*entries)[i], Entry(((from + static_cast<int64_t>(i)) * 3 + reader) * 1000));
        }
      }
    }));
  }
  while (applied < kEntries) {
    const int64_t to = applied + 30;
    Apply(applied, to);
    applied = to;
    if (set_->Freeze(MarkAt(to))) set_->SetMinPosition(LogPosition(to * 500));
  }
  done = true;
  flusher.join();
  for (std::thread& reader : readers) reader.join();
  Flush(applied);
  Restart({.entries_per_file = 100, .max_open_files = 2});
  EXPECT_TRUE(set_->damaged().empty());
  EXPECT_EQ(Queue(0)->MaxOffset(), QueueOffset(applied / 3));
}

}  // namespace
}  // namespace raftmq::store
