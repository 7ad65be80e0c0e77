// StoreHarness: one member's LogMessageStore over a FakeLog, for tests: its directory, its clock,
// its runner, its ledger. Calls are made to look synchronous.
//
// One thread, unless a test says otherwise.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "base/testing/memory_file_system.h"
#include "store/log_message_store.h"
#include "store/testing/fake_ledger.h"

namespace raftmq::store {

class StoreHarness {
 public:
  struct Options {
    FakeLedger::Options ledger;
    LogMessageStoreOptions store;  // directories are filled in
  };

  // `log` outlives the harness; several members may share it. `name` is unique in the test.
  StoreHarness(FakeLog* log, const std::string& name, Options options);
  ~StoreHarness();

  // A new process over the same directory; replays and, with `lead`, leads.
  void Start(bool lead = true);
  // The same for one that may refuse to start; it runs if it does not.
  absl::Status TryStart();
  // Ends it in an orderly way, with everything flushed.
  void Stop();
  // kill -9: what the process had in memory is gone, also what RocksDB had.
  void Kill();
  // Power loss: what was not synced may be gone, too. (RocksDB's own files are on the machine's
  // real disk, as they were at its last flush.)
  void Crash(Random* random);

  LogMessageStore& store() { return *store_; }
  FakeLedger& ledger() { return *ledger_; }
  FakeClock& clock() { return clock_; }
  ManualTaskRunner& runner() { return runner_; }
  MemoryFileSystem& fs() { return fs_; }
  const std::string& dir() const { return dir_; }
  const std::string& state_dir() const { return state_dir_; }
  Options& options() { return options_; }

  // Turns ledger and runner until neither has anything to do now.
  void Settle();

  // ---- The store's methods, with their callback's answer. CHECKs that there is one.
  absl::StatusOr<std::vector<SendResult>> Send(std::vector<NewMessage> messages);
  absl::StatusOr<ReceiveResult> Receive(ReceiveRequest request);
  std::vector<absl::Status> Ack(const std::string& group, const std::string& topic,
                                std::vector<std::string> handles);
  absl::StatusOr<std::string> ChangeInvisible(const std::string& group, const std::string& topic,
                                              const std::string& handle, int64_t invisible_ms);
  absl::StatusOr<std::string> Renew(const std::string& group, const std::string& topic,
                                    const std::string& handle, int64_t invisible_ms);
  absl::Status UpdateTopic(TopicConfig topic);
  absl::Status DeleteTopic(const std::string& name);
  absl::Status UpdateGroup(GroupConfig group);
  absl::Status DeleteGroup(const std::string& name);
  absl::Status UpdateOffset(const std::string& group, const std::string& topic, int queue,
                            int64_t offset);
  absl::StatusOr<OffsetMove> MoveOffsets(OffsetMoveRequest request);

  // Delivers what is due, as the broker's scheduler does; returns how many were.
  int DeliverDue(size_t max = 256);
  absl::StatusOr<std::string> Recall(const std::string& topic, const std::string& handle);
  // Of a half message that Send answered so.
  absl::Status EndTransaction(const std::string& topic, const SendResult& half, bool commit);
  absl::StatusOr<std::vector<LogPosition>> SetChecks(std::vector<OpenTransaction> transactions);
  absl::Status ExpireTransaction(LogPosition position);

  absl::StatusOr<std::string> Nack(const std::string& group, const std::string& topic,
                                   const std::string& handle,
                                   std::optional<int64_t> invisible_ms = std::nullopt);
  absl::StatusOr<DeadLetterQueues::Due> FindDead(size_t max = 256);
  // Dead-letters what is due, as the broker's scheduler does; returns how many were.
  int DeadLetterDue();
  absl::Status Forward(const std::string& group, const std::string& topic,
                       const std::string& handle);
  absl::StatusOr<RedriveResult> Redrive(RedriveRequest request);

  absl::StatusOr<LiteSubscribeResult> Subscribe(LiteSubscribeRequest request);
  // Deletes idle lite topics, as the broker's scheduler does; returns how many.
  absl::StatusOr<int64_t> ExpireIdle();

  absl::StatusOr<Retention::Outcome> Expire(Retention::Limits limits);
  // Where the member's log begins: what was released stays gone when it starts again.
  LogPosition log_begin() const { return ledger_ != nullptr ? ledger_->begin() : log_begin_; }

  // ---- Shorter ones, for what must succeed
  void MakeTopic(const std::string& name, int queues = 1, TopicType type = TopicType::kNormal);
  // It starts at the first message that was stored then or later.
  void MakeGroupFrom(int64_t wall_ms, const std::string& name);
  SendResult SendOne(const std::string& topic, const std::string& body,
                     const std::string& tag = "");
  // Bodies in the order of delivery; the deliveries themselves are in last_deliveries().
  std::vector<std::string> ReceiveBodies(const std::string& group, const std::string& topic,
                                         int max = 32, std::vector<std::string> tags = {});
  const std::vector<Delivery>& last_deliveries() const { return last_deliveries_; }
  // Acks all of last_deliveries().
  void AckLast(const std::string& group, const std::string& topic);
  std::string Dump();

 private:
  void EndLedger();

  FakeLog* const log_;
  const std::string dir_;
  const std::string state_dir_;
  Options options_;
  FakeClock clock_;
  ManualTaskRunner runner_;
  MemoryFileSystem fs_;
  std::unique_ptr<LogMessageStore> store_;
  std::unique_ptr<FakeLedger> ledger_;
  LogPosition log_begin_;  // while it does not run
  std::vector<Delivery> last_deliveries_;
};

NewMessage MessageOf(const std::string& topic, const std::string& body,
                     const std::string& tag = "");
std::string BodyOf(const std::string& record);

}  // namespace raftmq::store
