// StoreOracle: what users of a RaftMQ group were told, and whether the group keeps it. It sees
// every call, every answer and every entry that any member applies, and collects what contradicts
// the promises:
//   - all members apply the same entries;
//   - an acknowledged message is where it was said to be, on every member, at the end;
//   - queue offsets are dense and each message is in its queue once, however often its send was
//     repeated after an unknown outcome;
//   - a message whose ack was acknowledged is never given out again;
//   - a leased message is given out again only after its lease, or after a nack;
//   - a message is given out as often as its group allows at most, and is then dead-lettered, or
//     when a consumer forwards it: acked or dead-lettered, once, never both;
//   - a dead letter is sent back at most once, however often that is asked for;
//   - messages expire on all members alike; one that was leased by then still comes until it is
//     acked, one that was not may be missed;
//   - the messages of a message group are in one queue, in the order in which they were sent;
//   - to an orderly group no message is given out before all earlier ones of its message group in
//     its queue are acked or come before it in the same answer.
// A move of the group's offsets by an operator undoes what came before it in the log, from where it
// goes on, and nothing else: there, and only there, what was acked, leased or dead-lettered comes
// again, as new. What it leaves out need not come.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "dledger/state_machine.h"
#include "store/model.h"
#include "tests/sim/move_operator.h"

namespace raftmq::sim {

class StoreOracle {
 public:
  using Place = std::pair<QueueId, QueueOffset>;

  // Whose offsets it moves, on the topic that all here is about.
  void SetMoves(const MoveOperator* moves, std::string group) {
    moves_ = moves;
    group_ = std::move(group);
  }

  void OnApplied(int member, const dledger::CommittedEntry& entry);
  void OnLeader(int member, Term term);

  // Bodies are "<message group>-<number>".
  static std::string MessageGroupOf(const std::string& body);

  // A body is sent once; what is not acknowledged may be stored or not.
  void OnSendBegun(const std::string& body);
  void OnSendAcknowledged(const std::string& body, QueueId queue, QueueOffset offset);
  void OnSendRefused(const std::string& body);  // certainly not stored

  // `asked_at`: when the receive began; `now`: when its answer came. Monotonic milliseconds.
  void OnDelivered(const store::Delivery& delivery, const std::string& body, int64_t asked_at,
                   int64_t now, int64_t invisible_ms);
  void OnAckBegun(const store::Delivery& delivery);  // it may take effect from now on
  void OnAckAcknowledged(const store::Delivery& delivery, int64_t now);
  // All of one answer, after OnDelivered of each: in order, to an orderly group.
  void OnDeliveredInOrder(const std::vector<store::Delivery>& deliveries);
  // Its consumer gives it up; it may take effect from now on.
  void OnForwardBegun(QueueId queue, QueueOffset offset);
  // How often a message is given out at most.
  void SetMaxAttempts(int32_t max_attempts) { max_attempts_ = max_attempts; }
  // A member applied the entry at `position` that sends a dead letter back.
  void OnRedriveApplied(const std::string& settles, LogPosition position, const std::string& body);
  // The lease may end earlier from now on.
  void OnNackBegun(QueueId queue, QueueOffset offset);

  // A member applied the entry of a message.
  void OnMessageApplied(int member, QueueId queue, QueueOffset offset, const std::string& body);
  // In the order of the log, each once: a grant of it, the group has it in flight.
  void OnGrant(LogPlace at, const store::GrantItem& item);

  // At the end: the bodies of one queue of one member that have not expired, from `first` on.
  void OnFinalQueue(int member, QueueId queue, QueueOffset first,
                    const std::vector<std::string>& bodies);
  // One dead letter, in the order of the log, each once, with the place it came from; seen `now`.
  struct DeadLetter {
    Place origin;
    std::string body;
    std::string reason;
    int32_t attempts = 0;
  };
  void OnDeadLetter(LogPlace at, int64_t now, const DeadLetter& dead);
  // At the end, when all final queues were seen: every acknowledged message is stored, and was
  // given to the consumers, who acked it.
  void CheckEnd();

  void Complain(std::string what);
  const std::vector<std::string>& violations() const { return violations_; }

  size_t acknowledged() const { return acknowledged_.size(); }
  size_t acked() const { return acked_.size(); }
  size_t redelivered() const { return redelivered_; }
  size_t redriven() const { return redriven_.size(); }
  size_t dead_lettered() const { return dead_.size(); }
  size_t expired() const;
  size_t unknown() const { return begun_.size() - acknowledged_.size() - refused_.size(); }
  // Equal for equal histories.
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  void Note(uint64_t value);
  // What lies between two moves of a queue's offset, in the log.
  struct Span {
    LogPlace after;
    LogPlace before;
    bool Has(LogPlace at) const { return after < at && at < before; }
  };
  LogPlace PlaceOf(uint64_t lease_id) const;
  bool Covers(const Place& place, LogPlace after, LogPlace before) const;
  bool WasGranted(const Place& place, const Span& span) const;
  // With a lease of that span, when so many acks had begun.
  bool WasAcked(const Place& place, const Span& span, size_t acks_begun) const;
  bool WasDead(const Place& place, const Span& span) const;
  // Expired before the group had got so far: it may go without it.
  bool Missed(const Place& place, const Span& span) const;
  // Complained about in the end, unless a move to the place or before it lies in between.
  struct Doubt {
    Place place;
    LogPlace after;  // or, if 0, that of the lease
    uint64_t after_lease = 0;
    uint64_t before_lease = 0;
    std::string what;
  };
  void CheckDoubts();
  void CheckConsumed(const Place& place, const std::string& body);
  void CheckStoredOrder();  // only if the producers' messages have message groups
  void CheckOrder();
  void CheckDeadLetters();

  std::vector<std::string> violations_;
  uint64_t fingerprint_ = 14695981039346656037ULL;
  std::map<LogIndex, uint32_t> entries_;
  std::map<Term, int> leaders_;
  std::set<std::string> begun_;
  std::set<std::string> refused_;
  std::map<std::string, Place> acknowledged_;
  struct Lease {
    int64_t not_before = 0;  // milliseconds
    bool nacked = false;
    std::string body;
    uint64_t id = 0;
  };
  std::map<Place, Lease> leases_;
  struct Acked {
    int64_t at_ms = 0;  // when its acknowledgement came
    uint64_t lease_id = 0;
  };
  std::map<Place, Acked> acked_;  // the latest lease's
  size_t redelivered_ = 0;
  // Answers to the orderly group, each with what was being acked when it came.
  struct Answer {
    std::vector<std::pair<Place, uint64_t>> places;  // with their leases
    size_t acks_begun = 0;
  };
  std::vector<Answer> answers_;
  // By lease: how many others had begun.
  std::map<Place, std::map<uint64_t, size_t>> acks_begun_;
  size_t acks_begun_count_ = 0;
  std::map<Place, std::string> final_;  // all that were ever applied
  std::map<Place, std::vector<LogPlace>> granted_;
  std::map<uint64_t, LogPlace> lease_places_;
  std::vector<Doubt> doubts_;
  const MoveOperator* moves_ = nullptr;
  std::string group_;
  std::map<QueueId, QueueOffset> min_;  // first that has not expired
  int32_t max_attempts_ = 0;
  std::set<Place> forward_begun_;
  struct Dead {
    std::string body;
    int64_t seen_ms = 0;  // when the first member applied the last one
    std::vector<LogPlace> at;
  };
  std::map<Place, Dead> dead_;
  std::map<std::string, LogPosition> redriven_;  // by what the entry settles
  std::map<std::string, int> sent_back_;         // how often, by body
};

}  // namespace raftmq::sim
