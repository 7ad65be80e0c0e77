#include "broker/read_barrier.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

constexpr std::string_view kLinearizable = "linearizable";
constexpr std::string_view kMaxLag = "max-lag-ms=";

// How long ago what is read may have been true, in milliseconds; none: at any time.
absl::StatusOr<std::optional<int64_t>> ParseMaxLag(std::string_view level) {
  if (level.empty()) return std::optional<int64_t>();
  if (level == kLinearizable) return std::optional<int64_t>(0);
  int64_t ms = -1;
  if (level.starts_with(kMaxLag)) {
    const std::string_view number = level.substr(kMaxLag.size());
    if (absl::SimpleAtoi({number.data(), number.size()}, &ms) && ms >= 0) {
      return std::optional<int64_t>(ms);
    }
  }
  return store::Refuse(
      store::Reason::kUnsupported,
      StrCat("x-raftmq-read is \"", level, "\"; it must be \"", kLinearizable, "\", \"", kMaxLag,
             "N\" with N milliseconds, 0 or more, or left out"));
}

absl::Status Stopping() {
  return store::Refuse(store::Reason::kBusy, "this member is stopping: ask another one");
}

}  // namespace

ReadBarrier::ReadBarrier(Options options, Source* source, Clock* clock, TaskRunner* timer)
    : options_(options),
      source_(source),
      clock_(clock),
      alarm_(clock, timer, [this] { OnTimer(); }) {}

void ReadBarrier::Await(const CallContext& context, int64_t then_ms, Done done) {
  const absl::StatusOr<std::optional<int64_t>> max_lag_ms = ParseMaxLag(context.read_level);
  if (!max_lag_ms.ok()) return done(max_lag_ms.status());
  const int64_t now_ms = clock_->MonotonicMillis();
  // With 0 the leader is always asked: what was acknowledged within this millisecond counts, too.
  const bool fresh =
      !max_lag_ms->has_value() || (**max_lag_ms > 0 && FreshSince(now_ms - **max_lag_ms));
  if (fresh && source_->Applied() >= context.min_applied.value_or(LogIndex(0))) {
    return done(absl::OkStatus());
  }
  int64_t until_ms = now_ms + options_.default_timeout_ms;
  if (context.deadline_ms != kNoDeadline) {
    const int64_t last_ms = context.deadline_ms - options_.answer_early_ms;
    until_ms = then_ms == 0 ? last_ms : std::min(last_ms, std::max(until_ms, last_ms - then_ms));
  }
  absl::Status refused;
  WaiterId id = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) {
      refused = Stopping();
    } else if (waiters_.size() >= options_.max_waiting) {
      refused = store::Refuse(store::Reason::kBusy,
                              StrCat("this member holds ", options_.max_waiting,
                                     " reads until they are fresh, which is its bound: try again "
                                     "later"));
    } else {
      id = next_id_++;
      waiters_.emplace(id, Waiter{until_ms, std::move(done)});
      const auto deadline = deadlines_.emplace(until_ms, id).first;
      if (deadline == deadlines_.begin()) alarm_.RingNow();
    }
  }
  if (!refused.ok()) return done(refused);
  AskLeader(id, context, now_ms);
}

bool ReadBarrier::FreshSince(int64_t ms) {
  absl::MutexLock lock(&mutex_);
  return fresh_as_of_ms_.has_value() && *fresh_as_of_ms_ >= ms;
}

void ReadBarrier::Proved(int64_t asked_ms) {
  absl::MutexLock lock(&mutex_);
  fresh_as_of_ms_ = std::max(fresh_as_of_ms_.value_or(asked_ms), asked_ms);
}

// Also for an index: what is waited for exists, and comes.
void ReadBarrier::AskLeader(WaiterId id, const CallContext& context, int64_t asked_ms) {
  const LogIndex least = context.min_applied.value_or(LogIndex(0));
  source_->ReadIndex(context, [this, id, least, asked_ms](const absl::StatusOr<LogIndex>& index) {
    if (!index.ok()) return End(id, index.status());
    if (least > *index) {
      return End(id, store::Refuse(store::Reason::kIllegalOffset,
                                   StrCat("x-raftmq-min-applied-index is ", least,
                                          ", the log has committed entries up to ", *index)));
    }
    source_->WhenApplied(*index, [this, id, asked_ms](const absl::Status& status) {
      if (status.ok()) Proved(asked_ms);
      End(id, status);
    });
  });
}

void ReadBarrier::End(WaiterId id, const absl::Status& status) {
  Done done;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = waiters_.find(id);
    if (it == waiters_.end()) return;  // its time was up
    deadlines_.erase({it->second.until_ms, id});
    done = std::move(it->second.done);
    waiters_.erase(it);
  }
  done(status);
}

void ReadBarrier::Close() {
  std::vector<WaiterId> ids;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    for (const auto& [id, waiter] : waiters_) ids.push_back(id);
  }
  for (const WaiterId id : ids) End(id, Stopping());
}

void ReadBarrier::OnTimer() {
  std::vector<WaiterId> over;
  {
    absl::MutexLock lock(&mutex_);
    const int64_t now_ms = clock_->MonotonicMillis();
    auto it = deadlines_.begin();
    for (; it != deadlines_.end() && it->first <= now_ms; ++it) over.push_back(it->second);
    if (it != deadlines_.end()) alarm_.RingAfter((it->first - now_ms) * 1'000'000);
  }
  for (const WaiterId id : over) {
    End(id, store::Refuse(
                store::Reason::kBusy,
                StrCat("this member has not applied what the read must see before its "
                       "deadline; it has applied up to entry ",
                       source_->Applied(), ": ask another member, or without x-raftmq-read")));
  }
}

}  // namespace raftmq::broker
