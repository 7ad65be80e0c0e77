#include "broker/timer_scheduler.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "glog/logging.h"
#include "store/reason.h"

namespace raftmq::broker {

using store::Timer;

void TimerScheduler::SetLeading(bool leads) {
  if (leads_ == leads) return;
  leads_ = leads;
  unreadable_.clear();
  Look();
}

void TimerScheduler::OnTimersApplied() { alarm_.RingNow(); }

void TimerScheduler::Look() {
  if (!leads_ || delivering_) return;
  const int64_t now_nanos = clock_->MonotonicNanos();
  if (now_nanos < not_before_nanos_) return alarm_.RingAfter(not_before_nanos_ - now_nanos);
  const int64_t wall_ms = clock_->WallMillis();
  std::vector<Timer> due = TakeDue(wall_ms);
  if (!due.empty()) return Deliver(std::move(due));
  const std::optional<int64_t> earliest_ms = waiting_->Timers().earliest_due_ms;
  if (!earliest_ms.has_value()) return;  // OnTimersApplied wakes it
  // At once only if all that is due is unreadable.
  const int64_t sleep_ms = *earliest_ms <= wall_ms
                               ? options_.max_sleep_ms
                               : std::min(*earliest_ms - wall_ms, options_.max_sleep_ms);
  alarm_.RingAfter(sleep_ms * 1'000'000);
}

std::vector<Timer> TimerScheduler::TakeDue(int64_t wall_ms) {
  const int64_t now_ms = clock_->MonotonicMillis();
  std::erase_if(unreadable_, [now_ms](const auto& entry) { return entry.second <= now_ms; });
  std::vector<Timer> due = waiting_->DueTimers(wall_ms, options_.max_batch + unreadable_.size());
  std::erase_if(due, [this](const Timer& timer) { return unreadable_.contains(timer.ref); });
  if (due.size() > options_.max_batch) due.resize(options_.max_batch);
  return due;
}

void TimerScheduler::Deliver(std::vector<Timer> timers) {
  delivering_ = true;
  not_before_nanos_ = clock_->MonotonicNanos() +
                      static_cast<int64_t>(timers.size()) * 1'000'000'000 / options_.max_per_second;
  std::vector<Timer> batch = timers;
  waiting_->Deliver(std::move(batch), [this, timers = std::move(timers)](
                                          std::vector<absl::Status> statuses) mutable {
    timer_->Post([this, timers = std::move(timers), statuses = std::move(statuses)] {
      OnDelivered(timers, statuses);
    });
  });
}

void TimerScheduler::OnDelivered(const std::vector<Timer>& timers,
                                 const std::vector<absl::Status>& statuses) {
  delivering_ = false;
  bool pause = false;
  for (size_t i = 0; i < timers.size(); ++i) {
    if (statuses[i].ok()) continue;
    const std::optional<store::Reason> reason = store::ReasonOf(statuses[i]);
    pause = true;
    if (reason.has_value()) continue;  // ended by somebody else, not leading, busy: looked at again
    LOG(ERROR) << "the delayed message at log position " << timers[i].ref.position
               << " is due and cannot be delivered, it is tried again in "
               << options_.retry_unreadable_ms << " ms: " << statuses[i];
    if (unreadable_.size() < options_.max_unreadable) {
      unreadable_[timers[i].ref] = clock_->MonotonicMillis() + options_.retry_unreadable_ms;
    }
  }
  if (pause) {
    not_before_nanos_ =
        std::max(not_before_nanos_, clock_->MonotonicNanos() + options_.retry_ms * 1'000'000);
  }
  Look();
}

}  // namespace raftmq::broker
