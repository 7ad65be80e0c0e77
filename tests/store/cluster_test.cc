// Three members with the real replica and the real store, in simulated time: what was acknowledged
// stays, what was acked stays away, and all members agree, whatever happens to them.

#include <cstdlib>
#include <map>
#include <memory>
#include <set>
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

using sim::kMillisecond;
using sim::kSecond;
using sim::SimCluster;
using sim::SimScheduler;
using sim::SimTaskRunner;

constexpr char kTopic[] = "orders";
constexpr char kGroup[] = "billing";
constexpr int kQueues = 3;

// A store and the thread of its reads: one process's share of a member.
class StoreProcess final : public dledger::StateMachine {
 public:
  StoreProcess(SimScheduler* scheduler, FileSystem* fs, std::string state_dir)
      : runner_(scheduler->NewRunner("store")) {
    LogMessageStoreOptions options;
    options.dir = "/data/derived";
    options.state_dir = std::move(state_dir);
    options.flush_state_at_close = false;
    options.flush_interval_ms = 700;
    options.queue_entries_per_file = 50;
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
  LogIndex NeedsEntriesAfter() const override { return store_->NeedsEntriesAfter(); }
  absl::Status Apply(std::span<const dledger::CommittedEntry> entries) override {
    return store_->Apply(entries);
  }
  void BeginLeadership(Term term) override { store_->BeginLeadership(term); }
  void EndLeadership() override { store_->EndLeadership(); }

 private:
  std::unique_ptr<SimTaskRunner> runner_;
  std::unique_ptr<LogMessageStore> store_;
};

// Producers and consumers, and what they were told.
class Workload {
 public:
  explicit Workload(uint64_t seed)
      : scheduler_(seed),
        random_(scheduler_.random().Fork()),
        cluster_(&scheduler_, SimCluster::Options(), [this, seed](int member, FileSystem* fs) {
          return std::make_unique<StoreProcess>(
              &scheduler_, fs, StrCat(testing::TempDir(), "/cluster_test_", seed, "_", member));
        }) {
    for (int i = 0; i < cluster_.size(); ++i) {
      CHECK(PosixFileSystem()
                ->RemoveAll(StrCat(testing::TempDir(), "/cluster_test_", seed, "_", i))
                .ok());
      StartMember(i);
    }
  }
  ~Workload() { ending_ = true; }

  void Run() {
    MakeTopic();
    for (int step = 0; step < 400 && !testing::Test::HasFatalFailure(); ++step) {
      Act();
      if (random_.Chance(0.06)) Disturb();
      scheduler_.RunFor(random_.Between(0, 30) * kMillisecond);
    }
    Recover();
    if (testing::Test::HasFatalFailure()) return;
    CheckAgreement();
    CheckMessages();
    Drain();
  }

 private:
  LogMessageStore& StoreOf(int member) {
    return static_cast<StoreProcess*>(cluster_.state_machine(member))->store();
  }

  void StartMember(int member) {
    const absl::Status started = cluster_.Start(member);
    ASSERT_TRUE(started.ok()) << started;
    StoreOf(member).Attach(cluster_.replica(member));
  }

  // Mostly the leader, sometimes one that isn't.
  int AnyMember() {
    const int leader = cluster_.ServingLeader();
    if (leader >= 0 && !random_.Chance(0.05)) return leader;
    const int member = static_cast<int>(random_.Below(cluster_.size()));
    return cluster_.running(member) ? member : -1;
  }

  void MakeTopic() {
    for (bool made = false; !made;) {
      const int leader = cluster_.AwaitLeader();
      ASSERT_GE(leader, 0);
      TopicConfig topic;
      topic.name = kTopic;
      topic.read_queues = topic.write_queues = kQueues;
      bool answered = false;
      StoreOf(leader).UpdateTopic(topic, [&](absl::Status status) {
        answered = true;
        made = status.ok();
      });
      ASSERT_TRUE(scheduler_.RunUntil([&] { return answered; }, 20 * kSecond));
    }
  }

  void Act() {
    const int member = AnyMember();
    if (member < 0) return;
    if (random_.Chance(0.6)) {
      Send(member);
    } else {
      Receive(member);
    }
  }

  void Send(int member) {
    std::vector<NewMessage> batch;
    std::vector<std::string> bodies;
    for (int64_t i = random_.Between(1, 3); i > 0; --i) {
      NewMessage message;
      message.topic = kTopic;
      message.body = StrCat("b", next_body_++);
      message.message_id = message.body;
      message.tag = random_.Chance(0.5) ? "Aa" : "BB";
      bodies.push_back(message.body);
      batch.push_back(std::move(message));
    }
    StoreOf(member).Send(std::move(batch), dledger::AckLevel::kMajorityDisk,
                         [this, bodies](absl::StatusOr<std::vector<SendResult>> results) {
                           if (results.ok()) {
                             for (size_t i = 0; i < bodies.size(); ++i)
                               stored_[bodies[i]] = results->at(i);
                           } else if (const auto reason = ReasonOf(results.status());
                                      reason == Reason::kNotLeader || reason == Reason::kBusy) {
                             for (const std::string& body : bodies) refused_.insert(body);
                           }
                         });
  }

  void Receive(int member) {
    ReceiveRequest request;
    request.group = kGroup;
    request.topic = kTopic;
    request.max_messages = 6;
    request.invisible_ms = 1'500;
    request.client_id = "worker";
    if (random_.Chance(0.3)) request.filter.tags = {"Aa", "BB"};
    StoreOf(member).Receive(request, [this, member](absl::StatusOr<ReceiveResult> result) {
      if (!result.ok() || ending_) return;
      for (const Delivery& delivery : result->deliveries) OnDelivery(member, delivery);
    });
  }

  void OnDelivery(int member, const Delivery& delivery) {
    const auto record = ParseRecord(delivery.record);
    ASSERT_TRUE(record.ok()) << record.status();
    const std::string body(record->body);
    EXPECT_FALSE(acked_.contains(body)) << body << " was acked and came again";
    EXPECT_FALSE(refused_.contains(body)) << body << " was refused and is there";
    EXPECT_EQ(record->queue_offset, delivery.offset);
    if (random_.Chance(0.25)) return;  // this consumer died
    if (!cluster_.running(member)) return;
    if (random_.Chance(0.2)) {
      StoreOf(member).ChangeInvisible(kGroup, kTopic, delivery.receipt_handle,
                                      random_.Between(0, 500), [](auto) {});
      return;
    }
    StoreOf(member).Ack(kGroup, kTopic, {delivery.receipt_handle},
                        [this, body](std::vector<absl::Status> statuses) {
                          if (statuses.at(0).ok()) acked_.insert(body);
                        });
  }

  int RunningMembers() {
    int running = 0;
    for (int i = 0; i < cluster_.size(); ++i) running += cluster_.running(i) ? 1 : 0;
    return running;
  }

  void Disturb() {
    const int member = static_cast<int>(random_.Below(cluster_.size()));
    switch (random_.Below(7)) {
      case 0:
        if (cluster_.running(member)) cluster_.Crash(member, SimCluster::End::kKill);
        break;
      case 1:
        if (cluster_.running(member)) cluster_.Crash(member, SimCluster::End::kPowerLoss);
        break;
      case 2:
        cluster_.Isolate({member});
        break;
      case 3:
        cluster_.HealNetwork();
        break;
      case 4:
        if (cluster_.running(member))
          cluster_.Pause(member, random_.Between(1, 1'500) * kMillisecond);
        break;
      default:
        for (int i = 0; i < cluster_.size(); ++i) {
          if (!cluster_.running(i)) StartMember(i);
        }
    }
  }

  // All members run, hear each other and have applied the same.
  void Recover() {
    cluster_.HealNetwork();
    for (int i = 0; i < cluster_.size(); ++i) {
      if (!cluster_.running(i)) StartMember(i);
    }
    scheduler_.RunFor(5 * kSecond);
    leader_ = cluster_.AwaitLeader();
    ASSERT_GE(leader_, 0) << "no leader";
    ASSERT_TRUE(scheduler_.RunUntil([this] { return SameApplied(); }, 30 * kSecond));
  }

  bool SameApplied() {
    const LogIndex applied = StoreOf(leader_).AppliedIndex();
    for (int i = 0; i < cluster_.size(); ++i) {
      if (StoreOf(i).AppliedIndex() != applied) return false;
      if (cluster_.replica(i)->Status()->commit_index != applied) return false;
    }
    return true;
  }

  std::vector<std::string> BodiesOf(int member, int queue) {
    std::vector<std::string> bodies;
    LogMessageStore& store = StoreOf(member);
    const auto range = store.Range(kTopic, QueueId(queue));
    CHECK(range.ok()) << range.status();
    while (static_cast<int64_t>(bodies.size()) < range->max.value()) {
      const auto records = store.Pull(
          kTopic, QueueId(queue), QueueOffset(static_cast<int64_t>(bodies.size())), 100, 1 << 20);
      CHECK(records.ok()) << records.status();
      CHECK(!records->empty());
      for (const std::string& record : *records) {
        bodies.push_back(std::string(ParseRecord(record)->body));
      }
    }
    return bodies;
  }

  void CheckAgreement() {
    const std::string expected = *StoreOf(0).DumpState();
    for (int i = 1; i < cluster_.size(); ++i) {
      ASSERT_EQ(*StoreOf(i).DumpState(), expected) << "member " << i;
      for (int q = 0; q < kQueues; ++q) ASSERT_EQ(BodiesOf(i, q), BodiesOf(0, q));
    }
  }

  void CheckMessages() {
    for (int q = 0; q < kQueues; ++q) {
      const auto bodies = BodiesOf(leader_, q);
      for (size_t offset = 0; offset < bodies.size(); ++offset) {
        const std::string& body = bodies[offset];
        ASSERT_TRUE(present_.insert(body).second) << body << " is there twice";
        ASSERT_FALSE(refused_.contains(body)) << body << " was refused and is there";
        const auto told = stored_.find(body);
        if (told == stored_.end()) continue;  // of unknown outcome
        ASSERT_EQ(told->second.queue, QueueId(q)) << body;
        ASSERT_EQ(told->second.offset.value(), static_cast<int64_t>(offset)) << body;
      }
    }
    for (const auto& [body, result] : stored_) ASSERT_TRUE(present_.contains(body)) << body;
    ASSERT_GT(stored_.size(), 20u) << "hardly anything was sent";
    ASSERT_GT(acked_.size(), 5u) << "hardly anything was acked";
  }

  // What was not acked comes; what was does not. An ack of unknown outcome may be either.
  void Drain() {
    scheduler_.RunFor(2 * kSecond);
    std::set<std::string> received;
    for (int empty = 0; empty < 3;) {
      ReceiveRequest request;
      request.group = kGroup;
      request.topic = kTopic;
      request.client_id = "last";
      std::optional<absl::StatusOr<ReceiveResult>> result;
      StoreOf(leader_).Receive(request, [&](auto r) { result = std::move(r); });
      ASSERT_TRUE(scheduler_.RunUntil([&] { return result.has_value(); }, 10 * kSecond));
      ASSERT_TRUE(result->ok()) << result->status();
      if ((*result)->deliveries.empty()) ++empty;
      for (const Delivery& delivery : (*result)->deliveries) {
        const std::string body(ParseRecord(delivery.record)->body);
        ASSERT_TRUE(received.insert(body).second) << body;
        ASSERT_FALSE(acked_.contains(body)) << body << " was acked and came again";
      }
    }
    const auto progress = StoreOf(leader_).GroupProgress(kGroup);
    ASSERT_TRUE(progress.ok());
    int64_t unacked = 0;
    for (const QueueProgress& row : *progress) {
      ASSERT_EQ(row.next_offset, row.max_offset);
      unacked += row.inflight;
    }
    ASSERT_EQ(unacked, static_cast<int64_t>(received.size()));
  }

  SimScheduler scheduler_;
  Random random_;
  bool ending_ = false;
  int leader_ = -1;
  int64_t next_body_ = 0;
  std::map<std::string, SendResult> stored_;  // sends that were acknowledged
  std::set<std::string> refused_;             // certainly not logged
  std::set<std::string> acked_;
  std::set<std::string> present_;
  SimCluster cluster_;
};

TEST(StoreCluster, KeepsItsPromiseWhileMembersDieAndNetworksPart) {
  // RAFTMQ_SEED=<n> repeats one run.
  const char* fixed = std::getenv("RAFTMQ_SEED");
  const uint64_t first = fixed != nullptr ? std::strtoull(fixed, nullptr, 10) : 1;
  const uint64_t last = fixed != nullptr ? first : first + 5;
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(StrCat("replay with RAFTMQ_SEED=", seed));
    Workload(seed).Run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace raftmq::store
