#include "broker/pull_waiters.h"

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::broker {

PullWaiters::PullWaiters(Options options, const store::MessageStore* store, Clock* clock,
                         TaskRunner* timer)
    : options_(options),
      store_(store),
      clock_(clock),
      alarm_(clock, timer, [this] { OnTimer(); }) {}

absl::StatusOr<PullWaiters::WaiterId> PullWaiters::Begin() {
  absl::MutexLock lock(&mutex_);
  if (waiters_.size() >= options_.max_waiting) {
    return store::Refuse(store::Reason::kBusy,
                         StrCat("this member holds ", options_.max_waiting,
                                " pulls, which is its bound: try again later"));
  }
  waiters_.try_emplace(next_id_);
  return next_id_++;
}

void PullWaiters::End(WaiterId id) {
  absl::MutexLock lock(&mutex_);
  const auto it = waiters_.find(id);
  CHECK(it != waiters_.end() && !it->second.parked) << "pull " << id << " ends while it waits";
  waiters_.erase(it);
}

void PullWaiters::Wait(WaiterId id, const std::string& topic, QueueId queue, QueueOffset offset,
                       store::EntryTagFilter wanted, int64_t until_ms, Woken woken) {
  {
    absl::MutexLock lock(&mutex_);
    Waiter& waiter = waiters_.find(id)->second;
    if (!closed_ && !waiter.cancelled) {
      waiter.parked = true;
      waiter.queue = {topic, queue};
      waiter.offset = offset;
      waiter.wanted = std::move(wanted);
      waiter.until_ms = until_ms;
      waiter.woken = std::move(woken);
      parked_[waiter.queue].emplace(offset, id);
      const auto deadline = deadlines_.emplace(until_ms, id).first;
      if (deadline == deadlines_.begin()) alarm_.RingNow();
    }
  }
  if (woken) return woken(Outcome::kOver, offset);  // it was not parked
  // What arrived before it was parked told nobody.
  const auto range = store_->Range(topic, queue);
  if (!range.ok() || range->max <= offset) return;
  OnArrival(topic, queue, {range->max, range->max, std::nullopt});
}

PullWaiters::Woken PullWaiters::Unpark(WaiterId id, Waiter* waiter) {
  const auto queue = parked_.find(waiter->queue);
  queue->second.erase({waiter->offset, id});
  if (queue->second.empty()) parked_.erase(queue);
  deadlines_.erase({waiter->until_ms, id});
  waiter->parked = false;
  return std::move(waiter->woken);
}

void PullWaiters::Cancel(WaiterId id) {
  Woken woken;
  QueueOffset offset;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = waiters_.find(id);
    if (it == waiters_.end()) return;
    it->second.cancelled = true;
    if (!it->second.parked) return;
    offset = it->second.offset;
    woken = Unpark(id, &it->second);
  }
  woken(Outcome::kOver, offset);
}

void PullWaiters::Close() {
  std::vector<std::pair<Woken, QueueOffset>> over;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    while (!deadlines_.empty()) {
      const WaiterId id = deadlines_.begin()->second;
      Waiter& waiter = waiters_.find(id)->second;
      over.emplace_back(Unpark(id, &waiter), waiter.offset);
    }
  }
  for (auto& [woken, offset] : over) woken(Outcome::kOver, offset);
}

// Whether the new messages are the next that the waiter has not seen, and none of them is for it.
bool PullWaiters::Unwanted(const Waiter& waiter, const store::Arrival& arrival) {
  if (!arrival.tags.has_value()) return false;
  // A gap: something arrived before it was parked, which nobody told it of.
  if (waiter.offset < arrival.first) return false;
  return !waiter.wanted.MayPassAny(*arrival.tags);
}

void PullWaiters::OnArrival(const std::string& topic, QueueId queue,
                            const store::Arrival& arrival) {
  std::vector<std::pair<Woken, QueueOffset>> arrived;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = parked_.find({topic, queue});
    if (it == parked_.end()) return;
    std::vector<WaiterId> reached;
    for (const auto& [offset, id] : it->second) {
      if (offset >= arrival.max) break;
      reached.push_back(id);
    }
    // Those that stay first: the queue's set goes with its last waiter.
    std::vector<WaiterId> woken;
    for (const WaiterId id : reached) {
      Waiter& waiter = waiters_.find(id)->second;
      if (!Unwanted(waiter, arrival)) {
        woken.push_back(id);
        continue;
      }
      it->second.erase({waiter.offset, id});
      waiter.offset = arrival.max;
      it->second.emplace(waiter.offset, id);
    }
    for (const WaiterId id : woken) {
      Waiter& waiter = waiters_.find(id)->second;
      arrived.emplace_back(Unpark(id, &waiter), waiter.offset);
    }
  }
  for (auto& [woken, offset] : arrived) woken(Outcome::kLookAgain, offset);
}

void PullWaiters::OnTimer() {
  std::vector<std::pair<Woken, QueueOffset>> over;
  {
    absl::MutexLock lock(&mutex_);
    const int64_t now_ms = clock_->MonotonicMillis();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now_ms) {
      const WaiterId id = deadlines_.begin()->second;
      Waiter& waiter = waiters_.find(id)->second;
      over.emplace_back(Unpark(id, &waiter), waiter.offset);
    }
    if (!deadlines_.empty()) {
      alarm_.RingAfter((deadlines_.begin()->first - now_ms) * 1'000'000);
    }
  }
  for (auto& [woken, offset] : over) woken(Outcome::kOver, offset);
}

size_t PullWaiters::parked() const {
  absl::MutexLock lock(&mutex_);
  return deadlines_.size();
}

}  // namespace raftmq::broker
