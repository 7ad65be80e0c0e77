// The parts that are derived from the log: lost, behind one another, killed at any point, and made
// again, equal to those of a member to which nothing happened.

#include <map>
#include <set>

#include "base/random.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Files below `dir` with their bytes, by path from there.
std::map<std::string, std::string> FilesBelow(FileSystem* fs, const std::string& dir,
                                              const std::string& prefix = "") {
  std::map<std::string, std::string> files;
  const auto names = fs->List(dir);
  if (!names.ok()) return files;
  for (const std::string& name : *names) {
    const std::string path = StrCat(dir, "/", name);
    if (auto content = ReadFile(fs, path); content.ok()) {
      files[StrCat(prefix, name)] = *std::move(content);
    } else {
      files.merge(FilesBelow(fs, path, StrCat(prefix, name, "/")));
    }
  }
  return files;
}

StoreHarness::Options SmallFiles() {
  StoreHarness::Options options;
  options.store.queue_entries_per_file = 8;
  options.store.index_slots = 16;
  options.store.index_entries = 32;
  return options;
}

// What two members that have applied the same entries have in common.
struct Everything {
  std::string state;
  std::map<std::string, std::string> consume_queues;
  std::vector<std::string> found_by_key;
};

// Stops the member.
Everything EverythingOf(StoreHarness& member) {
  Everything all;
  all.state = member.Dump();
  for (const TopicConfig& topic : member.store().ListTopics()) {
    for (const std::string key : {"k0", "k1", "k2"}) {
      const auto records = member.store().QueryByKey(topic.name, key, 0, INT64_MAX, 1000);
      CHECK(records.ok()) << records.status();
      for (const std::string& record : *records) {
        all.found_by_key.push_back(StrCat(topic.name, " ", key, " ", BodyOf(record)));
      }
    }
  }
  member.Stop();
  all.consume_queues = FilesBelow(&member.fs(), StrCat(member.dir(), "/consumequeue"));
  all.consume_queues.erase("queues.mark");  // says how far, not what
  return all;
}

void ExpectEqual(const Everything& a, const Everything& b) {
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.found_by_key, b.found_by_key);
  ASSERT_EQ(a.consume_queues.size(), b.consume_queues.size());
  for (const auto& [path, bytes] : a.consume_queues) {
    ASSERT_TRUE(b.consume_queues.contains(path)) << path;
    EXPECT_TRUE(bytes == b.consume_queues.at(path)) << path << " differs";
  }
}

class Rebuild : public testing::Test {
 protected:
  Rebuild() : member_(&log_, "rebuild_test", SmallFiles()) {
    member_.Start();
    member_.MakeTopic("T", 3);
    member_.MakeTopic("U", 1);
    for (int i = 0; i < 50; ++i) {
      NewMessage message = MessageOf(i % 2 == 0 ? "T" : "U", StrCat("m", i), StrCat("tag", i % 4));
      message.keys = {StrCat("k", i % 3)};
      CHECK(member_.Send({message}).ok());
      if (i == 20) {
        member_.ReceiveBodies("G", "T");
        member_.AckLast("G", "T");
        CHECK(member_.store().Flush().ok());
      }
    }
    member_.ReceiveBodies("G", "U", 5);
    CHECK(member_.DeleteTopic("U").ok());
    member_.MakeTopic("U", 2);
    for (int i = 0; i < 10; ++i) member_.SendOne("U", StrCat("again", i));
    member_.ReceiveBodies("G", "U", 4);
  }

  // What a member has to which nothing but the log ever happened.
  Everything Expected() {
    StoreHarness fresh(&log_, "rebuild_test_fresh", SmallFiles());
    fresh.Start(/*lead=*/false);
    return EverythingOf(fresh);
  }

  // Of a stopped member: a bit of `byte` of the entry.
  void FlipEntry(const std::string& topic, int queue, int entry, int byte, int bit) {
    char name[32];
    std::snprintf(name, sizeof(name), "%020d", entry / 8 * 8 * 20);
    const std::string path =
        StrCat(member_.dir(), "/consumequeue/", topic, "/", queue, "/", std::string(name));
    auto file = member_.fs().Open(path, OpenMode::kReadWrite);
    ASSERT_TRUE(file.ok()) << file.status();
    std::string content;
    const int64_t at = entry % 8 * 20 + byte;
    ASSERT_TRUE((*file)->PRead(at, 1, &content).ok());
    content[0] = static_cast<char>(content[0] ^ (1 << bit));
    ASSERT_TRUE((*file)->PWrite(at, content).ok());
    ASSERT_TRUE((*file)->DataSync().ok());
  }

  // All of the queue's.
  std::vector<std::string> Pull(const std::string& topic, int queue) {
    const auto records =
        member_.store().Pull(topic, QueueId(queue), QueueOffset(0), 1'024, int64_t{1} << 30);
    EXPECT_TRUE(records.ok()) << records.status();
    std::vector<std::string> bodies;
    if (!records.ok()) return bodies;
    for (const std::string& record : *records) bodies.push_back(BodyOf(record));
    return bodies;
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Rebuild, AnotherMemberHasEqualState) { ExpectEqual(EverythingOf(member_), Expected()); }

TEST_F(Rebuild, ACleanStopLeavesNothingToReplay) {
  member_.Stop();
  member_.Start(/*lead=*/false);
  EXPECT_EQ(member_.store().DurableAppliedIndex(), log_.last_index());
  EXPECT_EQ(member_.store().AppliedIndex(), log_.last_index());
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, AKilledMemberReplaysWhatItHadNotFlushed) {
  const LogIndex before = log_.last_index();
  member_.Kill();
  member_.Start(/*lead=*/false);
  EXPECT_LT(member_.store().DurableAppliedIndex(), before);
  EXPECT_GT(member_.store().DurableAppliedIndex(), LogIndex(0));
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, DeletedConsumeQueuesAreMadeAgain) {
  member_.Stop();
  ASSERT_TRUE(member_.fs().RemoveAll(StrCat(member_.dir(), "/consumequeue")).ok());
  member_.Start(/*lead=*/false);
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, ADamagedConsumeQueueIsMadeAgain) {
  member_.Stop();
  const std::string file = StrCat(member_.dir(), "/consumequeue/T/0/", std::string(20, '0'));
  ASSERT_TRUE(member_.fs().Remove(file).ok());
  member_.Start(/*lead=*/false);
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, AnEntryWithAFlippedBitIsHealedByItsReader) {
  for (int i = 0; i < 60; ++i) member_.SendOne("T", StrCat("more", i));
  const std::vector<std::string> whole = Pull("T", 1);
  ASSERT_GT(whole.size(), 17u);
  for (int round = 0; round < 7; ++round) {  // each byte once at least
    member_.Stop();
    for (int i = 0; i < 6; ++i) FlipEntry("T", 1, 3 * i, (3 * i + round * 3) % 20, (i + round) % 8);
    member_.Start(/*lead=*/false);
    ASSERT_EQ(Pull("T", 1), whole) << "round " << round;
  }
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, NeighboursThatAreAllDamagedAreHealedToo) {
  for (int i = 0; i < 60; ++i) member_.SendOne("T", StrCat("more", i));
  const std::vector<std::string> whole = Pull("T", 1);
  member_.Stop();
  for (int entry = 0; entry < 12; ++entry) FlipEntry("T", 1, entry, entry % 20, 5);
  member_.Start(/*lead=*/false);
  EXPECT_EQ(Pull("T", 1), whole);
  ExpectEqual(EverythingOf(member_), Expected());
}

// The log has two messages of this topic, queue and offset: one is of the topic before it was
// deleted and made again.
TEST_F(Rebuild, AnEntryIsHealedFromItsOwnTopicsMessages) {
  const std::vector<std::string> whole = Pull("U", 0);
  ASSERT_EQ(whole.at(0).substr(0, 5), "again");
  member_.Stop();
  FlipEntry("U", 0, 0, 7, 0);  // not noticed when it is opened
  member_.Start(/*lead=*/false);
  EXPECT_EQ(Pull("U", 0), whole);
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, AFlippedTagHashHidesNoMessageFromWhoFiltersByTag) {
  member_.MakeTopic("V", 1);
  for (int i = 0; i < 20; ++i) member_.SendOne("V", StrCat("m", i), i % 2 == 0 ? "A" : "B");
  member_.Stop();
  FlipEntry("V", 0, 4, 15, 3);
  FlipEntry("V", 0, 5, 15, 3);
  member_.Start();
  std::vector<std::string> expected;
  for (int i = 0; i < 20; i += 2) expected.push_back(StrCat("m", i));
  EXPECT_EQ(member_.ReceiveBodies("G2", "V", 32, {"A"}), expected);
}

// A record that is damaged in the log is not the entry's fault: its reader hears of it.
TEST_F(Rebuild, ADamagedRecordIsAnErrorAndTheOthersAreRead) {
  member_.MakeTopic("V", 1);
  for (int i = 0; i < 3; ++i) member_.SendOne("V", StrCat("m", i));
  const auto records = member_.store().Pull("V", QueueId(0), QueueOffset(1), 1, 1);
  ASSERT_TRUE(records.ok()) << records.status();
  const auto record = ParseRecord(records->at(0));
  ASSERT_TRUE(record.ok());
  log_.Corrupt(record->physical_offset + 60);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(
        absl::IsDataLoss(member_.store().Pull("V", QueueId(0), QueueOffset(1), 1, 1).status()));
  }
  EXPECT_TRUE(member_.store().Pull("V", QueueId(0), QueueOffset(2), 1, 1).ok());
}

TEST_F(Rebuild, AStateDatabaseThatCannotBeReadIsSetAsideAndMadeAgain) {
  FileSystem* const disk = PosixFileSystem();
  for (const std::string prefix : {"CURRENT", "MANIFEST", "0"}) {  // tables have numbers
    member_.Stop();
    const auto names = disk->List(member_.state_dir());
    ASSERT_TRUE(names.ok()) << names.status();
    int spoiled = 0;
    for (const std::string& name : *names) {
      if (!name.starts_with(prefix) || name.ends_with(".log")) continue;
      const std::string path = StrCat(member_.state_dir(), "/", name);
      auto content = ReadFile(disk, path);
      ASSERT_TRUE(content.ok()) << content.status();
      for (size_t i = content->size() / 2; i < content->size(); ++i) (*content)[i] ^= 0x10;
      ASSERT_TRUE(WriteFileAtomically(disk, path, *content).ok());
      ++spoiled;
    }
    ASSERT_GT(spoiled, 0) << prefix;
    ASSERT_TRUE(disk->RemoveAll(StrCat(member_.state_dir(), ".damaged")).ok());
    member_.Start(/*lead=*/false);
    EXPECT_TRUE(disk->List(StrCat(member_.state_dir(), ".damaged")).ok()) << prefix;
  }
  ExpectEqual(EverythingOf(member_), Expected());
  ASSERT_TRUE(disk->RemoveAll(StrCat(member_.state_dir(), ".damaged")).ok());
}

TEST_F(Rebuild, ADeletedIndexIsMadeAgain) {
  member_.Stop();
  ASSERT_TRUE(member_.fs().RemoveAll(StrCat(member_.dir(), "/index")).ok());
  member_.Start(/*lead=*/false);
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, ADeletedStateDatabaseIsMadeAgain) {
  member_.Stop();
  ASSERT_TRUE(PosixFileSystem()->RemoveAll(member_.state_dir()).ok());
  member_.Start(/*lead=*/false);
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, AllOfThemDeletedAreMadeAgain) {
  member_.Stop();
  ASSERT_TRUE(member_.fs().RemoveAll(member_.dir()).ok());
  ASSERT_TRUE(PosixFileSystem()->RemoveAll(member_.state_dir()).ok());
  member_.Start(/*lead=*/false);
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, AStateThatIsAheadOfTheFilesWaitsForThem) {
  member_.Kill();
  member_.options().store.flush_state_at_close = true;  // RocksDB may have written more by itself
  member_.Start(/*lead=*/false);
  member_.Kill();
  member_.Start(/*lead=*/false);
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, ARebuiltMemberGoesOnAsIfNothingHadHappened) {
  member_.Stop();
  ASSERT_TRUE(member_.fs().RemoveAll(StrCat(member_.dir(), "/consumequeue")).ok());
  member_.Start();
  EXPECT_EQ(member_.SendOne("U", "more").queue, QueueId(0));
  member_.clock().AdvanceMillis(60'000);
  std::set<std::string> left;
  for (const std::string& body : member_.ReceiveBodies("G", "U")) left.insert(body);
  EXPECT_EQ(left.size(), 11u) << "none of U's acked, all of them the new topic's";
  EXPECT_FALSE(left.contains("m1"));
  ExpectEqual(EverythingOf(member_), Expected());
}

TEST_F(Rebuild, AnIndexSwitchedOnLaterCatchesUp) {
  FakeLog log;
  StoreHarness::Options options = SmallFiles();
  options.store.message_index_enable = false;
  StoreHarness member(&log, "rebuild_test_index", options);
  member.Start();
  member.MakeTopic("T");
  NewMessage message = MessageOf("T", "m");
  message.keys = {"key"};
  ASSERT_TRUE(member.Send({message}).ok());
  EXPECT_EQ(ReasonOf(member.store().QueryByKey("T", "key", 0, INT64_MAX, 10).status()),
            Reason::kUnsupported);
  member.Stop();
  member.options().store.message_index_enable = true;
  member.Start();
  EXPECT_EQ(member.store().QueryByKey("T", "key", 0, INT64_MAX, 10)->size(), 1u);
}

TEST_F(Rebuild, EntriesThatContradictTheStateStopTheMember) {
  // A record whose offset is not the end of its queue: nobody wrote this, so the log or we are
  // wrong.
  FakeLog log;
  StoreHarness member(&log, "rebuild_test_contradiction", SmallFiles());
  member.Start();
  member.MakeTopic("T");
  member.SendOne("T", "m0");
  const auto record = member.store().Pull("T", QueueId(0), QueueOffset(0), 1, 1 << 20);
  ASSERT_TRUE(record.ok());
  FakeLog::Entry repeated{log.last_index() + 1, log.last_term(), dledger::FrameType::kRecords,
                          log.end(), record->at(0)};
  log.Append(repeated);
  const absl::Status applied = member.ledger().ApplyAll();
  EXPECT_EQ(applied.code(), absl::StatusCode::kDataLoss) << applied;
  EXPECT_FALSE(member.store().Apply({}).ok() && member.store().Flush().ok());

  FakeLog::Entry unknown{log.last_index() + 1, log.last_term(), dledger::FrameType::kCommands,
                         log.end(), std::string("\x00\x00\x00\x02\xff\x01", 6)};
  log.Append(unknown);
  EXPECT_FALSE(member.ledger().ApplyAll().ok());
}

// ---- Histories drawn at random, killed at any point

// What the store should hold, kept beside it.
struct Model {
  struct Topic {
    std::vector<std::vector<std::string>> queues;  // bodies
  };
  std::map<std::string, Topic> topics;
  std::set<std::string> acked;  // bodies, by group "G"
  int64_t next_body = 0;
};

class RandomHistory {
 public:
  RandomHistory(uint64_t seed, const std::string& name)
      : random_(seed), member_(&log_, name, SmallFiles()) {
    member_.Start();
  }

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      Step();
      if (testing::Test::HasFatalFailure()) return;
    }
    Check();
    DrainAndCheck();
  }

  FakeLog& log() { return log_; }
  StoreHarness& member() { return member_; }

 private:
  std::string AnyTopic() { return StrCat("T", random_.Below(3)); }

  void Step() {
    switch (random_.Below(16)) {
      case 0:
        MakeTopic(AnyTopic());
        break;
      case 1:
        if (random_.Chance(0.3)) DeleteTopic(AnyTopic());
        break;
      case 2:
        Restart();
        break;
      case 3:
        ASSERT_TRUE(member_.store().Flush().ok());
        break;
      case 4:
        member_.clock().AdvanceMillis(random_.Between(0, 90'000));
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        Receive(AnyTopic());
        break;
      default:
        Send(AnyTopic());
    }
  }

  void MakeTopic(const std::string& name) {
    if (model_.topics.contains(name)) return;
    const int queues = static_cast<int>(random_.Between(1, 3));
    member_.MakeTopic(name, queues);
    model_.topics[name].queues.resize(queues);
  }

  void DeleteTopic(const std::string& name) {
    if (model_.topics.erase(name) == 0) return;
    if (random_.Chance(0.5)) {
      ASSERT_TRUE(member_.DeleteTopic(name).ok());
      return;
    }
    // Dies while it removes the files. The deletion is committed all the same.
    member_.ledger().set_synchronous(false);
    member_.store().DeleteTopic(name, [](absl::Status) {});
    member_.ledger().DecideAll();
    member_.ledger().CommitAll();
    member_.fs().HaltBefore(random_.Between(0, 12));
    member_.ledger().ApplyAll().IgnoreError();
    Die();
  }

  void Restart() {
    switch (random_.Below(4)) {
      case 0:
        member_.Stop();
        member_.Start();
        break;
      case 1:
        member_.Kill();
        member_.Start();
        break;
      case 2:
        member_.fs().HaltBefore(random_.Between(0, 40));
        member_.store().Flush().IgnoreError();
        Die();
        break;
      case 3:
        Die();
        break;
    }
    Check();
  }

  void Die() {
    member_.Crash(&random_);
    if (random_.Chance(0.1)) {
      ASSERT_TRUE(PosixFileSystem()->RemoveAll(member_.state_dir()).ok());
    }
    member_.Start();
  }

  void Send(const std::string& topic) {
    std::vector<NewMessage> batch;
    const int64_t size = random_.Between(1, 4);
    for (int64_t i = 0; i < size; ++i) {
      NewMessage message =
          MessageOf(topic, StrCat("b", model_.next_body++), StrCat("tag", random_.Below(3)));
      message.keys = {StrCat("k", random_.Below(3))};
      batch.push_back(message);
    }
    const auto results = member_.Send(batch);
    if (!model_.topics.contains(topic)) {
      ASSERT_EQ(ReasonOf(results.status()), Reason::kTopicNotFound);
      return;
    }
    ASSERT_TRUE(results.ok()) << results.status();
    for (size_t i = 0; i < batch.size(); ++i) {
      auto& queue = model_.topics[topic].queues.at(results->at(i).queue.value());
      ASSERT_EQ(results->at(i).offset.value(), static_cast<int64_t>(queue.size()));
      queue.push_back(batch[i].body);
    }
  }

  void Receive(const std::string& topic) {
    if (!model_.topics.contains(topic)) return;
    const auto bodies = member_.ReceiveBodies("G", topic, static_cast<int>(random_.Between(1, 8)));
    const auto deliveries = member_.last_deliveries();
    for (size_t i = 0; i < bodies.size(); ++i) {
      const Delivery& delivery = deliveries[i];
      ASSERT_FALSE(model_.acked.contains(bodies[i])) << bodies[i] << " was acked and came again";
      ASSERT_EQ(bodies[i],
                model_.topics[topic].queues.at(delivery.queue.value()).at(delivery.offset.value()));
      if (random_.Chance(0.6)) {
        ASSERT_TRUE(member_.Ack("G", topic, {delivery.receipt_handle})[0].ok());
        model_.acked.insert(bodies[i]);
      } else if (random_.Chance(0.5)) {
        ASSERT_TRUE(
            member_.ChangeInvisible("G", topic, delivery.receipt_handle, random_.Between(0, 90'000))
                .ok());
      }
    }
  }

  // Every queue holds exactly what was sent to it.
  void Check() {
    ASSERT_EQ(member_.store().ListTopics().size(), model_.topics.size());
    for (const auto& [name, topic] : model_.topics) {
      for (size_t q = 0; q < topic.queues.size(); ++q) {
        const QueueId queue(static_cast<int32_t>(q));
        const auto range = member_.store().Range(name, queue);
        ASSERT_TRUE(range.ok()) << range.status();
        ASSERT_EQ(range->max.value(), static_cast<int64_t>(topic.queues[q].size()));
        const auto records =
            member_.store().Pull(name, queue, QueueOffset(0), 1'024, int64_t{1} << 30);
        ASSERT_TRUE(records.ok()) << records.status();
        ASSERT_EQ(records->size(), topic.queues[q].size());
        for (size_t i = 0; i < records->size(); ++i) {
          ASSERT_EQ(BodyOf(records->at(i)), topic.queues[q][i]);
        }
      }
    }
  }

  // Whatever was not acked comes, and nothing else does.
  void DrainAndCheck() {
    member_.clock().AdvanceMillis(200'000);
    std::set<std::string> expected;
    std::set<std::string> received;
    for (const auto& [name, topic] : model_.topics) {
      for (const auto& queue : topic.queues) {
        for (const std::string& body : queue) {
          if (!model_.acked.contains(body)) expected.insert(body);
        }
      }
      for (;;) {
        const auto bodies = member_.ReceiveBodies("G", name, 32);
        if (bodies.empty()) break;
        for (const std::string& body : bodies) ASSERT_TRUE(received.insert(body).second) << body;
        member_.AckLast("G", name);
      }
    }
    ASSERT_EQ(received, expected);
  }

  Random random_;
  FakeLog log_;
  StoreHarness member_;
  Model model_;
};

TEST(RandomHistory, NeitherLosesNorRepeatsAQueueEntryWhereverItIsKilled) {
  // RAFTMQ_SEED=<n> repeats one history.
  const char* fixed = std::getenv("RAFTMQ_SEED");
  const uint64_t first = fixed != nullptr ? std::strtoull(fixed, nullptr, 10) : 1;
  const uint64_t last = fixed != nullptr ? first : first + 19;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(StrCat("replay with RAFTMQ_SEED=", seed));
    RandomHistory history(seed, StrCat("random_history_", seed));
    history.Run(120);
    if (testing::Test::HasFailure()) return;
    StoreHarness fresh(&history.log(), StrCat("random_history_fresh_", seed), SmallFiles());
    fresh.Start(/*lead=*/false);
    ExpectEqual(EverythingOf(history.member()), EverythingOf(fresh));
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace raftmq::store
