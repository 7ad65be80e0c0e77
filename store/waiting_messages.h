// WaitingMessages: what becomes of messages that wait in the log: delayed ones, until they are due
// or recalled, and half messages, until their transactions end.
//
// A part of MessageStore, with its rules: any thread; callbacks run on a thread of the store or on
// the replica thread and must not block; what changes state works on the leader only and ends with
// Reason::kNotLeader elsewhere; reads answer from this member's applied state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/model.h"
#include "store/timer_table.h"
#include "store/transaction_table.h"

namespace raftmq::store {

struct OpenTransaction {
  LogPosition position;  // of the half message
  HalfMessage half;
};

class WaitingMessages {
 public:
  virtual ~WaitingMessages() = default;
  using DoneCallback = absl::AnyInvocable<void(absl::Status)>;

  // ---- Delayed messages

  struct TimerCounts {
    size_t pending = 0;
    std::optional<int64_t> earliest_due_ms;
  };
  virtual TimerCounts Timers() const = 0;

  // Timers due at `now_ms`, earliest first, at most `max`.
  virtual std::vector<Timer> DueTimers(int64_t now_ms, size_t max) const = 0;

  // Delivers them: each one's record goes into its real topic and the timer ends, in one entry.
  // `done` gets a status for each, in order, once all are applied or refused. OK: it is settled, be
  // it that its topic is gone and it went nowhere. kMessageNotFound: it was delivered or recalled
  // before. REQUIRES: they are due; that they are delivered in this order rests on one call at a
  // time.
  using DeliverCallback = absl::AnyInvocable<void(std::vector<absl::Status>)>;
  virtual void Deliver(std::vector<Timer> timers, DeliverCallback done) = 0;

  // Takes a delayed message back and returns its message id. kInvalidReceiptHandle: not a handle of
  // that topic; kMessageNotFound: it was delivered or recalled already.
  using RecallCallback = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;
  virtual void Recall(std::string topic, std::string recall_handle, RecallCallback done) = 0;

  // ---- Transactions

  // Ends a transaction: what it committed is in its topic once `done` got OK, what it rolled back
  // never will be. An answer that repeats the one that ended it is OK. kInvalidTransactionId: not
  // the id of that message of that topic, or it ended otherwise; kMessageNotFound: it was expired,
  // or ended too long ago to be remembered; kTopicNotFound: the topic of a commit is gone, and the
  // transaction stays open.
  virtual void EndTransaction(std::string topic, std::string message_id, std::string transaction_id,
                              bool commit, DoneCallback done) = 0;

  virtual size_t OpenTransactions() const = 0;
  // When the next one is due for a check; none without an open one.
  virtual std::optional<int64_t> NextCheckMs() const = 0;
  // Those to be checked at `now_ms`, longest due first, at most `max`.
  virtual std::vector<OpenTransaction> DueForCheck(int64_t now_ms, size_t max) const = 0;
  // From `from` on, in log order, at most `max`.
  virtual std::vector<OpenTransaction> ListTransactions(LogPosition from, size_t max) const = 0;

  // Logs how often each was checked and when it is next (OpenTransaction::half). Those that are not
  // open any more are left out; `done` gets the positions of the others, once that is applied.
  using CheckedCallback = absl::AnyInvocable<void(absl::StatusOr<std::vector<LogPosition>>)>;
  virtual void SetChecks(std::vector<OpenTransaction> transactions, CheckedCallback done) = 0;

  // Ends a transaction that was checked too often: its message goes to kCheckMaxTimeTopic.
  virtual void ExpireTransaction(LogPosition position, DoneCallback done) = 0;

  // The record of a half message, as it is stored; may read the disk. kMessageNotFound: there is no
  // half message at that position.
  virtual absl::StatusOr<std::string> ReadHalf(LogPosition position) const = 0;
};

}  // namespace raftmq::store
