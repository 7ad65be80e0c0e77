// FakeWaitingMessages: timers and transactions in memory, for tests of what schedules them. Answers
// at once, on the caller's thread. Not thread-safe.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "store/reason.h"
#include "store/waiting_messages.h"

namespace raftmq::broker {

class FakeWaitingMessages final : public store::WaitingMessages {
 public:
  std::set<store::TimerRef> timers;
  std::vector<store::TimerRef> delivered;
  std::set<LogPosition> unreadable;
  absl::Status refuse_next;  // once: how the next delivery, check or expiry ends
  size_t largest_batch = 0;

  std::map<LogPosition, store::HalfMessage> open;
  std::map<LogPosition, std::string> records;  // of half messages that have a real one
  std::function<void(LogPosition)> on_read;    // before a half message is read
  std::vector<LogPosition> expired;

  TimerCounts Timers() const override {
    TimerCounts counts;
    counts.pending = timers.size();
    if (!timers.empty()) counts.earliest_due_ms = timers.begin()->due_ms;
    return counts;
  }
  std::vector<store::Timer> DueTimers(int64_t now_ms, size_t max) const override {
    std::vector<store::Timer> due;
    for (const store::TimerRef& timer : timers) {
      if (timer.due_ms <= now_ms && due.size() < max) due.push_back({timer, 100});
    }
    return due;
  }
  void Deliver(std::vector<store::Timer> batch, DeliverCallback done) override {
    largest_batch = std::max(largest_batch, batch.size());
    std::vector<absl::Status> statuses;
    const absl::Status refused = std::exchange(refuse_next, absl::OkStatus());
    for (const store::Timer& timer : batch) {
      if (!refused.ok()) {
        statuses.push_back(refused);
      } else if (unreadable.contains(timer.ref.position)) {
        statuses.push_back(absl::DataLossError("unreadable"));
      } else {
        timers.erase(timer.ref);
        delivered.push_back(timer.ref);
        statuses.push_back(absl::OkStatus());
      }
    }
    done(std::move(statuses));
  }
  void Recall(std::string, std::string, RecallCallback done) override {
    done(absl::UnimplementedError("not in this fake"));
  }
  void EndTransaction(std::string, std::string, std::string, bool, DoneCallback done) override {
    done(absl::UnimplementedError("not in this fake"));
  }
  size_t OpenTransactions() const override { return open.size(); }
  std::optional<int64_t> NextCheckMs() const override {
    std::optional<int64_t> next;
    for (const auto& [position, half] : open) {
      next = std::min(next.value_or(half.next_check_ms), half.next_check_ms);
    }
    return next;
  }
  std::vector<store::OpenTransaction> DueForCheck(int64_t now_ms, size_t max) const override {
    std::vector<store::OpenTransaction> due;
    for (const auto& [position, half] : open) {
      if (half.next_check_ms <= now_ms && due.size() < max) due.push_back({position, half});
    }
    return due;
  }
  std::vector<store::OpenTransaction> ListTransactions(LogPosition from,
                                                       size_t max) const override {
    std::vector<store::OpenTransaction> list;
    for (auto it = open.lower_bound(from); it != open.end() && list.size() < max; ++it) {
      list.push_back({it->first, it->second});
    }
    return list;
  }
  void SetChecks(std::vector<store::OpenTransaction> transactions, CheckedCallback done) override {
    if (!refuse_next.ok()) return done(std::exchange(refuse_next, absl::OkStatus()));
    std::vector<LogPosition> positions;
    for (const store::OpenTransaction& transaction : transactions) {
      const auto it = open.find(transaction.position);
      if (it == open.end()) continue;
      it->second = transaction.half;
      positions.push_back(transaction.position);
    }
    done(std::move(positions));
  }
  void ExpireTransaction(LogPosition position, DoneCallback done) override {
    if (!refuse_next.ok()) return done(std::exchange(refuse_next, absl::OkStatus()));
    open.erase(position);
    expired.push_back(position);
    done(absl::OkStatus());
  }
  absl::StatusOr<std::string> ReadHalf(LogPosition position) const override {
    if (on_read != nullptr) on_read(position);
    if (unreadable.contains(position)) return absl::DataLossError("unreadable");
    const auto record = records.find(position);
    return record != records.end() ? record->second : StrCat("record ", position);
  }
};

}  // namespace raftmq::broker
