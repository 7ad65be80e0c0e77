#include "raft/progress.h"

#include <algorithm>

namespace raftmq::raft {

std::string_view ToString(ProgressState state) {
  switch (state) {
    case ProgressState::kProbe:
      return "probe";
    case ProgressState::kReplicate:
      return "replicate";
    case ProgressState::kSnapshot:
      return "snapshot";
  }
  return "unknown";
}

void Inflight::Add(LogIndex last, int64_t bytes) {
  sent_.push_back({last, bytes});
  bytes_ += bytes;
}

void Inflight::FreeUpTo(LogIndex index) {
  while (!sent_.empty() && sent_.front().last <= index) {
    bytes_ -= sent_.front().bytes;
    sent_.pop_front();
  }
}

void Inflight::Clear() {
  sent_.clear();
  bytes_ = 0;
}

bool Progress::Update(LogIndex new_match, LogIndex new_durable) {
  const bool moved = new_match > match || new_durable > durable;
  match = std::max(match, new_match);
  durable = std::max(durable, new_durable);
  next = std::max(next, match + 1);
  inflight.FreeUpTo(match);
  return moved;
}

void Progress::BecomeProbe() {
  state = ProgressState::kProbe;
  next = match + 1;
  probe_sent = false;
  stalled = false;
  inflight.Clear();
}

void Progress::BecomeReplicate() {
  state = ProgressState::kReplicate;
  next = match + 1;
  probe_sent = false;
  stalled = false;
  inflight.Clear();
}

void Progress::BecomeSnapshot() {
  state = ProgressState::kSnapshot;
  probe_sent = false;
  inflight.Clear();
}

void Progress::Reset(LogIndex last) {
  *this = Progress();
  next = last + 1;
}

}  // namespace raftmq::raft
