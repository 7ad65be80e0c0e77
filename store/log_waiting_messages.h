// LogWaitingMessages: WaitingMessages over the log; a part of LogMessageStore.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/store_context.h"
#include "store/waiting_messages.h"

namespace raftmq::store {

class LogWaitingMessages final : public WaitingMessages {
 public:
  // `context` outlives it.
  explicit LogWaitingMessages(StoreContext* context) : context_(context) {}

  TimerCounts Timers() const override;
  std::vector<Timer> DueTimers(int64_t now_ms, size_t max) const override;
  void Deliver(std::vector<Timer> timers, DeliverCallback done) override;
  void Recall(std::string topic, std::string recall_handle, RecallCallback done) override;
  void EndTransaction(std::string topic, std::string message_id, std::string transaction_id,
                      bool commit, DoneCallback done) override;
  size_t OpenTransactions() const override;
  std::optional<int64_t> NextCheckMs() const override;
  std::vector<OpenTransaction> DueForCheck(int64_t now_ms, size_t max) const override;
  std::vector<OpenTransaction> ListTransactions(LogPosition from, size_t max) const override;
  void SetChecks(std::vector<OpenTransaction> transactions, CheckedCallback done) override;
  void ExpireTransaction(LogPosition position, DoneCallback done) override;
  absl::StatusOr<std::string> ReadHalf(LogPosition position) const override;

 private:
  void RecallApplied(const std::string& topic, const TimerRef& timer, RecallCallback done);
  // What is known of the transaction decides; then, for an open one to be committed, its record.
  void End(std::string topic, const HalfRef& half, bool commit, DoneCallback done);
  void Commit(std::string topic, const HalfRef& half, DoneCallback done);
  void Expire(LogPosition position, DoneCallback done);

  StoreContext* const context_;
};

}  // namespace raftmq::store
