#include "broker/dead_letter_scheduler.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "glog/logging.h"
#include "store/reason.h"

namespace raftmq::broker {

void DeadLetterScheduler::SetLeading(bool leads) {
  if (leads_ == leads) return;
  leads_ = leads;
  unreadable_.clear();
  Look();
}

void DeadLetterScheduler::OnEarlierFinalLease() { alarm_.RingNow(); }

void DeadLetterScheduler::Look() {
  if (!leads_) return;
  if (busy_) {
    look_again_ = true;
    return;
  }
  const int64_t now_nanos = clock_->MonotonicNanos();
  if (now_nanos < not_before_nanos_) return alarm_.RingAfter(not_before_nanos_ - now_nanos);
  const int64_t now_ms = clock_->MonotonicMillis();
  std::erase_if(unreadable_, [now_ms](const auto& entry) { return entry.second <= now_ms; });
  busy_ = true;
  look_again_ = false;
  queues_->FindDue(
      options_.max_batch + unreadable_.size(),
      [this](absl::StatusOr<store::DeadLetterQueues::Due> due) {
        timer_->Post([this, due = std::move(due)]() mutable { OnFound(std::move(due)); });
      });
}

void DeadLetterScheduler::OnFound(absl::StatusOr<store::DeadLetterQueues::Due> due) {
  busy_ = false;
  if (!due.ok()) {
    // Not leading any more, or busy.
    if (leads_) alarm_.RingAfter(options_.retry_ms * 1'000'000);
    return;
  }
  std::erase_if(due->leases, [this](const store::FinalLease& lease) {
    return unreadable_.contains(lease.lease.lease_id);
  });
  if (due->leases.size() > options_.max_batch) due->leases.resize(options_.max_batch);
  if (!due->leases.empty()) return Move(std::move(due->leases));
  if (look_again_) return Look();
  std::optional<int64_t> sleep_ms = due->next_in_ms;
  if (!unreadable_.empty()) {
    sleep_ms =
        std::min(sleep_ms.value_or(options_.retry_unreadable_ms), options_.retry_unreadable_ms);
  }
  // Otherwise OnEarlierFinalLease wakes it.
  if (sleep_ms.has_value()) alarm_.RingAfter(*sleep_ms * 1'000'000);
}

void DeadLetterScheduler::Move(Leases due) {
  busy_ = true;
  not_before_nanos_ = clock_->MonotonicNanos() +
                      static_cast<int64_t>(due.size()) * 1'000'000'000 / options_.max_per_second;
  Leases batch = due;
  queues_->MoveDue(std::move(batch),
                   [this, due = std::move(due)](std::vector<absl::Status> statuses) mutable {
                     timer_->Post([this, due = std::move(due), statuses = std::move(statuses)] {
                       OnMoveEnded(due, statuses);
                     });
                   });
}

void DeadLetterScheduler::OnMoveEnded(const Leases& due,
                                      const std::vector<absl::Status>& statuses) {
  busy_ = false;
  bool pause = false;
  for (size_t i = 0; i < due.size(); ++i) {
    const store::LeaseRef& of = due[i].lease;
    if (statuses[i].ok()) {
      LOG_EVERY_N(INFO, 100) << "topic " << of.topic << " queue " << of.queue << " offset "
                             << of.offset << " was dead-lettered for group " << of.group
                             << " after " << due[i].attempt << " attempts (one of 100 is logged)";
      on_moved_(of.group, of.topic);
      continue;
    }
    pause = true;
    // Settled by somebody else, prolonged, not leading, busy: looked at again.
    if (store::ReasonOf(statuses[i]).has_value()) continue;
    LOG(ERROR) << "topic " << of.topic << " queue " << of.queue << " offset " << of.offset
               << " cannot be dead-lettered for group " << of.group << ", it is tried again in "
               << options_.retry_unreadable_ms << " ms: " << statuses[i];
    if (unreadable_.size() < options_.max_unreadable) {
      unreadable_[of.lease_id] = clock_->MonotonicMillis() + options_.retry_unreadable_ms;
    }
  }
  if (pause) {
    not_before_nanos_ =
        std::max(not_before_nanos_, clock_->MonotonicNanos() + options_.retry_ms * 1'000'000);
  }
  Look();
}

}  // namespace raftmq::broker
