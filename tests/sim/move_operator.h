// MoveOperator: an operator who moves groups' offsets on a topic, back and forth, copies them and
// undoes that; and what moves are held to:
//   - each that the log has was asked for, was not refused, and is there once;
//   - what was answered, and every member's history at the end, is what the log says: numbers
//     without a gap, the latest 64, where to, and for an undo where the offsets were before;
//   - where offsets were before is where the log had them, as far as it says so (SetBefore).
// Others ask it which moves lie between two places of the log.
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
#include "store/offset_moves.h"
#include "tests/sim/member_calls.h"

namespace raftmq::sim {

// A command in the log: its entry, and its number there.
using LogPlace = std::pair<LogIndex, int>;

class MoveOperator {
 public:
  struct Options {
    std::string topic;
    int queues = 0;
    std::vector<std::string> groups;  // are there, and consume
    std::string busy_group;           // moved so often that moves are forgotten; "": none
  };
  using Complain = std::function<void(std::string)>;

  // One queue's share of a move, as the log has it.
  struct Moved {
    LogPlace place;
    QueueOffset to;
    QueueOffset from;  // once it is known: SetBefore, LearnBefore
  };

  MoveOperator(Options options, MemberCalls* calls, Clock* clock, Random random, Complain complain);

  void Start();
  void Drain() { draining_ = true; }

  // In the order of the log, each once.
  void OnMove(LogPlace place, const store::MoveOffsets& move);
  void OnRetain(const store::Retain& retain);
  // Where the queue's offset was before the move that was applied last.
  void SetBefore(const std::string& group, QueueId queue, QueueOffset from);

  // At the end: as that member remembers it.
  void LearnBefore(const std::string& group, const store::LogMessageStore& store);

  // Of one queue, oldest first.
  const std::vector<Moved>& Of(const std::string& group, QueueId queue) const;
  // A move to `offset` or before it, after one place and before the other.
  bool Covers(const std::string& group, QueueId queue, QueueOffset offset, LogPlace after,
              LogPlace before) const;

  // At the end, of a member that has applied all.
  void CheckEnd(int member, const store::LogMessageStore& store);

  // In the log; of those, undos.
  size_t moves() const { return moves_; }
  size_t undos() const { return undos_; }

 private:
  struct Asked {
    bool logged = false;
    bool refused = false;
  };
  struct Logged {
    store::OffsetMove move;
    std::set<QueueId> known_before;  // whose `from` the log told
  };

  void Turn();
  void BusyTurn();
  void Ask(store::OffsetMoveRequest request);
  store::OffsetMoveRequest Draw();
  void OnAnswer(const std::string& why, const std::string& group,
                const absl::StatusOr<store::OffsetMove>& moved);
  void Compare(const std::string& group, const store::OffsetMove& seen, const std::string& where);

  const Options options_;
  MemberCalls* const calls_;
  Clock* const clock_;
  Random random_;
  const Complain complain_;
  bool draining_ = false;
  int asked_count_ = 0;
  std::map<std::string, Asked> asked_;  // by what they say of why
  std::map<std::string, std::vector<Logged>> logged_;
  std::map<std::pair<std::string, QueueId>, std::vector<Moved>> by_queue_;
  std::map<QueueId, QueueOffset> min_;
  // Answers, by group: compared at the end, when all of the log was seen.
  std::vector<std::pair<std::string, store::OffsetMove>> answers_;
  size_t moves_ = 0;
  size_t undos_ = 0;
};

}  // namespace raftmq::sim
