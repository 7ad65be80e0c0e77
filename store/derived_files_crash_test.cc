// Consume queues and the message index under power loss at every moment: whatever the disk forgets,
// a restart and a replay lead to the same files as a run without a crash.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/strings.h"
#include "base/testing/memory_file_system.h"
#include "gtest/gtest.h"
#include "store/consume_queue_set.h"
#include "store/message_index.h"

namespace raftmq::store {
namespace {

constexpr int64_t kEntries = 120;
constexpr int kRounds = 300;
constexpr char kDirectory[] = "/store/derived";

LogPosition PositionOf(int64_t index) { return LogPosition(index * 1000); }
// The log up to and without entry `index`.
AppliedMark MarkBefore(int64_t index) { return {LogIndex(index), PositionOf(index)}; }

// A log that both structures are derived from: records for four queues of two topics, with an
// expiry every 30 entries, and a deletion of topic A at entry 50.
constexpr int64_t kDeletion = 50;
bool IsExpiry(int64_t index) { return index % 30 == 29; }
LogPosition ExpiredBelow(int64_t index) { return PositionOf(index - 20); }
std::string TopicOf(int64_t index) { return index % 2 == 0 ? "A" : "B"; }
QueueId QueueOf(int64_t index) { return QueueId(index / 2 % 2); }

// The queue offset of each record, as the leader would have numbered it.
std::vector<int64_t> Offsets() {
  std::vector<int64_t> offsets(kEntries);
  std::map<std::pair<std::string, QueueId>, int64_t> next;
  for (int64_t i = 0; i < kEntries; ++i) {
    if (i == kDeletion) std::erase_if(next, [](const auto& q) { return q.first.first == "A"; });
    if (i != kDeletion && !IsExpiry(i)) offsets[i] = next[{TopicOf(i), QueueOf(i)}]++;
  }
  return offsets;
}

// What the test needs of either structure.
class Derived {
 public:
  virtual ~Derived() = default;
  virtual absl::Status Open(FileSystem* fs) = 0;
  virtual absl::Status Apply(int64_t index) = 0;
  virtual absl::Status Flush(AppliedMark mark, Random* random) = 0;
  virtual AppliedMark mark() const = 0;
  virtual std::string Dump() const = 0;
  // Path and content of all files but the mark file.
  virtual std::vector<std::pair<std::string, std::string>> Files(FileSystem* fs) const = 0;
};

template <typename Extents>
std::vector<std::pair<std::string, std::string>> ReadFiles(FileSystem* fs, const Extents& extents) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& extent : extents) {
    if (extent.path.find("mark") != std::string::npos) continue;
    const auto bytes = ReadFile(fs, StrCat(kDirectory, "/", extent.path));
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(static_cast<int64_t>(bytes.value_or("").size()), extent.size) << extent.path;
    files.emplace_back(extent.path, bytes.value_or(""));
  }
  return files;
}

class Queues final : public Derived {
 public:
  absl::Status Open(FileSystem* fs) override {
    auto set = ConsumeQueueSet::Open(fs, kDirectory, {.entries_per_file = 5, .max_open_files = 3});
    if (!set.ok()) return set.status();
    set_ = *std::move(set);
    for (const auto& damaged : set_->damaged()) ADD_FAILURE() << damaged.status;
    return absl::OkStatus();
  }
  absl::Status Apply(int64_t index) override {
    if (index == kDeletion) return set_->DeleteTopic("A", PositionOf(index));
    if (IsExpiry(index)) {
      set_->SetMinPosition(ExpiredBelow(index));
      return absl::OkStatus();
    }
    static const std::vector<int64_t> offsets = Offsets();
    return set_->Append(TopicOf(index), QueueOf(index), QueueOffset(offsets[index]),
                        {PositionOf(index), 100, index});
  }
  absl::Status Flush(AppliedMark mark, Random*) override { return set_->Flush(mark); }
  AppliedMark mark() const override { return set_->mark(); }
  std::string Dump() const override { return set_->DumpLogical().value_or("no dump"); }
  std::vector<std::pair<std::string, std::string>> Files(FileSystem* fs) const override {
    return ReadFiles(fs, set_->DurableFiles());
  }

 private:
  std::unique_ptr<ConsumeQueueSet> set_;
};

class Index final : public Derived {
 public:
  absl::Status Open(FileSystem* fs) override {
    auto index = MessageIndex::Open(fs, kDirectory, {.slots = 5, .entries = 12});
    if (!index.ok()) return index.status();
    index_ = *std::move(index);
    return absl::OkStatus();
  }
  absl::Status Apply(int64_t index) override {
    if (IsExpiry(index)) {
      index_->SetMinPosition(ExpiredBelow(index));
    } else if (index != kDeletion) {
      index_->Add(TopicOf(index), StrCat("key", index), PositionOf(index), index * 400);
    }
    return absl::OkStatus();
  }
  absl::Status Flush(AppliedMark mark, Random* random) override {
    return random == nullptr || random->Chance(0.3) ? index_->Close(mark) : index_->Flush(mark);
  }
  AppliedMark mark() const override { return index_->mark(); }
  std::string Dump() const override { return index_->DumpLogical().value_or("no dump"); }
  std::vector<std::pair<std::string, std::string>> Files(FileSystem* fs) const override {
    return ReadFiles(fs, index_->DurableFiles());
  }

 private:
  std::unique_ptr<MessageIndex> index_;
};

// The store's own directory is there, durably, before anything in it.
void MakeStore(FileSystem* fs) {
  ASSERT_TRUE(fs->CreateDirs("/store").ok());
  ASSERT_TRUE(fs->SyncDir("/").ok());
}

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Derived>()> make;
};

class DerivedFilesCrash : public testing::TestWithParam<Kind> {};

// Runs one process until it ends: at the last entry, or when the disk halts. Returns whether it got
// to the end; `*acknowledged` is the mark of the last flush that said OK.
bool RunProcess(Derived* derived, MemoryFileSystem* fs, Random* random, AppliedMark* acknowledged) {
  if (!derived->Open(fs).ok()) return false;
  EXPECT_GE(derived->mark(), *acknowledged) << "what a flush acknowledged is lost";
  int64_t index = derived->mark().index.value();
  if (random->Chance(0.3)) index = random->Between(0, index);  // others need an older replay
  while (index < kEntries) {
    const int64_t to = random->Between(index + 1, std::min(kEntries, index + 40));
    for (; index < to; ++index) {
      if (!derived->Apply(index).ok()) return false;
    }
    const AppliedMark mark = std::max(derived->mark(), MarkBefore(index));
    if (!derived->Flush(mark, random).ok()) return false;
    *acknowledged = mark;
  }
  return derived->Flush(MarkBefore(kEntries), nullptr).ok();
}

TEST_P(DerivedFilesCrash, AnyMomentLeadsToTheSameFiles) {
  std::string dump;
  std::vector<std::pair<std::string, std::string>> files;
  {
    MemoryFileSystem fs;
    MakeStore(&fs);
    const std::unique_ptr<Derived> straight = GetParam().make();
    ASSERT_TRUE(straight->Open(&fs).ok());
    for (int64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(straight->Apply(i).ok());
    ASSERT_TRUE(straight->Flush(MarkBefore(kEntries), nullptr).ok());
    dump = straight->Dump();
    files = straight->Files(&fs);
    ASSERT_FALSE(files.empty());
  }
  for (int round = 0; round < kRounds && !HasFailure(); ++round) {
    SCOPED_TRACE(StrCat("round and seed ", round));
    Random random(round);
    MemoryFileSystem fs;
    MakeStore(&fs);
    AppliedMark acknowledged;
    std::unique_ptr<Derived> derived;
    for (int process = 0;; ++process) {
      derived = GetParam().make();
      if (process < 8) fs.HaltBefore(random.Between(0, 120));
      if (RunProcess(derived.get(), &fs, &random, &acknowledged) && !fs.halted()) break;
      ASSERT_LT(process, 8) << "a process that nothing stopped did not end well";
      derived.reset();
      random.Chance(0.2) ? fs.Kill() : fs.Crash(&random);
    }
    fs.Kill();  // an unused halt; and nothing but what is on disk counts below
    derived = GetParam().make();
    ASSERT_TRUE(derived->Open(&fs).ok());
    EXPECT_EQ(derived->mark(), MarkBefore(kEntries));
    EXPECT_EQ(derived->Dump(), dump);
    EXPECT_EQ(derived->Files(&fs), files);
  }
}

TEST_P(DerivedFilesCrash, AFailedSyncIsNeverTriedAgain) {
  std::string dump;
  {
    MemoryFileSystem fs;
    MakeStore(&fs);
    const std::unique_ptr<Derived> straight = GetParam().make();
    ASSERT_TRUE(straight->Open(&fs).ok());
    for (int64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(straight->Apply(i).ok());
    dump = straight->Dump();
  }
  int64_t sync = 0;
  for (bool failed = true; failed; ++sync) {
    SCOPED_TRACE(StrCat("sync number and seed ", sync));
    Random random(sync);
    MemoryFileSystem fs;
    MakeStore(&fs);
    FileFault fault;
    fault.op = FileOp::kDataSync;
    fault.skip = sync;
    fault.status = absl::UnavailableError("Input/output error");
    fs.AddFault(fault);
    const std::unique_ptr<Derived> derived = GetParam().make();
    ASSERT_TRUE(derived->Open(&fs).ok());
    AppliedMark acknowledged, attempted;
    failed = false;
    for (int64_t i = 0; i < kEntries && !failed; ++i) {
      failed = !derived->Apply(i).ok();
      if (failed || i % 10 != 9) continue;
      attempted = MarkBefore(i + 1);
      failed = !derived->Flush(attempted, nullptr).ok();
      if (!failed) acknowledged = attempted;
    }
    if (!failed) break;  // there are no more syncs
    // It would succeed now, as far as the disk says.
    EXPECT_FALSE(derived->Flush(MarkBefore(kEntries), nullptr).ok());
    fs.Crash(&random);

    const std::unique_ptr<Derived> after = GetParam().make();
    ASSERT_TRUE(after->Open(&fs).ok());
    // An error says that the outcome is unknown, so the last one may have been written.
    EXPECT_TRUE(after->mark() == acknowledged || after->mark() == attempted);
    for (int64_t i = after->mark().index.value(); i < kEntries; ++i) {
      ASSERT_TRUE(after->Apply(i).ok());
    }
    EXPECT_EQ(after->Dump(), dump);
  }
  EXPECT_GT(sync, 20);
}

INSTANTIATE_TEST_SUITE_P(
    Of, DerivedFilesCrash,
    testing::Values(Kind{"ConsumeQueues", [] { return std::make_unique<Queues>(); }},
                    Kind{"MessageIndex", [] { return std::make_unique<Index>(); }}),
    [](const testing::TestParamInfo<Kind>& kind) { return kind.param.name; });

}  // namespace
}  // namespace raftmq::store
