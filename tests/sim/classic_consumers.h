// ClassicConsumers: clients of one group in the classic queue model, as our PushConsumer is one:
// they lock queues, read on from the committed offset, commit, hand queues over, and are sometimes
// gone for a while without a word. And what they are held to:
//   - no two of them hold a queue at once, by what each was told, on true time;
//   - committed offsets never go back, in the log and to a new owner, but by an operator's move;
//     and every member's committed offset is the one that the log says;
//   - a new owner begins no later than the first message that nobody is done with: none is left
//     out, unless it expired, or a move left it out; what a move goes back to is consumed again;
//   - who had a queue's lock when its offset was moved commits nothing before it took it anew.
// What a new owner sees again because the last one died before its commit is counted.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "store/commands.h"
#include "store/log_message_store.h"
#include "tests/sim/member_calls.h"
#include "tests/sim/move_operator.h"

namespace raftmq::sim {

class ClassicConsumers {
 public:
  struct Options {
    std::string group;
    std::string topic;
    int queues = 0;
    int clients = 3;
  };
  using Complain = std::function<void(std::string)>;

  ClassicConsumers(Options options, MemberCalls* calls, MoveOperator* moves, Clock* clock,
                   Random random, Complain complain);

  void Start();
  // They no longer fail or hand over, and come soon to the end of what there is.
  void Drain() { draining_ = true; }

  // In the order of the log, each once; a move after the MoveOperator was told of it.
  void OnUpdate(LogPlace place, const store::UpdateOffset& update);
  void OnMove(LogPlace place, const store::MoveOffsets& move);
  void OnLock(const store::LockQueues& lock);
  void OnRetain(LogPlace place, const store::Retain& retain);
  // All was consumed up to these ends.
  bool Drained(const store::LogMessageStore& leader) const;
  // At the end: what has not expired was consumed.
  void CheckEnd(QueueId queue, QueueOffset min, QueueOffset end);

  size_t consumed() const { return consumed_; }
  size_t consumed_again() const { return consumed_again_; }
  size_t hand_overs() const { return hand_overs_; }
  // Commits of what was read before a move, that were refused.
  size_t fenced() const { return fenced_; }

 private:
  struct Held {
    int64_t until_ms = 0;  // on true time, counted from before it was asked for
    uint64_t round = 0;    // which holding this is: what an earlier one began doesn't go on
    bool ready = false;    // its committed offset was read
    bool busy = false;     // something is being read, consumed or committed
    size_t epoch = 0;      // how often the queue's offset had been moved when it was read
    QueueOffset next;
    QueueOffset committed;
  };
  struct Client {
    std::string id;
    int number = 0;
    int64_t away_until_ms = 0;
    std::map<QueueId, Held> held;
    std::map<QueueId, int64_t> let_go_ms;  // when it was let go of last
    std::map<QueueId, int64_t> asked_ms;   // when it was asked for last, while it was not held
  };

  int64_t NowMs() const { return clock_->MonotonicMillis(); }
  Held* Holding(Client& client, QueueId queue, uint64_t round);
  bool Wants(const Client& client, QueueId queue) const;

  void Turn(int number);
  void Lock(Client& client);
  void OnLocked(Client& client, int member, int64_t asked_ms, const std::vector<QueueId>& asked,
                const std::vector<QueueId>& granted);
  void Begin(Client& client, QueueId queue, int member);
  void Read(Client& client, QueueId queue, Held& held);
  void Consume(Client& client, QueueId queue, uint64_t round, QueueOffset end);
  void Commit(Client& client, QueueId queue, Held& held);
  struct LateCommit {
    QueueId queue;
    QueueOffset offset;
    size_t epoch = 0;
    int64_t read_ms = 0;  // when it held the queue
  };
  void CommitLate(Client& client, const LateCommit& late);
  QueueOffset LastOf(QueueId queue) const;  // committed, by the log so far
  // How often the log has moved the queue's offset so far.
  size_t EpochOf(QueueId queue) const { return moves_->Of(options_.group, queue).size(); }
  // `stale`: what it commits was read before a move that the log had when it asked.
  void OnCommitted(const Client& client, QueueId queue, QueueOffset offset, bool stale,
                   const absl::Status& status);
  void LetGo(Client& client, QueueId queue);

  const Options options_;
  MemberCalls* const calls_;
  MoveOperator* const moves_;
  Clock* const clock_;
  Random random_;
  const Complain complain_;
  std::vector<Client> clients_;
  bool draining_ = false;
  int64_t shift_ = 0;  // which client wants which queue
  uint64_t rounds_ = 0;
  std::map<QueueId, std::set<QueueOffset>> done_with_;
  // The highest commit that was acknowledged since the last move.
  std::map<QueueId, QueueOffset> acknowledged_;
  struct Committed {
    LogPlace place;
    QueueOffset offset;
    size_t epoch = 0;
  };
  std::map<QueueId, std::vector<Committed>> log_;  // all committed offsets, oldest first
  std::map<QueueId, std::string> owner_;           // who locked it last, by the log
  std::map<QueueId, std::string> revoked_;  // who had it at the last move, and did not take it anew
  size_t fenced_ = 0;
  size_t consumed_ = 0;
  size_t consumed_again_ = 0;
  size_t hand_overs_ = 0;
};

}  // namespace raftmq::sim
