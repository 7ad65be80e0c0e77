#include "broker/transaction_checker.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "glog/logging.h"
#include "store/reason.h"

namespace raftmq::broker {

using store::OpenTransaction;

void TransactionChecker::SetLeading(bool leads) {
  if (leads_ == leads) return;
  leads_ = leads;
  Look();
}

void TransactionChecker::OnHalfMessagesApplied() { alarm_.RingNow(); }

void TransactionChecker::Look() {
  if (!leads_ || steps_ > 0) return;
  const int64_t now_nanos = clock_->MonotonicNanos();
  if (now_nanos < not_before_nanos_) return alarm_.RingAfter(not_before_nanos_ - now_nanos);
  const int64_t wall_ms = clock_->WallMillis();
  std::vector<OpenTransaction> due = waiting_->DueForCheck(wall_ms, options_.max_batch);
  if (due.empty()) {
    const std::optional<int64_t> next_ms = waiting_->NextCheckMs();
    if (!next_ms.has_value()) return;  // OnHalfMessagesApplied wakes it
    return alarm_.RingAfter(std::clamp<int64_t>(*next_ms - wall_ms, 1, options_.max_sleep_ms) *
                            1'000'000);
  }
  const auto spent = std::stable_partition(
      due.begin(), due.end(),
      [this](const OpenTransaction& open) { return open.half.checks < options_.check_max; });
  const std::vector<OpenTransaction> given_up(spent, due.end());
  due.erase(spent, due.end());
  steps_ = static_cast<int>(given_up.size()) + (due.empty() ? 0 : 1);
  GiveUp(given_up);
  if (!due.empty()) Check(std::move(due));
}

void TransactionChecker::GiveUp(const std::vector<OpenTransaction>& transactions) {
  for (const OpenTransaction& open : transactions) {
    LOG(WARNING) << "the producers of the half message at log position " << open.position
                 << " were asked " << open.half.checks << " times in vain: it is given up";
    waiting_->ExpireTransaction(open.position, [this](const absl::Status& status) {
      timer_->Post([this, status] { EndStep(status); });
    });
  }
}

void TransactionChecker::Check(std::vector<OpenTransaction> transactions) {
  for (OpenTransaction& open : transactions) {
    ++open.half.checks;
    open.half.next_check_ms = clock_->WallMillis() + options_.check_interval_ms;
  }
  waiting_->SetChecks(
      std::move(transactions), [this](absl::StatusOr<std::vector<LogPosition>> positions) {
        timer_->Post([this, positions = std::move(positions)] { OnChecked(positions); });
      });
}

void TransactionChecker::OnChecked(const absl::StatusOr<std::vector<LogPosition>>& positions) {
  if (positions.ok() && leads_) {
    reads_->Post([this, positions = *positions] {
      for (const LogPosition position : positions) {
        absl::StatusOr<std::string> record = waiting_->ReadHalf(position);
        if (record.ok()) {
          ask_(*std::move(record));
        } else {
          LOG(ERROR) << "the half message at log position " << position
                     << " is to be checked and cannot be read: " << record.status();
        }
      }
    });
  }
  EndStep(positions.status());
}

void TransactionChecker::EndStep(const absl::Status& status) {
  if (!status.ok()) {
    not_before_nanos_ = clock_->MonotonicNanos() + options_.retry_ms * 1'000'000;
    LOG_IF(ERROR, !store::ReasonOf(status).has_value())
        << "a transaction cannot be checked or given up: " << status;
  }
  if (--steps_ == 0) Look();
}

}  // namespace raftmq::broker
