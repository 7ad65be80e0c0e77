#include "broker/retention_scheduler.h"

#include <time.h>

#include <algorithm>

#include "glog/logging.h"
#include "store/reason.h"

namespace raftmq::broker {

using store::Retention;

void RetentionScheduler::SetLeading(bool leads) {
  if (leads_ == leads) return;
  leads_ = leads;
  told_ms_ = -1;
  by_topic_at_ms_ = 0;
  Look();
}

bool RetentionScheduler::IsItsHour() const {
  if (options_.hours.empty()) return true;
  const time_t seconds = clock_->WallMillis() / 1'000;
  tm local = {};
  localtime_r(&seconds, &local);
  return std::find(options_.hours.begin(), options_.hours.end(), local.tm_hour) !=
         options_.hours.end();
}

void RetentionScheduler::Look() {
  if (!leads_ || busy_) return;
  Retention::Limits limits = options_.limits;
  if (limits.reserved_ms > 0 && !IsItsHour()) limits.reserved_ms = 0;
  const int64_t now_ms = clock_->MonotonicMillis();
  limits.by_topic = now_ms >= by_topic_at_ms_;
  if (limits.by_topic) by_topic_at_ms_ = now_ms + options_.by_topic_ms;
  if (limits.reserved_ms == 0 && limits.max_bytes == 0 && !limits.by_topic) {
    return alarm_.RingAfter(options_.check_ms * 1'000'000);
  }
  busy_ = true;
  retention_->Expire(limits, [this](absl::StatusOr<Retention::Outcome> outcome) {
    timer_->Post([this, outcome = std::move(outcome)] { OnExpired(outcome); });
  });
}

void RetentionScheduler::OnExpired(const absl::StatusOr<Retention::Outcome>& outcome) {
  busy_ = false;
  if (!leads_) return;
  int64_t pause_ms = options_.check_ms;
  if (!outcome.ok()) {
    // What has a reason is looked at again: not leading any more, busy.
    LOG_IF(ERROR, !store::ReasonOf(outcome.status()).has_value())
        << "retention: " << outcome.status();
  } else {
    if (outcome->moved) {
      LOG(INFO) << "retention: messages are kept from log position " << outcome->min_position
                << " on";
    }
    if (outcome->more) pause_ms = options_.next_round_ms;
    const int64_t now_ms = clock_->MonotonicMillis();
    if (outcome->held_up_by != kNoMember &&
        (told_ms_ < 0 || now_ms - told_ms_ >= options_.tell_ms)) {
      told_ms_ = now_ms;
      LOG(WARNING) << "retention: more should go than up to log position " << outcome->min_position
                   << ", but member " << outcome->held_up_by
                   << " may lack what comes then: it must be brought back first";
    }
  }
  alarm_.RingAfter(pause_ms * 1'000'000);
}

}  // namespace raftmq::broker
