#include "broker/read_barrier.h"

#include <vector>

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

constexpr char kLinearizable[] = "linearizable";

absl::Status Stopping() {
  return store::Refuse(store::Reason::kBusy, "this member is stopping: ask another one");
}

}  // namespace

ReadBarrier::ReadBarrier(Options options, Source* source, Clock* clock, TaskRunner* timer)
    : options_(options),
      source_(source),
      clock_(clock),
      alarm_(clock, timer, [this] { OnTimer(); }) {}

void ReadBarrier::Await(const CallContext& context, Done done) {
  const bool linearizable = context.read_level == kLinearizable;
  if (!linearizable && !context.read_level.empty()) {
    return done(store::Refuse(store::Reason::kUnsupported,
                              StrCat("x-raftmq-read is \"", context.read_level, "\"; it must be \"",
                                     kLinearizable, "\" or left out")));
  }
  if (!linearizable && source_->Applied() >= context.min_applied.value_or(LogIndex(0))) {
    return done(absl::OkStatus());
  }
  const int64_t now_ms = clock_->MonotonicMillis();
  const int64_t until_ms = context.deadline_ms == kNoDeadline
                               ? now_ms + options_.default_timeout_ms
                               : context.deadline_ms - options_.answer_early_ms;
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
  AskLeader(id, context);
}

// Also for an index: what is waited for exists, and comes.
void ReadBarrier::AskLeader(WaiterId id, const CallContext& context) {
  const LogIndex least = context.min_applied.value_or(LogIndex(0));
  source_->ReadIndex(context, [this, id, least](const absl::StatusOr<LogIndex>& index) {
    if (!index.ok()) return End(id, index.status());
    if (least > *index) {
      return End(id, store::Refuse(store::Reason::kIllegalOffset,
                                   StrCat("x-raftmq-min-applied-index is ", least,
                                          ", the log has committed entries up to ", *index)));
    }
    source_->WhenApplied(*index, [this, id](const absl::Status& status) { End(id, status); });
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
                       source_->Applied(), ": ask another member, or without ", "x-raftmq-read")));
  }
}

}  // namespace raftmq::broker
