#include "broker/lite_scheduler.h"

#include <utility>

#include "glog/logging.h"
#include "store/reason.h"

namespace raftmq::broker {

void LiteScheduler::SetLeading(bool leads) {
  if (leads_ == leads) return;
  leads_ = leads;
  leads_since_ms_ = clock_->MonotonicMillis();
  Look();
}

void LiteScheduler::Look() {
  if (!leads_ || busy_) return;
  busy_ = true;
  if (clock_->MonotonicMillis() - leads_since_ms_ > options_.client_expire_ms) DropSilent();
  lite_topics_->ExpireIdle([this](absl::StatusOr<int64_t> deleted) {
    timer_->Post([this, deleted = std::move(deleted)] {
      busy_ = false;
      if (!leads_) return;
      // What has a reason is looked at again: not leading any more, busy.
      LOG_IF(ERROR, !deleted.ok() && !store::ReasonOf(deleted.status()).has_value())
          << "expiry of lite topics: " << deleted.status();
      const bool some = deleted.ok() && *deleted > 0;
      LOG_IF(INFO, some) << *deleted << " idle lite topics were deleted";
      alarm_.RingAfter((some ? options_.next_round_ms : options_.check_ms) * 1'000'000);
    });
  });
}

void LiteScheduler::DropSilent() {
  for (store::LiteSubscribeRequest& client : lite_topics_->Clients()) {
    if (is_alive_(client.client_id)) continue;
    LOG(INFO) << "client " << client.client_id << " of group " << client.group << " is silent: its "
              << client.lite_topics.size() << " lite topics are taken away";
    client.action = store::LiteSubscribeRequest::Action::kLeave;
    client.lite_topics.clear();
    lite_topics_->Subscribe(std::move(client),
                            [](const absl::StatusOr<store::LiteSubscribeResult>&) {
                              // If this failed it is tried again at the next look.
                            });
  }
}

}  // namespace raftmq::broker
