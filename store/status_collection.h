// StatusCollection: how the parts of one request ended, told when the last is known. The parts may
// end on several threads.
#pragma once

#include <atomic>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace raftmq::store {

class StatusCollection {
 public:
  using Done = absl::AnyInvocable<void(std::vector<absl::Status>)>;

  // REQUIRES: count > 0.
  StatusCollection(size_t count, Done done)
      : statuses_(count), left_(count), done_(std::move(done)) {}

  // Once for each i.
  void Set(size_t i, absl::Status status) {
    statuses_[i] = std::move(status);
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) done_(std::move(statuses_));
  }

 private:
  std::vector<absl::Status> statuses_;
  std::atomic<size_t> left_;
  Done done_;
};

}  // namespace raftmq::store
