// When a send is answered: three members with the real replica and the real store, on disks that
// hang and links that are cut, in simulated time.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "store/log_message_store.h"
#include "store/message_record.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/sim_scheduler.h"

namespace raftmq::store {
namespace {

using dledger::AckLevel;
using sim::kMillisecond;
using sim::kSecond;
using sim::SimCluster;
using sim::SimScheduler;
using sim::SimTaskRunner;

constexpr char kTopic[] = "orders";

class StoreProcess final : public dledger::StateMachine {
 public:
  StoreProcess(SimScheduler* scheduler, FileSystem* fs, std::string state_dir)
      : runner_(scheduler->NewRunner("store")) {
    LogMessageStoreOptions options;
    options.dir = "/data/derived";
    options.state_dir = std::move(state_dir);
    options.flush_state_at_close = false;
    options.index_slots = 64;
    options.index_entries = 256;
    auto store =
        LogMessageStore::Open(options, fs, scheduler->clock(), runner_.get(), runner_.get());
    CHECK(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  ~StoreProcess() override { runner_.reset(); }

  LogMessageStore& store() { return *store_; }

  LogIndex DurableAppliedIndex() const override { return store_->DurableAppliedIndex(); }
  LogIndex ReplayAfter() const override { return store_->ReplayAfter(); }
  absl::Status Apply(std::span<const dledger::CommittedEntry> entries) override {
    return store_->Apply(entries);
  }
  void BeginLeadership(Term term) override { store_->BeginLeadership(term); }
  void EndLeadership() override { store_->EndLeadership(); }

 private:
  std::unique_ptr<SimTaskRunner> runner_;
  std::unique_ptr<LogMessageStore> store_;
};

using Sent = absl::StatusOr<std::vector<SendResult>>;

class AckLevels : public testing::Test {
 protected:
  AckLevels()
      : cluster_(&scheduler_, SimCluster::Options(), [this](int member, FileSystem* fs) {
          return std::make_unique<StoreProcess>(&scheduler_, fs, StateDir(member));
        }) {
    for (int i = 0; i < cluster_.size(); ++i) {
      CHECK(PosixFileSystem()->RemoveAll(StateDir(i)).ok());
      Start(i);
    }
    Lead();
    bool created = false;
    TopicConfig topic;
    topic.name = kTopic;
    topic.type = TopicType::kMixed;
    topic.read_queues = topic.write_queues = 1;
    store(leader_).UpdateTopic(topic, [&](const absl::Status& status) { created = status.ok(); });
    scheduler_.RunFor(kSecond);
    CHECK(created);
    // Makes the topics of messages that wait, so that no test waits for that.
    CHECK(Answer(*Send(AckLevel::kMajorityDisk, TopicType::kDelay), kSecond).ok());
    CHECK(Answer(*Send(AckLevel::kMajorityDisk, TopicType::kTransaction), kSecond).ok());
  }

  static std::string StateDir(int member) {
    return StrCat(testing::TempDir(), "/ack_level_test_", member);
  }
  LogMessageStore& store(int member) {
    return static_cast<StoreProcess*>(cluster_.state_machine(member))->store();
  }
  void Start(int member) {
    const absl::Status started = cluster_.Start(member);
    CHECK(started.ok()) << started;
    store(member).Attach(cluster_.replica(member));
  }
  void Lead() {
    leader_ = cluster_.AwaitLeader();
    CHECK_GE(leader_, 0);
    followers_ = {(leader_ + 1) % 3, (leader_ + 2) % 3};
    scheduler_.RunFor(200 * kMillisecond);  // its peers have caught up
  }

  using Pending = std::shared_ptr<std::optional<Sent>>;
  Pending Send(AckLevel ack, TopicType type = TopicType::kNormal) {
    NewMessage message;
    message.topic = kTopic;
    message.type = type;
    message.body = StrCat("body", ++sent_);
    message.message_id = StrCat("id", sent_);
    message.client_id = "producer";
    message.born_ms = scheduler_.clock()->WallMillis();
    message.deliver_ms = type == TopicType::kDelay ? message.born_ms + 3'600'000 : 0;
    last_ = message;
    return SendThis(message, ack);
  }
  Pending SendThis(const NewMessage& message, AckLevel ack) {
    auto answer = std::make_shared<std::optional<Sent>>();
    store(leader_).Send({message}, ack, [answer](Sent sent) { *answer = std::move(sent); });
    return answer;
  }

  bool Answered(const Pending& pending, int64_t nanos) {
    return scheduler_.RunUntil([&] { return pending->has_value(); }, nanos);
  }
  // CHECKs that there is one in time.
  Sent Answer(const std::optional<Sent>& pending, int64_t nanos) {
    CHECK(scheduler_.RunUntil([&] { return pending.has_value(); }, nanos)) << "not answered";
    return *pending;
  }
  // As what it was answered, within `nanos`; 0: not at all.
  AckLevel Reached(const Pending& pending, int64_t nanos) {
    if (!Answered(pending, nanos)) return AckLevel(0);
    EXPECT_TRUE((*pending)->ok()) << (*pending)->status();
    return (*pending)->ok() ? (**pending)->at(0).reached : AckLevel(0);
  }

  void PauseDisks(const std::vector<int>& members, int64_t nanos) {
    for (const int member : members) cluster_.PauseDisk(member, nanos);
  }
  std::vector<int> All() const { return {0, 1, 2}; }

  // Whether the newest message is stored, asked of the leader.
  bool Stored() {
    const auto range = store(leader_).Range(kTopic, QueueId(0));
    CHECK(range.ok()) << range.status();
    if (range->max == QueueOffset(0)) return false;
    const auto records =
        store(leader_).Pull(kTopic, QueueId(0), range->max - 1, 1, int64_t{1} << 20);
    CHECK(records.ok()) << records.status();
    const auto record = ParseRecord(records->at(0));
    CHECK(record.ok()) << record.status();
    return record->body == last_.body;
  }

  void PowerCut() {
    for (int i = 0; i < 3; ++i) cluster_.Crash(i, SimCluster::End::kPowerLoss);
    for (int i = 0; i < 3; ++i) Start(i);
    Lead();
    scheduler_.RunFor(kSecond);
  }

  SimScheduler scheduler_{11};
  SimCluster cluster_;
  int leader_ = -1;
  std::vector<int> followers_;
  int sent_ = 0;
  NewMessage last_;
};

TEST_F(AckLevels, LeaderNeedsNobodyElse) {
  PauseDisks(All(), 2 * kSecond);
  cluster_.Isolate({leader_});
  EXPECT_EQ(Reached(Send(AckLevel::kLeaderMemory), 50 * kMillisecond), AckLevel::kLeaderMemory);
}

TEST_F(AckLevels, QuorumNeedsAMajoritysMemoryAndNoDisk) {
  PauseDisks(All(), 400 * kMillisecond);
  EXPECT_EQ(Reached(Send(AckLevel::kMajorityMemory), 50 * kMillisecond), AckLevel::kMajorityMemory);
  cluster_.Isolate({leader_});
  EXPECT_FALSE(Answered(Send(AckLevel::kMajorityMemory), 100 * kMillisecond));
}

TEST_F(AckLevels, QuorumFsyncNeedsAMajoritysDisks) {
  PauseDisks({followers_[0]}, 300 * kMillisecond);
  EXPECT_EQ(Reached(Send(AckLevel::kMajorityDisk), 50 * kMillisecond), AckLevel::kMajorityDisk);
  PauseDisks(followers_, 300 * kMillisecond);
  const Pending pending = Send(AckLevel::kMajorityDisk);
  EXPECT_FALSE(Answered(pending, 250 * kMillisecond));
  EXPECT_EQ(Reached(pending, 500 * kMillisecond), AckLevel::kMajorityDisk);
}

TEST_F(AckLevels, TheLeadersDiskIsOneOfThem) {
  PauseDisks({leader_}, 300 * kMillisecond);
  EXPECT_EQ(Reached(Send(AckLevel::kMajorityDisk), 50 * kMillisecond), AckLevel::kMajorityDisk);
}

TEST_F(AckLevels, AllNeedsTheSlowestDisk) {
  PauseDisks({followers_[1]}, 300 * kMillisecond);
  const Pending pending = Send(AckLevel::kAllDisks);
  EXPECT_FALSE(Answered(pending, 250 * kMillisecond));
  EXPECT_EQ(Reached(pending, 500 * kMillisecond), AckLevel::kAllDisks);
}

TEST_F(AckLevels, AllThatTakesTooLongIsToldAndARepetitionWaitsForThemAgain) {
  PauseDisks({followers_[1]}, 5 * kSecond);
  const Pending pending = Send(AckLevel::kAllDisks);
  EXPECT_FALSE(Answered(pending, 2 * kSecond));
  const Sent late = Answer(*pending, 2 * kSecond);
  EXPECT_EQ(ReasonOf(late.status()), Reason::kAckTimeout) << late.status();
  EXPECT_TRUE(Stored()) << "what commits does not depend on the level";
  // Its client tries again, as clients do.
  const Pending again = SendThis(last_, AckLevel::kAllDisks);
  EXPECT_FALSE(Answered(again, 500 * kMillisecond));
  EXPECT_EQ(Reached(again, 2 * kSecond), AckLevel::kAllDisks);
  EXPECT_TRUE((**again)->at(0).repeated);
}

TEST_F(AckLevels, AllIsRefusedWhileAMemberIsAway) {
  cluster_.Crash(followers_[0], SimCluster::End::kKill);
  scheduler_.RunFor(100 * kMillisecond);
  const Sent refused = Answer(*Send(AckLevel::kAllDisks), 100 * kMillisecond);
  EXPECT_EQ(ReasonOf(refused.status()), Reason::kAckLevelUnavailable) << refused.status();
  EXPECT_NE(Message(refused.status()).find(StrCat("n", followers_[0])), std::string::npos)
      << Message(refused.status());
  scheduler_.RunFor(kSecond);
  EXPECT_FALSE(Stored());
  EXPECT_EQ(Reached(Send(AckLevel::kMajorityDisk), 50 * kMillisecond), AckLevel::kMajorityDisk)
      << "the others go on";
  Start(followers_[0]);
  scheduler_.RunFor(2 * kSecond);
  EXPECT_EQ(Reached(Send(AckLevel::kAllDisks), 500 * kMillisecond), AckLevel::kAllDisks);
}

TEST_F(AckLevels, AMessageThatWaitsIsNotAnsweredEarly) {
  for (const TopicType type : {TopicType::kTransaction, TopicType::kDelay}) {
    PauseDisks(followers_, 300 * kMillisecond);
    const Pending pending = Send(AckLevel::kLeaderMemory, type);
    EXPECT_FALSE(Answered(pending, 250 * kMillisecond)) << static_cast<int>(type);
    EXPECT_EQ(Reached(pending, 500 * kMillisecond), AckLevel::kMajorityDisk);
  }
}

TEST_F(AckLevels, WhatWasReachedIsToldEvenIfItIsMoreThanAskedFor) {
  // A repetition of what is on the disks by now.
  ASSERT_EQ(Reached(Send(AckLevel::kMajorityDisk), 50 * kMillisecond), AckLevel::kMajorityDisk);
  EXPECT_EQ(Reached(SendThis(last_, AckLevel::kLeaderMemory), 50 * kMillisecond),
            AckLevel::kMajorityDisk);
}

// What each level promises when the power fails everywhere at once.
TEST_F(AckLevels, APowerCutLosesWhatWasInMemoryOnly) {
  PauseDisks(All(), 2 * kSecond);
  ASSERT_EQ(Reached(Send(AckLevel::kMajorityMemory), 50 * kMillisecond), AckLevel::kMajorityMemory);
  PowerCut();
  EXPECT_FALSE(Stored());
}

TEST_F(AckLevels, APowerCutLosesNothingThatAMajoritysDisksHave) {
  PauseDisks({followers_[0]}, 2 * kSecond);
  ASSERT_EQ(Reached(Send(AckLevel::kMajorityDisk), 50 * kMillisecond), AckLevel::kMajorityDisk);
  PowerCut();
  EXPECT_TRUE(Stored());
}

TEST_F(AckLevels, ALeaderThatDiesLosesWhatOnlyItHad) {
  cluster_.Isolate({leader_});
  ASSERT_EQ(Reached(Send(AckLevel::kLeaderMemory), 50 * kMillisecond), AckLevel::kLeaderMemory);
  cluster_.Crash(leader_, SimCluster::End::kKill);
  cluster_.HealNetwork();
  Lead();
  scheduler_.RunFor(kSecond);
  EXPECT_FALSE(Stored());
}

TEST_F(AckLevels, AMajoritysMemoryKeepsWhatItHasWhenTheLeaderDies) {
  ASSERT_EQ(Reached(Send(AckLevel::kMajorityMemory), 50 * kMillisecond), AckLevel::kMajorityMemory);
  cluster_.Crash(leader_, SimCluster::End::kKill);
  Lead();
  scheduler_.RunFor(kSecond);
  EXPECT_TRUE(Stored());
}

}  // namespace
}  // namespace raftmq::store
