#include "broker/receive_waiters.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/names.h"
#include "store/sql_filter.h"

namespace raftmq::broker {
namespace {
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
}  // namespace

ReceiveWaiters::ReceiveWaiters(Options options, store::MessageStore* store, Clock* clock,
                               TaskRunner* timer, store::LiteTopics* lite_topics)
    : options_(options), store_(store), clock_(clock), timer_(timer), lite_topics_(lite_topics) {}

std::string ReceiveWaiters::LitePlace(const std::string& topic, const std::string& client_id) {
  return StrCat(topic, "$", client_id);  // no topic's name has a '$'
}

ReceiveWaiters::WaiterId ReceiveWaiters::NewId() {
  absl::MutexLock lock(&mutex_);
  announced_.emplace(next_id_, false);
  return next_id_++;
}

void ReceiveWaiters::Receive(WaiterId id, store::ReceiveRequest request, int64_t until_ms,
                             Done done) {
  WaiterPtr waiter = std::make_shared<Waiter>();
  waiter->id = id;
  waiter->key = Key{request.group, request.queue, request.filter.tags,
                    request.filter.sql == nullptr ? "" : request.filter.sql->text()};
  waiter->wanted = {request.group, request.filter.tags};
  waiter->topic = request.lite ? LitePlace(request.topic, request.client_id) : request.topic;
  waiter->request = std::move(request);
  waiter->until_ms = until_ms;
  waiter->done = std::move(done);
  const absl::Status admitted = Admit(waiter);
  if (admitted.ok()) {
    Ask(std::move(waiter));
  } else {
    waiter->done(admitted);
  }
}

absl::Status ReceiveWaiters::Admit(const WaiterPtr& waiter) {
  absl::MutexLock lock(&mutex_);
  const auto announced = announced_.find(waiter->id);
  CHECK(announced != announced_.end()) << "receive " << waiter->id << " was not announced";
  const bool cancelled = announced->second;
  announced_.erase(announced);
  if (cancelled) return absl::CancelledError("the client is gone");
  waiters_.emplace(waiter->id, waiter);
  std::unique_ptr<Topic>& topic = topics_[waiter->topic];
  if (topic == nullptr) topic = std::make_unique<Topic>();
  ++topic->users;
  waiter->seen_events = topic->events;
  waiter->seen_acks = topic->groups[waiter->key.group].acks;
  return absl::OkStatus();
}

void ReceiveWaiters::Ask(WaiterPtr waiter) {
  store_->Receive(waiter->request,
                  [this, waiter](absl::StatusOr<store::ReceiveResult> result) mutable {
                    OnAnswer(std::move(waiter), std::move(result));
                  });
}

void ReceiveWaiters::OnAnswer(WaiterPtr waiter, absl::StatusOr<store::ReceiveResult> result) {
  Next next;
  WaiterPtr successor;
  {
    absl::MutexLock lock(&mutex_);
    next = Decide(waiter, &result);
    // There may be more for the next in line; or what this one was woken for is still there, since
    // the store failed it.
    if (next == Next::kDone && (!result.ok() || !result->deliveries.empty())) {
      Topic* topic = topics_.find(waiter->topic)->second.get();
      const auto line = topic->lines.find(waiter->key);
      if (line != topic->lines.end()) successor = TakeFirst(topic, &line->second);
    }
    if (next == Next::kDone || next == Next::kNoPlace) Forget(waiter);
  }
  if (next == Next::kDone || next == Next::kNoPlace) waiter->done(std::move(result));
  if (next == Next::kAskAgain) Ask(std::move(waiter));
  if (successor != nullptr) Ask(std::move(successor));
}

ReceiveWaiters::Next ReceiveWaiters::Decide(const WaiterPtr& waiter,
                                            absl::StatusOr<store::ReceiveResult>* result) {
  if (!result->ok() || !(*result)->deliveries.empty() || waiter->cancelled) return Next::kDone;
  if (clock_->MonotonicMillis() >= waiter->until_ms) return Next::kDone;
  const Topic& topic = *topics_.find(waiter->topic)->second;
  const uint64_t acks = topic.groups.find(waiter->key.group)->second.acks;
  waiter->inflight_full = (*result)->inflight_full;
  if (topic.events != waiter->seen_events || (waiter->inflight_full && acks != waiter->seen_acks)) {
    // Something arrived, or was acked, while the store was being asked.
    waiter->seen_events = topic.events;
    waiter->seen_acks = acks;
    return Next::kAskAgain;
  }
  if (absl::Status place = TakePlace(waiter); !place.ok()) {
    *result = std::move(place);
    return Next::kNoPlace;
  }
  Park(waiter, (*result)->next_visible_in_ms);
  return Next::kParked;
}

absl::Status ReceiveWaiters::TakePlace(const WaiterPtr& waiter) {
  if (waiter->has_place) return absl::OkStatus();
  if (places_ >= options_.max_waiting) {
    return store::Refuse(store::Reason::kBusy,
                         StrCat("there is no message, and ", places_, " receives wait already, as ",
                                "many as maxPopPollingSize allows: try again later"));
  }
  const store::ReceiveRequest& request = waiter->request;
  size_t& places =
      topics_.find(waiter->topic)->second->groups[waiter->key.group].places[request.queue];
  if (places >= options_.max_waiting_per_queue) {
    return store::Refuse(store::Reason::kBusy,
                         StrCat("there is no message, and ", places, " receives of group ",
                                request.group, " wait on topic ", request.topic,
                                " already, as many as popPollingSize allows: try again later"));
  }
  ++places;
  ++places_;
  waiter->has_place = true;
  return absl::OkStatus();
}

void ReceiveWaiters::Park(const WaiterPtr& waiter, const std::optional<int64_t>& visible_in_ms) {
  Topic& topic = *topics_.find(waiter->topic)->second;
  Line& line = topic.lines[waiter->key];
  if (waiter->inflight_full) ++topic.groups[waiter->key.group].held;
  waiter->parked = true;
  waiter->place = line.insert(line.end(), waiter);
  deadlines_.emplace(waiter->until_ms, waiter->id);
  if (visible_in_ms.has_value()) {
    WakeAt(waiter->topic, waiter->request.group,
           clock_->MonotonicMillis() + std::max<int64_t>(*visible_in_ms, 1));
  }
  ArmTimer();
}

void ReceiveWaiters::Unpark(const WaiterPtr& waiter) {
  Topic& topic = *topics_.find(waiter->topic)->second;
  const auto line = topic.lines.find(waiter->key);
  line->second.erase(waiter->place);
  if (line->second.empty()) topic.lines.erase(line);
  if (waiter->inflight_full) --topic.groups[waiter->key.group].held;
  deadlines_.erase({waiter->until_ms, waiter->id});
  waiter->parked = false;
}

void ReceiveWaiters::Forget(const WaiterPtr& waiter) {
  if (waiter->parked) Unpark(waiter);
  waiters_.erase(waiter->id);
  const auto topic = topics_.find(waiter->topic);
  if (waiter->has_place) {
    --places_;
    --topic->second->groups[waiter->key.group].places[waiter->request.queue];
  }
  if (--topic->second->users == 0) topics_.erase(topic);
}

ReceiveWaiters::WaiterPtr ReceiveWaiters::TakeFirst(Topic* topic, Line* line) {
  if (line->empty()) return nullptr;
  WaiterPtr waiter = line->front();
  waiter->seen_events = topic->events;
  waiter->seen_acks = topic->groups[waiter->key.group].acks;
  Unpark(waiter);  // may erase *line
  return waiter;
}

bool ReceiveWaiters::IsFor(const Call& call, const Key& key, const Waiter& first) {
  if (call.group != nullptr && key.group != *call.group) return false;
  if (call.queue != nullptr && key.queue.has_value() && *key.queue != *call.queue) return false;
  return call.tags == nullptr || first.wanted.MayPassAny(*call.tags);
}

std::vector<ReceiveWaiters::WaiterPtr> ReceiveWaiters::TakeFirsts(Topic* topic, const Call& call) {
  std::vector<WaiterPtr> taken;
  for (auto it = topic->lines.begin(); it != topic->lines.end();) {
    const auto line = it++;
    if (!IsFor(call, line->first, *line->second.front())) continue;
    if (WaiterPtr waiter = TakeFirst(topic, &line->second)) taken.push_back(std::move(waiter));
  }
  return taken;
}

void ReceiveWaiters::OnArrival(const std::string& topic, QueueId queue,
                               const store::Arrival& arrival) {
  if (!store::IsLiteTopic(topic)) {
    Call call;
    call.queue = &queue;
    if (arrival.tags.has_value()) call.tags = &*arrival.tags;
    return WakeAll(topic, call);
  }
  if (lite_topics_ == nullptr || waiting() == 0) return;
  const std::string parent(store::ParentOfLite(topic));
  for (const std::string& client_id : lite_topics_->SubscribersOf(topic, "")) {
    WakeAll(LitePlace(parent, client_id), {});
  }
}

void ReceiveWaiters::WakeAll(const std::string& place, const Call& call) {
  std::vector<WaiterPtr> woken;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = topics_.find(place);
    if (it == topics_.end()) return;
    ++it->second->events;
    woken = TakeFirsts(it->second.get(), call);
  }
  for (WaiterPtr& waiter : woken) Ask(std::move(waiter));
}

void ReceiveWaiters::OnSubscribed(const std::string& group, const std::string& topic,
                                  const std::string& client_id) {
  WakeAll(LitePlace(topic, client_id), {.group = &group});
}

void ReceiveWaiters::OnReleased(const std::string& group, const std::string& topic,
                                int64_t delay_ms) {
  if (!store::IsLiteTopic(topic)) return Release(group, topic, delay_ms);
  if (lite_topics_ == nullptr || waiting() == 0) return;
  const std::string parent(store::ParentOfLite(topic));
  for (const std::string& client_id : lite_topics_->SubscribersOf(topic, group)) {
    Release(group, LitePlace(parent, client_id), delay_ms);
  }
}

void ReceiveWaiters::OnAcked(const std::string& group, const std::string& topic) {
  {
    absl::MutexLock lock(&mutex_);
    const auto it = topics_.find(topic);
    if (it == topics_.end()) return;
    const auto of_group = it->second->groups.find(group);
    if (of_group == it->second->groups.end()) return;
    ++of_group->second.acks;
    if (of_group->second.held == 0) return;
  }
  WakeAll(topic, {.group = &group});
}

void ReceiveWaiters::Release(const std::string& group, const std::string& place, int64_t delay_ms) {
  if (delay_ms <= 0) return WakeAll(place, {.group = &group});
  absl::MutexLock lock(&mutex_);
  if (!topics_.contains(place)) return;
  WakeAt(place, group, clock_->MonotonicMillis() + delay_ms);
  ArmTimer();
}

void ReceiveWaiters::Cancel(WaiterId id) {
  WaiterPtr waiter;
  {
    absl::MutexLock lock(&mutex_);
    if (const auto announced = announced_.find(id); announced != announced_.end()) {
      announced->second = true;
      return;
    }
    const auto it = waiters_.find(id);
    if (it == waiters_.end()) return;
    if (!it->second->parked) {
      it->second->cancelled = true;
      return;
    }
    waiter = it->second;
    Forget(waiter);
  }
  waiter->done(absl::CancelledError("the client is gone"));
}

void ReceiveWaiters::Abandon(const absl::Status& status) {
  std::vector<WaiterPtr> ended;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [deadline, id] : deadlines_) ended.push_back(waiters_.find(id)->second);
    for (const WaiterPtr& waiter : ended) Forget(waiter);
    wakes_.clear();
    wake_of_.clear();
  }
  for (const WaiterPtr& waiter : ended) waiter->done(status);
}

void ReceiveWaiters::WakeAt(const std::string& topic, const std::string& group, int64_t at_ms) {
  auto [it, first] = wake_of_.try_emplace({topic, group}, at_ms);
  if (!first) {
    if (it->second <= at_ms) return;
    wakes_.erase({it->second, topic, group});
    it->second = at_ms;
  }
  wakes_.emplace(at_ms, topic, group);
}

void ReceiveWaiters::ArmTimer() {
  int64_t due_ms = kNever;
  if (!deadlines_.empty()) due_ms = deadlines_.begin()->first;
  if (!wakes_.empty()) due_ms = std::min(due_ms, std::get<0>(*wakes_.begin()));
  if (due_ms == kNever || (armed_ms_ != 0 && armed_ms_ <= due_ms)) return;
  armed_ms_ = due_ms;
  const int64_t delay_ms = std::max<int64_t>(due_ms - clock_->MonotonicMillis(), 0);
  timer_->RunAfter(delay_ms * 1'000'000,
                   [this, generation = ++timer_generation_] { OnTimer(generation); });
}

void ReceiveWaiters::OnTimer(uint64_t generation) {
  std::vector<WaiterPtr> ended;
  std::vector<std::pair<std::string, std::string>> released;
  {
    absl::MutexLock lock(&mutex_);
    if (generation != timer_generation_) return;
    armed_ms_ = 0;
    const int64_t now_ms = clock_->MonotonicMillis();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now_ms) {
      ended.push_back(waiters_.find(deadlines_.begin()->second)->second);
      Forget(ended.back());
    }
    while (!wakes_.empty() && std::get<0>(*wakes_.begin()) <= now_ms) {
      const auto& [due, topic, group] = *wakes_.begin();
      released.emplace_back(topic, group);
      wake_of_.erase({topic, group});
      wakes_.erase(wakes_.begin());
    }
    ArmTimer();
  }
  for (const WaiterPtr& waiter : ended) {
    store::ReceiveResult nothing;
    nothing.inflight_full = waiter->inflight_full;
    waiter->done(std::move(nothing));
  }
  for (const auto& [place, group] : released) WakeAll(place, {.group = &group});
}

size_t ReceiveWaiters::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiters_.size();
}

}  // namespace raftmq::broker
