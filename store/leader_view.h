// LeaderView: what the leader decides against: the applied state plus everything it proposed that
// is not applied yet. Lives from BeginLeadership to EndLeadership.
//
// Belongs to the replica thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/broker_state.h"
#include "store/commands.h"

namespace raftmq::store {

class LeaderView {
 public:
  // `state`: a copy of the applied state, nothing being proposed. `clock` outlives the view.
  LeaderView(Term term, BrokerState state, const Clock* clock);

  Term term() const { return term_; }

  // The state to decide against. Change it by Log only (PickGrants changes nothing one can see).
  BrokerState& state() { return state_; }

  // The times to stamp what is decided now. Log time is the wall clock's but never goes back; the
  // lease clock goes on from where the last leader's commands left it, by our monotonic time.
  int64_t LogTimeMs() const;
  int64_t LeaseTimeMs() const;

  // When a lease of `invisible_ms` that begins now is over: never before that much time has passed.
  int64_t LeaseEndMs(int64_t invisible_ms) const;

  // Logs a command and applies it to the view. REQUIRES: it was checked against state(). On error
  // (the log is full, say) nothing was logged.
  absl::Status Log(CommandBody body, dledger::ProposalWriter& writer);

  // Whether `settlement` names something that waits and that nothing logged so far ends. `applied`:
  // the applied state. What is not applied yet is not open.
  bool IsOpen(const Settlement& settlement, const BrokerState& applied);

  // A record that is being logged ends it; `end`: how, if it is a transaction. REQUIRES: IsOpen.
  void Settled(const Settlement& settlement, TransactionEnd end);

  // How the transaction of the half message at `position` ended, by what is applied or logged so
  // far; none if it is open, or was forgotten, or never was.
  std::optional<TransactionEnd> FindEnd(LogPosition position, const BrokerState& applied) const;

  // A message that waits (a delayed or a half message) is being logged at `position`.
  void WaitingLogged(LogPosition position) { last_waiting_ = position; }
  // Of the last one that was logged in this term; before any, 0. What waits beyond it does not
  // exist.
  LogPosition last_waiting() const { return last_waiting_; }

  // One record of what is being logged was numbered `offset`.
  void AddRecord(const std::string& topic, QueueId queue, QueueOffset offset, int64_t store_ms,
                 Audience audience = Audience::kAllGroups);

  // 0, 1, 2, … for each topic: whose turn it is to take a message that may go to any queue.
  uint32_t NextSendTurn(const std::string& topic) { return send_turns_[topic]++; }

  // Topics whose creation or deletion is logged and not applied yet. As long as one is, what the
  // applied state and the consume queues say of it may be about a deleted namesake. Each Logged is
  // followed by one Indexed, when the entry's index is known.
  void TopicChangeLogged(const std::string& topic);
  void TopicChangeIndexed(const std::string& topic, LogIndex index);
  bool TopicChangePending(const std::string& topic, LogIndex applied);

 private:
  struct TopicChange {
    int unindexed = 0;
    LogIndex last;
  };

  const Term term_;
  BrokerState state_;
  const Clock* const clock_;
  const int64_t lease_base_ms_;
  const int64_t began_nanos_;
  void RememberSettled(const Settlement& settlement, TransactionEnd end);
  // Forgets what is settled and applied by now.
  void PruneSettled(const BrokerState& applied);

  absl::flat_hash_map<std::string, uint32_t> send_turns_;
  // Timers and half messages (by position) whose end is logged, until it is applied.
  struct PendingEnd {
    Settlement settlement;
    TransactionEnd end;
  };
  absl::flat_hash_map<LogPosition, PendingEnd> settled_;
  LogPosition last_waiting_{0};
  size_t prune_settled_at_ = 1024;
  absl::flat_hash_map<std::string, TopicChange> topic_changes_;
};

}  // namespace raftmq::store
