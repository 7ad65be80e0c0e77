// ProposalQueue: where any thread leaves proposals for the replica thread.
//
// Bounded by count and by bytes. A push asks for a wake-up only if none is outstanding, so a busy
// replica is not woken once per proposal. Waiting proposals keep their order.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "dledger/ledger.h"

namespace raftmq::dledger {

class ProposalQueue {
 public:
  struct Limits {
    size_t max_count = 100'000;
    size_t max_bytes = 256u << 20;
  };

  explicit ProposalQueue(Limits limits) : limits_(limits) {}

  ProposalQueue(const ProposalQueue&) = delete;
  ProposalQueue& operator=(const ProposalQueue&) = delete;

  // Any thread. Takes the proposal and returns OK, or leaves it with the caller: ResourceExhausted
  // if too much waits, the closing status after Close. `*wake`: the caller must wake the replica.
  absl::Status Push(std::unique_ptr<Proposal>& proposal, bool* wake);

  // Replica thread. Moves all that waits to the end of `*out`; the next push asks for a wake-up.
  // What was taken counts against the limits until Release.
  void TakeAll(std::vector<std::unique_ptr<Proposal>>* out);

  // Replica thread. `count` taken proposals of `bytes` bytes were decided or answered.
  void Release(size_t count, size_t bytes);

  // Refuses every later push with `reason`; what waits stays for TakeAll.
  void Close(absl::Status reason);

 private:
  const Limits limits_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Proposal>> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool wake_outstanding_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::dledger
