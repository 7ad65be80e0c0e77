#include "store/state_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <thread>

#include "base/file_system.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/thread.h"
#include "store/testing/random_history.h"

namespace raftmq::store {
namespace {

// REPLAY_SEED=<seed> repeats a failed run.
uint64_t PickSeed() {
  const char* replay = std::getenv("REPLAY_SEED");
  return replay != nullptr ? std::strtoull(replay, nullptr, 10) : Random::FromEntropy().Next();
}

std::string FreshDirectory(std::string_view name) {
  std::string directory = StrCat(testing::TempDir(), "/", name);
  EXPECT_TRUE(PosixFileSystem()->RemoveAll(directory).ok());
  return directory;
}

// A member's applied state with its database; `Crash` loses what was not flushed.
class Member {
 public:
  explicit Member(std::string directory) : directory_(std::move(directory)) { Start(); }

  void Crash() {
    store_.reset();
    Start();
  }

  // As one batch; its rows may wait for a later one.
  void Apply(const std::vector<HistoryEntry>& entries, size_t from, size_t to, bool commit = true) {
    for (size_t i = from; i < to; ++i) {
      absl::Status status = ApplyEntry(entries[i], &state_);
      ASSERT_TRUE(status.ok()) << status;
    }
    if (!commit) return state_.AdvanceTo(entries[to - 1].index);
    state_.FinishBatch(entries[to - 1].index);
    EXPECT_EQ(state_.pending_rows(), 0u);
    absl::Status status = store_->Commit(entries[to - 1].index);
    ASSERT_TRUE(status.ok()) << status;
  }

  RocksStateStore& store() { return *store_; }
  const BrokerState& state() const { return state_; }

 private:
  void Start() {
    StateStoreOptions options;
    options.flush_at_close = false;
    auto opened = RocksStateStore::Open(directory_, options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    state_ = BrokerState();
    absl::Status status = store_->Load(&state_);
    ASSERT_TRUE(status.ok()) << status;
    state_.SetChanges(store_->changes());
  }

  const std::string directory_;
  std::unique_ptr<RocksStateStore> store_;
  BrokerState state_;
};

TEST(StateStore, WhatWasFlushedSurvivesACrashAndNothingElse) {
  RandomHistory history(42);
  while (history.entries().size() < 300) history.Next();
  Member member(FreshDirectory("flushed"));
  member.Apply(history.entries(), 0, 200);
  std::string flushed = member.state().DumpText();
  EXPECT_EQ(member.store().durable_applied_index(), LogIndex(0));
  ASSERT_TRUE(member.store().Flush().ok());
  EXPECT_EQ(member.store().durable_applied_index(), LogIndex(200));
  member.Apply(history.entries(), 200, 300);
  EXPECT_EQ(member.store().durable_applied_index(), LogIndex(200));
  EXPECT_EQ(*member.store().DumpLogical(), member.state().DumpText());

  member.Crash();
  EXPECT_EQ(member.state().DumpText(), flushed);
  EXPECT_EQ(member.store().applied_index(), LogIndex(200));
  EXPECT_EQ(member.store().durable_applied_index(), LogIndex(200));
}

// Saved apart from the rows, the index would be of another moment than they after some crash.
TEST(StateStore, WheneverItIsFlushedTheRowsAreThoseOfTheIndex) {
  constexpr size_t kEntries = 400;
  RandomHistory history(44);
  while (history.entries().size() < kEntries) history.Next();
  Member member(FreshDirectory("together"));
  std::map<LogIndex, std::string> states = {{LogIndex(0), member.state().DumpText()}};
  for (size_t begin = 0; begin < kEntries;) {
    std::atomic<bool> done{false};
    std::thread flusher = StartThread("flusher", [&] {
      while (!done.load()) EXPECT_TRUE(member.store().Flush().ok());
    });
    const size_t end = begin + 40;
    for (size_t i = begin; i < end; ++i) {
      member.Apply(history.entries(), i, i + 1);
      states[LogIndex(static_cast<int64_t>(i) + 1)] = member.state().DumpText();
    }
    done.store(true);
    flusher.join();
    member.Crash();
    const LogIndex applied = member.store().applied_index();
    ASSERT_TRUE(states.contains(applied)) << applied;
    EXPECT_EQ(member.state().DumpText(), states[applied]) << "at entry " << applied;
    member.Apply(history.entries(), static_cast<size_t>(applied.value()), end);
    begin = end;
  }
}

TEST(StateStore, ClosingKeepsWhatIsCommitted) {
  std::string directory = FreshDirectory("closed");
  RandomHistory history(43);
  while (history.entries().size() < 50) history.Next();
  BrokerState state;
  {
    auto store = RocksStateStore::Open(directory, {});
    ASSERT_TRUE(store.ok()) << store.status();
    state.SetChanges((*store)->changes());
    for (const HistoryEntry& entry : history.entries()) {
      ASSERT_TRUE(ApplyEntry(entry, &state).ok());
    }
    state.FinishBatch(LogIndex(50));
    ASSERT_TRUE((*store)->Commit(LogIndex(50)).ok());
    state.SetChanges(nullptr);
  }
  auto store = RocksStateStore::Open(directory, {});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(*(*store)->DumpLogical(), state.DumpText());
}

TEST(StateStore, ADirectoryInUseIsRefused) {
  std::string directory = FreshDirectory("in_use");
  auto first = RocksStateStore::Open(directory, {});
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = RocksStateStore::Open(directory, {});
  EXPECT_FALSE(second.ok());
  EXPECT_NE(Message(second.status()).find(directory), std::string_view::npos);
}

TEST(StateStore, DamagedFilesAreAClearError) {
  std::string directory = FreshDirectory("damaged");
  RandomHistory history(44);
  while (history.entries().size() < 300) history.Next();
  {
    Member member(directory);
    member.Apply(history.entries(), 0, 300);
    ASSERT_TRUE(member.store().Flush().ok());
  }
  FileSystem* fs = PosixFileSystem();
  auto names = fs->List(directory);
  ASSERT_TRUE(names.ok()) << names.status();
  int damaged = 0;
  for (const std::string& name : *names) {
    if (!name.ends_with(".sst")) continue;
    auto file = fs->Open(StrCat(directory, "/", name), OpenMode::kReadWrite);
    ASSERT_TRUE(file.ok()) << file.status();
    std::string bytes;
    ASSERT_TRUE((*file)->PRead(0, 64, &bytes).ok());
    for (char& c : bytes) c ^= 0x55;
    ASSERT_TRUE((*file)->PWrite(0, bytes).ok());
    ++damaged;
  }
  ASSERT_GT(damaged, 0);
  BrokerState state;
  auto store = RocksStateStore::Open(directory, {});
  absl::Status status = store.ok() ? (*store)->Load(&state) : store.status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_NE(Message(status).find(directory), std::string_view::npos) << status;
}

TEST(StateRows, MalformedRowsAreRefused) {
  BrokerState state;
  for (int column = 0; column < kStateColumns; ++column) {
    for (std::string value : {std::string(), std::string(1, '\1'), std::string(300, '\1')}) {
      for (std::string key : {std::string(), std::string("state"), std::string(40, '\0')}) {
        EXPECT_FALSE(state.LoadRow(static_cast<StateColumn>(column), key, value).ok())
            << "column " << column;
      }
    }
  }
}

class KeptTopics : public StateChanges {
 public:
  void Put(StateColumn column, std::string_view, std::string_view row) override {
    if (column == StateColumn::kTopics) value = row;
  }
  void Delete(StateColumn, std::string_view) override {}
  std::string value;  // of the newest row
};

TEST(StateRows, ATopicsAckLevelIsInItsRowWhichIsVersionTwoThen) {
  BrokerState state;
  KeptTopics rows;
  state.SetChanges(&rows);
  TopicConfig topic;
  topic.name = "t";
  ASSERT_TRUE(state.Apply({1, 1, PutTopic{topic}}, LogIndex(1)).ok());
  state.FinishBatch(LogIndex(1));
  const std::string without = rows.value;
  EXPECT_EQ(without[0], 1);
  topic.ack_level = dledger::AckLevel::kLeaderMemory;
  ASSERT_TRUE(state.Apply({1, 1, PutTopic{topic}}, LogIndex(2)).ok());
  state.FinishBatch(LogIndex(2));
  std::string with = rows.value;
  EXPECT_EQ(with[0], 2);
  EXPECT_EQ(with.substr(1), without.substr(1) + '\1');
  BrokerState loaded;
  ASSERT_TRUE(loaded.LoadRow(StateColumn::kTopics, "t", with).ok());
  EXPECT_EQ(loaded.FindTopic("t")->ack_level, topic.ack_level);
  topic.reserve_hours = 72;
  ASSERT_TRUE(state.Apply({1, 1, PutTopic{topic}}, LogIndex(3)).ok());
  state.FinishBatch(LogIndex(3));
  EXPECT_EQ(rows.value[0], 4);
  BrokerState reserved;
  ASSERT_TRUE(reserved.LoadRow(StateColumn::kTopics, "t", rows.value).ok());
  EXPECT_EQ(reserved.FindTopic("t")->reserve_hours, 72);
  EXPECT_EQ(reserved.FindTopic("t")->ack_level, topic.ack_level);
  with.back() = 5;
  EXPECT_EQ(BrokerState().LoadRow(StateColumn::kTopics, "u", with).code(),
            absl::StatusCode::kDataLoss);
}

// Counts rows by column.
class CountingChanges : public StateChanges {
 public:
  void Put(StateColumn column, std::string_view, std::string_view) override { ++puts[column]; }
  void Delete(StateColumn column, std::string_view) override { ++deletes[column]; }
  std::map<StateColumn, int> puts, deletes;
};

TEST(StateRows, ALeaseThatComesAndGoesBetweenTwoBatchesIsNoRow) {
  BrokerState state;
  CountingChanges rows;
  state.SetChanges(&rows);
  TopicConfig topic;
  topic.name = "t";
  GroupConfig group;
  group.name = "g";
  Grant grant{"g", "t", 10, "c", "", {{QueueId(0), QueueOffset(0), 1, 1}}, {}};
  grant.items.push_back({QueueId(0), QueueOffset(1), 1, 2});
  auto apply = [&](CommandBody body) {
    absl::Status status = state.Apply({1, 1, std::move(body)}, state.applied_index() + 1);
    ASSERT_TRUE(status.ok()) << status;
  };
  apply(PutTopic{topic});
  apply(PutGroup{group});
  for (int64_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(state.ApplyRecord("t", QueueId(0), QueueOffset(i), 1, LogIndex(1)).ok());
  }
  apply(InitPositions{"g", "t", {{QueueId(0), QueueOffset(0)}}});
  apply(grant);
  apply(Ack{"g", "t", {{QueueId(0), QueueOffset(0), 1}}});
  state.FinishBatch(LogIndex(1));
  EXPECT_EQ(rows.puts[StateColumn::kLeases], 1);
  EXPECT_EQ(rows.deletes[StateColumn::kLeases], 0);
  apply(Ack{"g", "t", {{QueueId(0), QueueOffset(1), 2}}});
  state.FinishBatch(LogIndex(2));
  EXPECT_EQ(rows.puts[StateColumn::kLeases], 1);
  EXPECT_EQ(rows.deletes[StateColumn::kLeases], 1);
}

// The heart of it: whatever was logged, crashes and replays change nothing, the leader's view and
// the applied state agree, and no message is granted that must not be.
TEST(ReplicatedState, RestartsAndReplaysGiveTheStateOfAStraightRun) {
  for (int round = 0; round < 4; ++round) {
    const uint64_t seed = PickSeed();
    SCOPED_TRACE(StrCat("REPLAY_SEED=", seed));
    Random random(seed);
    RandomHistory history(random.Next());
    Member member(FreshDirectory("replay"));
    BrokerState straight;
    int crashes = 0;
    while (history.entries().size() < 1'500) {
      for (int64_t n = random.Between(1, 30); n > 0; --n) history.Next();
      ASSERT_TRUE(history.faults().empty()) << history.faults()[0];
      const std::vector<HistoryEntry>& entries = history.entries();

      // Apply some of what is proposed, in batches; a crash takes the member back.
      auto from = static_cast<size_t>(member.state().applied_index().value());
      auto to = static_cast<size_t>(random.Between(from, entries.size()));
      while (from < to) {
        auto end = static_cast<size_t>(random.Between(from + 1, to));
        member.Apply(entries, from, end, random.Chance(0.5));
        ASSERT_FALSE(testing::Test::HasFatalFailure());
        from = end;
      }
      if (random.Chance(0.3)) {
        ASSERT_TRUE(member.store().Flush().ok());
      }
      if (random.Chance(0.15)) {
        member.Crash();
        ASSERT_FALSE(testing::Test::HasFatalFailure());
        ++crashes;
      }
      // Compare where the straight run has been (it never goes back).
      LogIndex applied = member.state().applied_index();
      if (applied <= straight.applied_index()) continue;
      for (auto i = static_cast<size_t>(straight.applied_index().value()); i < applied.value();
           ++i) {
        ASSERT_TRUE(ApplyEntry(entries[i], &straight).ok());
      }
      straight.FinishBatch(applied);
      ASSERT_EQ(member.state().DumpText(), straight.DumpText());
    }
    const auto last = history.entries().size();
    auto from = static_cast<size_t>(member.state().applied_index().value());
    // Also if nothing is left to be applied: what was may not be in the database yet.
    member.Apply(history.entries(), from, last);
    history.leading().FinishBatch(LogIndex(static_cast<int64_t>(last)));
    EXPECT_EQ(member.state().DumpText(), history.leading().DumpText());
    EXPECT_EQ(*member.store().DumpLogical(), member.state().DumpText());
    EXPECT_GT(crashes, 0);
  }
}

}  // namespace
}  // namespace raftmq::store
