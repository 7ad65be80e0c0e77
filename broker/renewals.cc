#include "broker/renewals.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "store/reason.h"

namespace raftmq::broker {

Renewals::Options Renewals::Options::ForLeasesOf(int64_t lease_ms) {
  Options options;
  options.renew_before_ms = lease_ms / 3;
  options.extend_ms = lease_ms;
  return options;
}

Renewals::Renewals(Options options, Clock* clock, TaskRunner* timer, Extend extend,
                   IsAlive is_alive)
    : options_(options),
      clock_(clock),
      timer_(timer),
      extend_(std::move(extend)),
      is_alive_(std::move(is_alive)) {}

void Renewals::Add(Lease lease, int64_t invisible_ms) {
  const int64_t now_ms = clock_->MonotonicMillis();
  absl::MutexLock lock(&mutex_);
  if (entries_.size() >= options_.max_leases) {
    LOG_EVERY_N(WARNING, 10'000) << "this member renews " << entries_.size()
                                 << " leases, which is its bound: message " << lease.message_id
                                 << " of topic " << lease.topic << " is not renewed for client "
                                 << lease.client_id << ", and is given out again in "
                                 << invisible_ms << " ms if it is not acked by then";
    return;
  }
  const std::string handle = lease.handle;
  Erase(handle);
  Entry entry;
  entry.lease = std::move(lease);
  entry.began_ms = now_ms;
  entry.ends_ms = now_ms + invisible_ms;
  entry.due_ms = std::max(entry.ends_ms - options_.renew_before_ms, now_ms);
  by_due_.emplace(entry.due_ms, handle);
  entries_.emplace(handle, std::move(entry));
  ScheduleScan();
}

void Renewals::Erase(const std::string& handle) {
  const auto it = entries_.find(handle);
  if (it == entries_.end()) return;
  auto [begin, end] = by_due_.equal_range(it->second.due_ms);
  const auto place =
      std::find_if(begin, end, [&](const auto& due) { return due.second == handle; });
  if (place != end) by_due_.erase(place);
  entries_.erase(it);
}

void Renewals::Remove(const std::string& handle) {
  absl::MutexLock lock(&mutex_);
  Erase(handle);
}

void Renewals::RemoveClient(const std::string& client_id) {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> handles;
  for (const auto& [handle, entry] : entries_) {
    if (entry.lease.client_id == client_id) handles.push_back(handle);
  }
  for (const std::string& handle : handles) Erase(handle);
}

void Renewals::ScheduleScan() {
  if (scan_scheduled_ || entries_.empty()) return;
  scan_scheduled_ = true;
  timer_->RunAfter(options_.scan_ms * 1'000'000, [this] { Scan(); });
}

void Renewals::Scan() {
  const int64_t now_ms = clock_->MonotonicMillis();
  std::vector<std::pair<std::string, Lease>> due;  // by its first handle
  {
    absl::MutexLock lock(&mutex_);
    scan_scheduled_ = false;
    while (!by_due_.empty() && by_due_.begin()->first <= now_ms) {
      const std::string handle = std::move(by_due_.begin()->second);
      by_due_.erase(by_due_.begin());
      Entry& entry = entries_.find(handle)->second;
      if (now_ms - entry.began_ms >= options_.max_total_ms || now_ms >= entry.ends_ms ||
          !is_alive_(entry.lease.client_id)) {
        entries_.erase(handle);
        continue;
      }
      // Tried again at the next scan unless it succeeds.
      entry.due_ms = now_ms + options_.scan_ms;
      by_due_.emplace(entry.due_ms, handle);
      due.emplace_back(handle, entry.lease);
    }
    ScheduleScan();
  }
  for (const auto& [handle, lease] : due) {
    extend_(lease, options_.extend_ms,
            [this, handle = handle, ends_ms = now_ms + options_.extend_ms](
                const absl::StatusOr<std::string>& next) { OnExtended(handle, ends_ms, next); });
  }
}

void Renewals::OnExtended(const std::string& handle, int64_t ends_ms,
                          const absl::StatusOr<std::string>& next_handle) {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(handle);
  if (it == entries_.end()) return;
  if (next_handle.ok()) {
    it->second.lease.handle = *next_handle;
    auto [begin, end] = by_due_.equal_range(it->second.due_ms);
    const auto place =
        std::find_if(begin, end, [&](const auto& due) { return due.second == handle; });
    if (place != end) by_due_.erase(place);
    it->second.ends_ms = ends_ms;
    it->second.due_ms = ends_ms - options_.renew_before_ms;
    by_due_.emplace(it->second.due_ms, handle);
  } else if (store::ReasonOf(next_handle.status()) == store::Reason::kInvalidReceiptHandle) {
    Erase(handle);
  }
}

std::string Renewals::FindHandle(const std::string& client_id, const std::string& group,
                                 const std::string& topic, const std::string& message_id) const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [handle, entry] : entries_) {
    const Lease& lease = entry.lease;
    if (lease.message_id == message_id && lease.client_id == client_id && lease.group == group &&
        lease.topic == topic) {
      return handle;
    }
  }
  return "";
}

size_t Renewals::size() const {
  absl::MutexLock lock(&mutex_);
  return entries_.size();
}

}  // namespace raftmq::broker
