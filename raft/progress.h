// Progress: what a leader knows of one peer's log, and how much it may send to it.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include "base/ids.h"

namespace raftmq::raft {

enum class ProgressState : uint8_t {
  kProbe = 0,      // where the logs meet is not known: one kAppend at a time
  kReplicate = 1,  // known: kAppends are pipelined within the window
  kSnapshot = 2,   // needs entries that the leader dropped: nothing is sent (snapshots are to come)
};

std::string_view ToString(ProgressState state);

// Appends sent and not yet answered, oldest first.
class Inflight {
 public:
  void Add(LogIndex last, int64_t bytes);
  void FreeUpTo(LogIndex index);
  void Clear();
  int32_t messages() const { return static_cast<int32_t>(sent_.size()); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Sent {
    LogIndex last;
    int64_t bytes;
  };
  std::deque<Sent> sent_;
  int64_t bytes_ = 0;
};

// Invariants: durable <= match < next; within one boot of the peer and one term, match and durable
// never decrease. Owned by the Node; its thread only.
struct Progress {
  ProgressState state = ProgressState::kProbe;
  LogIndex match;        // the peer's log equals ours up to here (in its memory)
  LogIndex durable;      // ... and on its disk up to here
  LogIndex next;         // the first entry to send next
  LogIndex told_commit;  // highest commit index sent to it
  Inflight inflight;
  bool probe_sent = false;             // kProbe: one is out, wait for its answer
  bool acked_since_heartbeat = false;  // an answer moved match since the last heartbeat
  bool stalled = false;  // when the last heartbeat left, something older had no answer yet
  int32_t ticks_since_heard = 0;
  int64_t confirmed_round = 0;  // the last round of reads that it confirmed (Node::ReadIndex)
  bool damaged = false;

  // Takes an answer's positions; old news changes nothing. True if either moved.
  bool Update(LogIndex new_match, LogIndex new_durable);

  // Ask anew where the logs meet, starting after what is known to match.
  void BecomeProbe();
  void BecomeReplicate();
  void BecomeSnapshot();

  // Forget everything but who it is; probe from `last` on.
  void Reset(LogIndex last);
};

}  // namespace raftmq::raft
