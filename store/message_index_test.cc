#include "store/message_index.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/endian.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/thread.h"
#include "gtest/gtest.h"
#include "store/java_string_hash.h"

namespace raftmq::store {
namespace {

namespace stdfs = std::filesystem;

constexpr int64_t kStart = 1'700'000'000'000;  // 2023-11-14 22:13:20 UTC

class MessageIndexes : public testing::Test {
 protected:
  MessageIndexes() {
    // In memory where there is such a place: no test here needs a real disk.
    std::string pattern =
        (stdfs::exists("/dev/shm") ? "/dev/shm" : testing::TempDir()) + "/index.XXXXXX";
    root_ = mkdtemp(pattern.data());
    directory_ = root_ + "/index";
  }
  ~MessageIndexes() override { stdfs::remove_all(root_); }

  // Opens the index anew, as a process that starts does. What was not flushed is lost.
  void Restart(MessageIndex::Options options = {.slots = 7, .entries = 21}) {
    index_.reset();
    auto index = MessageIndex::Open(PosixFileSystem(), directory_, options);
    ASSERT_TRUE(index.ok()) << index.status();
    index_ = *std::move(index);
  }

  // Applies records [from, to): record i is at position i * 1000, stored i * 700 ms after the
  // start, of topic T, with the keys "u<i>" (its own) and "k<i % 5>".
  void Apply(int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      index_->Add("T", StrCat("u", i), LogPosition(i * 1000), kStart + i * 700);
      index_->Add("T", StrCat("k", i % 5), LogPosition(i * 1000), kStart + i * 700);
    }
  }
  static AppliedMark MarkAt(int64_t i) { return {LogIndex(i), LogPosition(i * 1000)}; }
  void Flush(int64_t i) {
    const absl::Status status = index_->Flush(MarkAt(i));
    ASSERT_TRUE(status.ok()) << status;
  }
  void Close(int64_t i) {
    const absl::Status status = index_->Close(MarkAt(i));
    ASSERT_TRUE(status.ok()) << status;
  }

  // The numbers of the records found.
  static std::vector<int64_t> Numbers(const absl::StatusOr<std::vector<LogPosition>>& found) {
    EXPECT_TRUE(found.ok()) << found.status();
    std::vector<int64_t> numbers;
    if (found.ok()) {
      for (LogPosition position : *found) numbers.push_back(position.value() / 1000);
    }
    return numbers;
  }
  std::vector<int64_t> ByKey(std::string_view key, MessageIndex::Query query = {}) {
    return Numbers(index_->QueryByKey("T", key, query));
  }
  // What a query by "k<n>" has to find, as exactly as times are known.
  static std::vector<int64_t> Expected(int64_t n, int64_t count, const MessageIndex::Query& query) {
    std::vector<int64_t> numbers;
    for (int64_t i = count - 1; i >= 0 && numbers.size() < query.max; --i) {
      const int64_t stored = kStart + i * 700;
      if (i % 5 == n && stored >= query.begin_ms && stored <= query.end_ms &&
          LogPosition(i * 1000) < query.before) {
        numbers.push_back(i);
      }
    }
    return numbers;
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& file : stdfs::directory_iterator(directory_)) {
      if (file.path().filename() != "index.mark") names.push_back(file.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  std::vector<std::pair<std::string, std::string>> Files() const {
    std::vector<std::pair<std::string, std::string>> files;
    for (const std::string& name : Names()) {
      files.emplace_back(name, ReadFile(PosixFileSystem(), directory_ + "/" + name).value());
    }
    return files;
  }
  std::string Dump() {
    auto dump = index_->DumpLogical();
    EXPECT_TRUE(dump.ok()) << dump.status();
    return dump.value_or("");
  }

  std::string root_, directory_;
  std::unique_ptr<MessageIndex> index_;
};

TEST(IndexKeyHash, IsRocketMqs) {
  EXPECT_EQ(IndexKeyHash("TopicTest", "key1"), 1655984460);
  EXPECT_EQ(IndexKeyHash("T", "k"), JavaStringHash("T#k"));
  // The hash that has no positive counterpart becomes 0. "…#" + this key hashes to -2^31.
  EXPECT_EQ(JavaStringHash("polygenelubricants"), std::numeric_limits<int32_t>::min());
}

TEST_F(MessageIndexes, AFileIsByteForByteRocketMqs) {
  Restart({.slots = 3, .entries = 10});
  index_->Add("TopicTest", "key1", LogPosition(5000), kStart);
  index_->Add("TopicTest", "key2", LogPosition(6000), kStart + 2999);
  index_->Add("TopicTest", "key1", LogPosition(7000), kStart + 3000);
  Close(8);
  ASSERT_EQ(Names(), std::vector<std::string>{"20231114221320000"});
  const std::string file = ReadFile(PosixFileSystem(), directory_ + "/" + Names()[0]).value();
  ASSERT_EQ(file.size(), 40 + 3 * 4 + 4 * 20u);
  const auto i32 = [&file](size_t at) { return LoadBe<int32_t>(file.data() + at); };
  const auto i64 = [&file](size_t at) { return LoadBe<int64_t>(file.data() + at); };
  EXPECT_EQ(i64(0), kStart);
  EXPECT_EQ(i64(8), kStart + 3000);
  EXPECT_EQ(i64(16), 5000);
  EXPECT_EQ(i64(24), 7000);
  EXPECT_EQ(i32(36), 4);  // index count begins at 1
  const int32_t hash1 = 1655984460, hash2 = IndexKeyHash("TopicTest", "key2");
  EXPECT_EQ(i32(32), hash1 % 3 == hash2 % 3 ? 1 : 2);  // slots in use
  EXPECT_EQ(i32(40 + 4 * (hash1 % 3)), 3);
  const auto entry = [&](int number) { return 40 + 3 * 4 + number * 20; };
  EXPECT_EQ(i32(entry(1)), hash1);
  EXPECT_EQ(i64(entry(1) + 4), 5000);
  EXPECT_EQ(i32(entry(1) + 12), 0);
  EXPECT_EQ(i32(entry(1) + 16), 0);
  EXPECT_EQ(i32(entry(2)), hash2);
  EXPECT_EQ(i32(entry(2) + 12), 2);  // whole seconds since the first
  EXPECT_EQ(i32(entry(3)), hash1);
  EXPECT_EQ(i32(entry(3) + 12), 3);
  EXPECT_EQ(i32(entry(3) + 16), hash1 % 3 == hash2 % 3 ? 2 : 1);  // the one before in its slot
}

TEST_F(MessageIndexes, RocketMqsFileSizeIsTheDefault) {
  IndexFile::State full;
  full.count = MessageIndex::Options().entries;
  EXPECT_EQ(
      IndexFile::SizeOf({MessageIndex::Options().slots, MessageIndex::Options().entries}, full),
      420'000'040);
}

TEST_F(MessageIndexes, KeysAreFoundNewestFirstBeforeDuringAndAfterAFlush) {
  Restart();
  const auto check = [this](int64_t count) {
    for (int64_t n = 0; n < 5; ++n) {
      EXPECT_EQ(ByKey(StrCat("k", n)), Expected(n, count, {})) << n << " of " << count;
    }
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(ByKey(StrCat("u", i)), std::vector<int64_t>{i});
    }
    EXPECT_TRUE(ByKey("nobody's").empty());
  };
  Apply(0, 47);
  check(47);
  ASSERT_TRUE(index_->Freeze(MarkAt(47)));
  Apply(47, 60);
  check(60);
  EXPECT_FALSE(index_->Freeze(MarkAt(60)));
  ASSERT_TRUE(index_->WriteFrozen().ok());
  EXPECT_EQ(index_->mark(), MarkAt(47));
  check(60);
  Flush(60);
  EXPECT_EQ(index_->buffered_bytes(), 0);
  check(60);
  Restart();  // slots are made from the entries
  check(60);
  Close(60);
  Restart();  // slots are read
  check(60);
  EXPECT_TRUE(index_->Verify().ok());
}

TEST_F(MessageIndexes, AQueryCanBeBoundedByTimeAndCountAndContinued) {
  Restart();
  Apply(0, 100);
  Flush(80);
  for (int64_t begin = -5; begin < 105; begin += 7) {
    for (int64_t end = begin; end < 110; end += 11) {
      const MessageIndex::Query query = {.begin_ms = kStart + begin * 700,
                                         .end_ms = kStart + end * 700};
      for (int64_t n = 0; n < 5; ++n) {
        // All that are wanted, and at most those of the same second besides.
        const std::vector<int64_t> found = ByKey(StrCat("k", n), query);
        const std::vector<int64_t> wanted = Expected(n, 100, query);
        EXPECT_TRUE(std::includes(found.rbegin(), found.rend(), wanted.rbegin(), wanted.rend()))
            << begin << " to " << end;
        for (int64_t i : found) {
          EXPECT_GT(kStart + i * 700, query.begin_ms - 1000);
          EXPECT_LT(kStart + i * 700, query.end_ms + 1000);
          EXPECT_EQ(i % 5, n);
        }
      }
    }
  }
  MessageIndex::Query page = {.max = 3};
  std::vector<int64_t> all;
  for (std::vector<int64_t> found = ByKey("k2", page); !found.empty(); found = ByKey("k2", page)) {
    EXPECT_LE(found.size(), 3u);
    all.insert(all.end(), found.begin(), found.end());
    page.before = LogPosition(found.back() * 1000);
  }
  EXPECT_EQ(all, ByKey("k2"));
  EXPECT_EQ(all.size(), 20u);
}

TEST_F(MessageIndexes, ATimeRangeFindsEachRecordOnce) {
  Restart();
  Apply(0, 100);
  Flush(60);
  const std::vector<int64_t> found = Numbers(index_->QueryByTime(
      {.begin_ms = kStart + 20 * 700, .end_ms = kStart + 70 * 700, .max = 1000}));
  ASSERT_FALSE(found.empty());
  EXPECT_TRUE(std::is_sorted(found.rbegin(), found.rend()));
  EXPECT_EQ(std::adjacent_find(found.begin(), found.end()), found.end());
  // Times are known to the second: one or two more at either end.
  EXPECT_GE(found.front(), 70);
  EXPECT_LE(found.front(), 71);
  EXPECT_LE(found.back(), 20);
  EXPECT_GE(found.back(), 19);
  EXPECT_EQ(found.size(), static_cast<size_t>(found.front() - found.back() + 1));

  const std::vector<int64_t> newest = Numbers(index_->QueryByTime({.max = 5}));
  EXPECT_EQ(newest, (std::vector<int64_t>{99, 98, 97, 96, 95}));
  EXPECT_EQ(Numbers(index_->QueryByTime({.max = 2, .before = LogPosition(50'000)})),
            (std::vector<int64_t>{49, 48}));
  EXPECT_TRUE(Numbers(index_->QueryByTime({.begin_ms = 0, .end_ms = kStart - 1})).empty());
}

TEST_F(MessageIndexes, HashCollisionsAreCandidatesOfBothKeys) {
  Restart();
  index_->Add("T", "Aa", LogPosition(1000), kStart);
  index_->Add("T", "BB", LogPosition(2000), kStart);
  EXPECT_EQ(ByKey("Aa"), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(ByKey("BB"), (std::vector<int64_t>{2, 1}));
}

TEST_F(MessageIndexes, FilesAreNamedByTheirFirstEntrysTimeAndNeverTwice) {
  Restart();  // 20 entries in a file
  for (int64_t i = 0; i < 65; ++i) index_->Add("T", "k", LogPosition(i), kStart + i / 30);
  Flush(1);
  EXPECT_EQ(Names(), (std::vector<std::string>{"20231114221320000", "20231114221320001",
                                               "20231114221320002", "20231114221320003"}));
}

TEST_F(MessageIndexes, CrashAndReplayMakeTheSameBytesAsAStraightRun) {
  Restart();
  Apply(0, 200);
  Close(200);
  const auto straight = Files();
  const std::string dump = Dump();
  ASSERT_EQ(straight.size(), 20u);

  const uint64_t seed = 11;
  Random random(seed);
  for (int round = 0; round < 20; ++round) {
    stdfs::remove_all(directory_);
    Restart();
    int64_t flushed = 0;
    while (flushed < 200) {
      const int64_t to = random.Between(flushed, 200);
      Apply(random.Between(0, flushed), to);  // a replay may begin before the mark
      switch (random.Below(4)) {
        case 0:  // nothing reaches the disk
          break;
        case 1: {  // the files do, the mark does not
          const stdfs::path mark = directory_ + "/index.mark", copy = root_ + "/copy";
          stdfs::remove(copy);
          if (stdfs::exists(mark)) stdfs::copy_file(mark, copy);
          random.Chance(0.5) ? Flush(to) : Close(to);
          stdfs::remove(mark);
          if (stdfs::exists(copy)) stdfs::copy_file(copy, mark);
          break;
        }
        case 2:
          Flush(to);
          flushed = to;
          break;
        case 3:
          Close(to);
          flushed = to;
          break;
      }
      Restart();
      ASSERT_EQ(index_->mark(), MarkAt(flushed)) << "seed " << seed << " round " << round;
      for (int64_t n = 0; n < 5; ++n) {
        ASSERT_EQ(ByKey(StrCat("k", n)), Expected(n, flushed, {}))
            << "seed " << seed << " round " << round;
      }
    }
    Close(200);
    EXPECT_EQ(Files(), straight) << "seed " << seed << " round " << round;
    EXPECT_EQ(Dump(), dump) << "seed " << seed << " round " << round;
  }
}

TEST_F(MessageIndexes, AnyDamageEmptiesTheIndexAndTheLogRebuildsIt) {
  const auto put = [this](const std::string& name, int64_t at) {
    std::fstream file(directory_ + "/" + name);
    file.seekp(at).put('\x55');
  };
  const std::vector<std::pair<const char*, std::function<void()>>> damages = {
      {"no mark", [&] { stdfs::remove(directory_ + "/index.mark"); }},
      {"a bad mark", [&] { put("index.mark", 40); }},
      {"a file is gone", [&] { stdfs::remove(directory_ + "/" + Names()[1]); }},
      {"a full file is short", [&] { stdfs::resize_file(directory_ + "/" + Names()[1], 480); }},
      {"the last file is short",
       [&] { stdfs::resize_file(directory_ + "/" + Names().back(), 100); }},
      {"an entry of the last file changed", [&] { put(Names().back(), 40 + 7 * 4 + 20 + 3); }},
      {"the directory is gone", [&] { stdfs::remove_all(directory_); }},
  };
  for (const auto& [what, damage] : damages) {
    stdfs::remove_all(directory_);
    Restart();
    Apply(0, 55);
    Flush(55);
    const std::string dump = Dump();
    damage();
    Restart();
    EXPECT_EQ(index_->mark(), AppliedMark()) << what;
    EXPECT_TRUE(ByKey("k1").empty()) << what;
    EXPECT_TRUE(Names().empty()) << what;
    Apply(0, 55);
    EXPECT_EQ(Dump(), dump) << what;
    Flush(55);
    Restart();
    EXPECT_EQ(Dump(), dump) << what;
  }
}

TEST_F(MessageIndexes, ChangedSlotsAreDetectedAndMadeAgain) {
  Restart();
  Apply(0, 5);
  Close(5);
  {
    std::fstream file(directory_ + "/" + Names()[0]);
    file.seekp(43).put('\x02');
  }
  EXPECT_TRUE(absl::IsDataLoss(index_->Verify()));
  Restart();
  EXPECT_EQ(index_->mark(), MarkAt(5));
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(ByKey(StrCat("u", i)), std::vector<int64_t>{i});
}

TEST_F(MessageIndexes, VerifyFindsAChangedEntryOfAFullFile) {
  Restart();
  Apply(0, 55);
  Flush(55);
  EXPECT_TRUE(index_->Verify().ok());
  {
    std::fstream file(directory_ + "/" + Names()[0]);
    file.seekp(200).put('\x55');
  }
  EXPECT_TRUE(absl::IsDataLoss(index_->Verify()));
}

TEST_F(MessageIndexes, AnotherShapeIsABrandNewIndex) {
  Restart();
  Apply(0, 55);
  Flush(55);
  Restart({.slots = 8, .entries = 21});
  EXPECT_EQ(index_->mark(), AppliedMark());
  EXPECT_TRUE(Names().empty());
}

TEST_F(MessageIndexes, ExpiredRecordsAreNotFoundAndTheirFilesGo) {
  Restart();
  Apply(0, 100);  // 10 records in each file
  Flush(100);
  index_->SetMinPosition(LogPosition(25'000));
  EXPECT_EQ(ByKey("k0").back(), 25);
  EXPECT_TRUE(ByKey("u24").empty());
  EXPECT_EQ(Numbers(index_->QueryByTime({.max = 1000})).back(), 25);
  EXPECT_EQ(Names().size(), 10u);  // the mark doesn't know yet
  Flush(100);
  EXPECT_EQ(Names().size(), 8u);
  Restart();
  EXPECT_EQ(ByKey("k0").back(), 25);
  const std::string dump = Dump();
  EXPECT_EQ(dump.substr(0, 6), "25000 ");

  // A member whose log begins there has the same dump, though its files begin elsewhere.
  directory_ = root_ + "/rebuilt";
  Restart();
  Apply(25, 100);
  EXPECT_EQ(Dump(), dump);
}

TEST_F(MessageIndexes, AllExpiredLeavesTheLastFileForItsName) {
  Restart();
  Apply(0, 100);
  index_->SetMinPosition(LogPosition(1'000'000));
  Flush(1000);
  EXPECT_EQ(Names().size(), 1u);
  EXPECT_TRUE(ByKey("k1").empty());
  Restart();
  EXPECT_TRUE(ByKey("k1").empty());
  index_->Add("T", "k1", LogPosition(1'000'000), kStart + 1'000'000);
  EXPECT_EQ(ByKey("k1"), std::vector<int64_t>{1000});
}

TEST_F(MessageIndexes, AFileRemovedWhileRunningFailsQueriesUntilARestart) {
  Restart({.slots = 7, .entries = 21, .max_open_files = 1});
  Apply(0, 15);
  Flush(15);
  ASSERT_EQ(ByKey("u1"), std::vector<int64_t>{1});  // the last file is closed now
  stdfs::remove(directory_ + "/" + Names().back());
  Apply(15, 16);
  Flush(16);
  EXPECT_TRUE(absl::IsDataLoss(index_->QueryByKey("T", "u1", {}).status()));
  EXPECT_EQ(index_->mark(), MarkAt(16));
  Apply(16, 20);
  Flush(20);
  Restart({.slots = 7, .entries = 21, .max_open_files = 1});
  EXPECT_EQ(index_->mark(), AppliedMark());
  Apply(0, 20);
  EXPECT_EQ(ByKey("k1"), Expected(1, 20, {}));
}

TEST_F(MessageIndexes, ADirectoryRebuiltFromItsDurableFilesIsTheSame) {
  Restart();
  Apply(0, 55);
  Flush(55);
  Apply(55, 58);
  const std::string copy = root_ + "/copy";
  stdfs::create_directories(copy);
  for (const auto& file : index_->DurableFiles()) {
    const std::string bytes = ReadFile(PosixFileSystem(), directory_ + "/" + file.path).value();
    ASSERT_GE(static_cast<int64_t>(bytes.size()), file.size);
    std::ofstream(copy + "/" + file.path) << bytes.substr(0, file.size);
  }
  Restart();
  const std::string dump = Dump();
  directory_ = copy;
  Restart();
  EXPECT_EQ(index_->mark(), MarkAt(55));
  EXPECT_EQ(Dump(), dump);
}

TEST_F(MessageIndexes, AnEmptyIndexAnswersNothing) {
  Restart();
  EXPECT_TRUE(ByKey("k").empty());
  EXPECT_TRUE(Numbers(index_->QueryByTime({})).empty());
  EXPECT_EQ(Dump(), "");
  Flush(3);
  Restart();
  EXPECT_EQ(index_->mark(), MarkAt(3));
  EXPECT_TRUE(Names().empty());
}

TEST_F(MessageIndexes, ReadersFindEverythingBesideAWriterAndAFlusher) {
  constexpr int64_t kRecords = 10'000;
  Restart({.slots = 50, .entries = 301, .max_open_files = 2});
  Apply(0, 10);
  std::atomic<int64_t> applied = 10, expired = 0;
  std::atomic<bool> done = false;
  std::thread flusher = StartThread("flusher", [&] {
    while (!done) ASSERT_TRUE(index_->WriteFrozen().ok());
  });
  std::thread reader = StartThread("reader", [&] {
    Random random(1);
    while (!done) {
      const int64_t wanted = random.Between(expired, applied - 1);
      const auto found = index_->QueryByKey("T", StrCat("u", wanted), {});
      ASSERT_TRUE(found.ok()) << found.status();
      if (wanted >= expired) {
        ASSERT_EQ(std::count(found->begin(), found->end(), LogPosition(wanted * 1000)), 1);
      }
    }
  });
  while (applied < kRecords) {
    const int64_t to = applied + 20;
    Apply(applied, to);
    applied = to;
    if (index_->Freeze(MarkAt(to))) {
      expired = to / 2;
      index_->SetMinPosition(LogPosition(to / 2 * 1000));
    }
  }
  done = true;
  flusher.join();
  reader.join();
  Flush(applied);
  EXPECT_TRUE(index_->Verify().ok());
}

}  // namespace
}  // namespace raftmq::store
