#include "dledger/proposal_queue.h"

#include <utility>

#include "base/strings.h"

namespace raftmq::dledger {

absl::Status ProposalQueue::Push(std::unique_ptr<Proposal>& proposal, bool* wake) {
  *wake = false;
  const size_t bytes = proposal->ByteSize();
  absl::MutexLock lock(&mutex_);
  if (!closed_.ok()) return closed_;
  if (count_ >= limits_.max_count || bytes_ + bytes > limits_.max_bytes) {
    return absl::ResourceExhaustedError(
        StrCat("the replica's proposal queue is full: ", count_, " of ", limits_.max_count,
               " proposals, ", bytes_, " of ", limits_.max_bytes, " bytes wait; try again later"));
  }
  ++count_;
  bytes_ += bytes;
  waiting_.push_back(std::move(proposal));
  *wake = !std::exchange(wake_outstanding_, true);
  return absl::OkStatus();
}

void ProposalQueue::TakeAll(std::vector<std::unique_ptr<Proposal>>* out) {
  std::vector<std::unique_ptr<Proposal>> taken;
  {
    absl::MutexLock lock(&mutex_);
    wake_outstanding_ = false;
    taken.swap(waiting_);
    // Steady load finds the room it needs again without growing step by step.
    waiting_.reserve(taken.size());
  }
  if (out->empty()) {
    *out = std::move(taken);
    return;
  }
  out->insert(out->end(), std::make_move_iterator(taken.begin()),
              std::make_move_iterator(taken.end()));
}

void ProposalQueue::Release(size_t count, size_t bytes) {
  absl::MutexLock lock(&mutex_);
  count_ -= count;
  bytes_ -= bytes;
}

void ProposalQueue::Close(absl::Status reason) {
  absl::MutexLock lock(&mutex_);
  if (closed_.ok()) closed_ = std::move(reason);
}

}  // namespace raftmq::dledger
