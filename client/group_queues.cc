#include <algorithm>
#include <set>
#include <utility>

#include "base/file_system.h"
#include "base/strings.h"
#include "client/await_answer.h"
#include "client/grpc_group_queues.h"
#include "client/user_code.h"
#include "glog/logging.h"

namespace raftmq::client {
namespace {

// Before a broken watch is made again; and when it was tried so often.
constexpr int64_t kWatchPauseMs = 100;
constexpr size_t kManyTries = 20;
constexpr int64_t kLongWatchPauseMs = 1'000;
constexpr int64_t kLookAtRoutesMs = 1'000;
constexpr int64_t kMaxLeaveMs = 30'000;
constexpr int64_t kLookForTopicsMs = 2'000;

}  // namespace

GroupQueues::GroupQueues(GroupQueuesOptions options, std::unique_ptr<ClientInstance> instance,
                         OffsetFile::Offsets offsets)
    : options_(std::move(options)),
      strategy_(options_.allocateMessageQueueStrategy != nullptr
                    ? options_.allocateMessageQueueStrategy
                    : AllocateMessageQueueAveragely()),
      owned_instance_(std::move(instance)),
      instance_(owned_instance_.get()),
      subscription_(options_.subscription),
      calls_(
          std::make_unique<GroupCalls>(instance_, options_.consumerGroup, options_.requestTimeout)),
      offset_file_(PosixFileSystem(), options_.offset_path),
      local_offsets_(std::move(offsets)) {}

void GroupQueues::LeaveAll() {
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    std::vector<HeldPtr> all;
    for (const auto& [key, held] : held_) all.push_back(held);
    for (const HeldPtr& held : all) Leave(held);
  }
  // The others take each queue as soon as it is let go of, while what is slow here still runs.
  instance_->SayGoodbye();
  {
    absl::MutexLock lock(&mu_);
    const auto left = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return held_.empty(); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&left), absl::Milliseconds(kMaxLeaveMs))) {
      LOG(WARNING) << "consumer " << client_id() << " of group " << options_.consumerGroup << ": "
                   << held_.size() << " queues could not be left in an orderly way";
    }
  }
  Commit();
}

void GroupQueues::Close() {
  calls_->Close();
  owned_instance_.reset();  // no task or answer comes after this
}

bool GroupQueues::Mine(const Held& held) const {
  return !closed_ && !held.leaving && !held.gone && held.puller != nullptr &&
         (!clustering() || NowMs() < held.locked_until_ms);
}

// A broker is asked, whose grammar it is. A topic that isn't there yet is not asked for.
absl::Status GroupQueues::CheckSelectors() {
  for (const auto& [topic, selector] : options_.subscription) {
    RAFTMQ_RETURN_IF_ERROR(CheckSelector(topic, selector));
  }
  return absl::OkStatus();
}

absl::Status GroupQueues::CheckSelector(const std::string& topic, const MessageSelector& selector) {
  if (selector == MessageSelector()) return absl::OkStatus();
  const absl::StatusOr<RouteCache::Route> route = instance_->routes()->FindBlocking(topic);
  if (!route.ok()) return absl::OkStatus();
  const BrokerRoute& broker = (*route)->brokers[0];
  if (broker.readable_queues.empty()) return absl::OkStatus();
  const MessageQueue queue{topic, broker.name, QueueId(broker.readable_queues[0])};
  GroupCalls::PullOptions options;
  options.max = 1;
  options.selector = selector;
  const absl::Status pulled = AwaitAnswer<absl::StatusOr<GroupCalls::Pulled>>([&](auto done) {
                                calls_->Pull(queue, QueueOffset(0), options, std::move(done));
                              }).status();
  if (!absl::IsInvalidArgument(pulled)) return absl::OkStatus();
  return Annotate(pulled, StrCat("subscription of group ", options_.consumerGroup, " to topic ",
                                 topic, " with \"", selector.expression, "\""));
}

void GroupQueues::After(int64_t ms, absl::AnyInvocable<void()> task) {
  instance_->timers()->RunAfter(ms * 1'000'000, std::move(task));
}

std::vector<MessageQueue> GroupQueues::AssignedQueues() const {
  absl::MutexLock lock(&mu_);
  std::vector<MessageQueue> queues;
  for (const auto& [key, held] : held_) {
    if (held->puller != nullptr && !held->leaving) queues.push_back(held->queue);
  }
  return queues;
}

// A batch that was in hand is over.
void GroupQueues::EndRun(const HeldPtr& held) {
  bool last = false;
  std::shared_ptr<QueuePuller> puller;
  {
    absl::MutexLock lock(&mu_);
    last = --held->running == 0 && held->leaving;
    puller = held->puller;
  }
  if (last) return Depart(held);
  puller->Pull();  // there may be room
}

void GroupQueues::Begin() {
  if (clustering()) {
    After(options_.lockLeaseMillis / 3, [this] { RenewLocks(); });
  }
  RebalanceSoon(0);
  After(std::min(kLookAtRoutesMs, options_.rebalanceInterval), [this] { RebalanceEvery(); });
  After(options_.persistConsumerOffsetInterval, [this] { CommitEvery(); });
}

absl::Status GroupQueues::Subscribe(const std::string& topic, const MessageSelector& selector) {
  RAFTMQ_RETURN_IF_ERROR(CheckSelector(topic, selector));
  {
    absl::MutexLock lock(&mu_);
    subscription_[topic] = selector;
  }
  RebalanceSoon(0);
  return absl::OkStatus();
}

void GroupQueues::Unsubscribe(const std::string& topic) {
  absl::MutexLock lock(&mu_);
  subscription_.erase(topic);
  std::vector<HeldPtr> left;
  for (const auto& [key, held] : held_) {
    if (held->queue.topic == topic) left.push_back(held);
  }
  for (const HeldPtr& held : left) Leave(held);
}

// ---- Who else is there

// Every broker group of what is subscribed is watched, and a member is whom any of them tells of:
// so all members know of each other, whichever groups come and go, and in whatever order.
void GroupQueues::WatchBrokersOf(const TopicRoute& route) {
  std::vector<std::string> fresh;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    for (const BrokerRoute& broker : route.brokers) {
      const auto [it, is_new] = watches_.try_emplace(broker.name);
      if (!is_new) continue;
      it->second.topic = route.topic;
      fresh.push_back(broker.name);
    }
  }
  // Every member of the groups knows of this consumer.
  if (!fresh.empty()) instance_->Beat();
  for (const std::string& broker : fresh) Watch(broker);
}

void GroupQueues::Watch(const std::string& broker) {
  std::string topic;
  size_t tries = 0;
  uint64_t id = 0;
  {
    absl::MutexLock lock(&mu_);
    const auto it = watches_.find(broker);
    if (closed_ || it == watches_.end()) return;
    topic = it->second.topic;
    tries = it->second.tries++;
    id = it->second.id = ++watches_begun_;
  }
  calls_->WatchGroup(
      topic, broker, tries,
      [this, broker, id](std::vector<std::string> members) {
        {
          absl::MutexLock lock(&mu_);
          const auto it = watches_.find(broker);
          if (it == watches_.end() || it->second.id != id) return;
          it->second.tries = 0;
          it->second.members = std::move(members);
          JoinMembers();
        }
        RebalanceSoon(0);
      },
      [this, broker, id](const absl::Status& ended) { OnWatchEnded(broker, id, ended); });
}

void GroupQueues::OnWatchEnded(const std::string& broker, uint64_t id, const absl::Status& ended) {
  const std::vector<RouteCache::Route> routes = instance_->routes()->All();
  std::string topic;
  int64_t pause_ms = kWatchPauseMs;
  {
    absl::MutexLock lock(&mu_);
    const auto it = watches_.find(broker);
    if (it == watches_.end() || it->second.id != id || (absl::IsCancelled(ended) && closed_)) {
      return;
    }
    if (it->second.members.has_value()) {
      it->second.members.reset();
      JoinMembers();
    }
    topic = it->second.topic;
    const auto there =
        std::find_if(routes.begin(), routes.end(), [&](const RouteCache::Route& route) {
          return subscription_.contains(route->topic) && route->Find(broker) != nullptr;
        });
    if (there == routes.end()) {
      watches_.erase(it);  // until a route has it again
    } else {
      it->second.topic = (*there)->topic;
      if (it->second.tries > kManyTries) pause_ms = kLongWatchPauseMs;
    }
  }
  instance_->routes()->Doubt(topic);
  After(pause_ms, [this, broker, id] {
    {
      absl::MutexLock lock(&mu_);
      const auto it = watches_.find(broker);
      if (it == watches_.end() || it->second.id != id) return;
    }
    Watch(broker);
  });
}

// While no broker group tells anything, the members are those that were told last.
void GroupQueues::JoinMembers() {
  std::set<std::string> all;
  bool any = false;
  for (const auto& [broker, watch] : watches_) {
    if (!watch.members.has_value()) continue;
    any = true;
    all.insert(watch.members->begin(), watch.members->end());
  }
  if (!any) return;
  members_.assign(all.begin(), all.end());
  unbalanced_ms_ = kFirstUnbalancedMs;
}

// ---- Rebalancing

std::string GroupQueues::RoutesSeen() const {
  std::string seen;
  for (const RouteCache::Route& route : instance_->routes()->All()) {
    seen += route->topic;
    for (const BrokerRoute& broker : route->brokers) {
      seen += StrCat(" ", broker.name);
      for (const int32_t id : broker.readable_queues) seen += StrCat(",", id);
    }
    seen += "\n";
  }
  return seen;
}

void GroupQueues::RebalanceEvery() {
  std::string seen = RoutesSeen();
  std::set<std::string> routed;
  for (const RouteCache::Route& route : instance_->routes()->All()) routed.insert(route->topic);
  bool due = false;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    // A topic that is not there (yet, or again) is looked for more often.
    const bool all_there =
        std::all_of(subscription_.begin(), subscription_.end(),
                    [&](const auto& subscribed) { return routed.contains(subscribed.first); });
    const int64_t passed_ms = NowMs() - rebalanced_ms_;
    due = seen != routes_seen_ || passed_ms >= options_.rebalanceInterval ||
          (!all_there && passed_ms >= kLookForTopicsMs);
    routes_seen_ = std::move(seen);
  }
  if (due) Rebalance();
  After(std::min(kLookAtRoutesMs, options_.rebalanceInterval), [this] { RebalanceEvery(); });
}

void GroupQueues::RebalanceSoon(int64_t ms) {
  {
    absl::MutexLock lock(&mu_);
    if (closed_ || (rebalance_is_due_ && ms > 0)) return;
    rebalance_is_due_ = true;
  }
  After(ms, [this] { Rebalance(); });
}

// A queue is not let go of yet.
void GroupQueues::RebalanceAgain() {
  int64_t pause_ms = 0;
  {
    absl::MutexLock lock(&mu_);
    if (closed_ || rebalance_is_due_) return;
    pause_ms = unbalanced_ms_;
    unbalanced_ms_ = std::min(2 * unbalanced_ms_, kUnbalancedMs);
  }
  RebalanceSoon(pause_ms);
}

void GroupQueues::Rebalance() {
  std::map<std::string, MessageSelector> topics;
  {
    absl::MutexLock lock(&mu_);
    rebalance_is_due_ = false;
    if (closed_) return;
    rebalanced_ms_ = NowMs();
    topics = subscription_;
  }
  // Where what this group's members failed on comes again.
  if (options_.retries) topics.emplace(retry_topic(), "*");
  for (const auto& [topic, expression] : topics) {
    instance_->routes()->Find(topic, [this, topic = topic, expression = expression](
                                         const absl::StatusOr<RouteCache::Route>& route) {
      RebalanceTopic(topic, expression, route);
    });
  }
}

std::optional<std::vector<MessageQueue>> GroupQueues::Share(
    const std::vector<MessageQueue>& queues) const {
  if (!clustering()) return queues;
  std::vector<MessageQueue> mine;
  const absl::Status ran =
      RunUserCode([&] { mine = strategy_->Allocate(instance_->client_id(), queues, members_); });
  if (ran.ok()) return mine;
  LOG(ERROR) << "the allocateMessageQueueStrategy of group " << options_.consumerGroup
             << " failed, this member keeps the queues that it has: " << raftmq::Message(ran);
  return std::nullopt;
}

void GroupQueues::RebalanceTopic(const std::string& topic, const MessageSelector& selector,
                                 const absl::StatusOr<RouteCache::Route>& route) {
  // Without an answer all stays as it is.
  if (!route.ok() && !absl::IsNotFound(route.status())) return;
  if (route.ok() && clustering() && topic != retry_topic()) WatchBrokersOf(**route);
  std::vector<MessageQueue> queues;
  if (route.ok()) {
    for (const BrokerRoute& broker : (*route)->brokers) {
      for (const int32_t id : broker.readable_queues) {
        queues.push_back({topic, broker.name, QueueId(id)});
      }
    }
  }
  std::sort(queues.begin(), queues.end(),
            [](const auto& a, const auto& b) { return KeyOf(a) < KeyOf(b); });
  std::map<std::string, std::vector<HeldPtr>> to_take;  // by broker
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    const bool known =
        std::find(members_.begin(), members_.end(), instance_->client_id()) != members_.end();
    if (clustering() && !known) return;
    const auto subscribed = subscription_.find(topic);
    if (topic != retry_topic() &&
        (subscribed == subscription_.end() || subscribed->second != selector)) {
      return;  // changed meanwhile
    }
    const std::optional<std::vector<MessageQueue>> share = Share(queues);
    if (!share.has_value()) return;
    const std::vector<MessageQueue>& mine = *share;
    std::vector<HeldPtr> to_leave;
    for (const auto& [key, held] : held_) {
      if (held->queue.topic != topic) continue;
      if (std::find(mine.begin(), mine.end(), held->queue) == mine.end() ||
          held->selector != selector) {
        to_leave.push_back(held);
      }
    }
    for (const HeldPtr& held : to_leave) Leave(held);
    for (const MessageQueue& queue : mine) {
      HeldPtr& held = held_[KeyOf(queue)];
      if (held != nullptr) continue;  // it stays, or is being left and taken again then
      held = std::make_shared<Held>();
      held->queue = queue;
      held->selector = selector;
      to_take[queue.broker_name].push_back(held);
    }
  }
  for (const auto& [broker, queues_there] : to_take) Take(topic, broker, queues_there);
}

// ---- Taking a queue

void GroupQueues::Take(const std::string& topic, const std::string& broker,
                       const std::vector<HeldPtr>& queues) {
  const int64_t asked_ms = NowMs();
  if (!clustering()) {
    for (const HeldPtr& held : queues) OnTaken(held, true, std::nullopt, asked_ms);
    return;
  }
  std::vector<QueueId> ids;
  for (const HeldPtr& held : queues) ids.push_back(held->queue.queue);
  calls_->LockQueues(topic, broker, ids, options_.lockLeaseMillis,
                     [this, queues, asked_ms](const absl::StatusOr<GroupCalls::Locked>& locked) {
                       LOG_IF(WARNING, !locked.ok() && !absl::IsCancelled(locked.status()))
                           << "queues of topic " << queues[0]->queue.topic << " at "
                           << queues[0]->queue.broker_name
                           << " could not be locked: " << locked.status();
                       for (const HeldPtr& held : queues) {
                         const bool mine = locked.ok() && locked->Has(held->queue.queue);
                         OnTaken(held, mine, mine ? locked->topic : std::nullopt, asked_ms);
                       }
                     });
}

void GroupQueues::OnTaken(const HeldPtr& held, bool locked, GroupCalls::TopicCreated topic,
                          int64_t asked_ms) {
  bool leaving = false;
  std::optional<QueueOffset> local;
  {
    absl::MutexLock lock(&mu_);
    if (!locked) {
      Forget(held);
    } else {
      held->locked_until_ms = asked_ms + options_.lockLeaseMillis;
      held->topic = topic;
      leaving = held->leaving;
      const auto it = local_offsets_.find(KeyOf(held->queue));
      if (it != local_offsets_.end()) local = it->second;
    }
  }
  if (!locked) return RebalanceAgain();
  if (leaving) return Depart(held);
  if (local.has_value()) return StartPulling(held, *local);
  auto at = [this, held](absl::StatusOr<QueueOffset> offset) {
    if (offset.ok()) return StartPulling(held, *offset);
    {
      absl::MutexLock lock(&mu_);
      Leave(held);
    }
    RebalanceAgain();
  };
  // Broadcasting, a new member begins with what comes from now on.
  if (!clustering()) return calls_->MaxOffset(held->queue, {}, std::move(at));
  calls_->CommittedOffset(
      held->queue, {},
      [this, held, at = std::move(at)](absl::StatusOr<std::optional<QueueOffset>> found) mutable {
        if (!found.ok()) return at(found.status());
        if (found->has_value()) return at(**found);
        calls_->MinOffset(held->queue, {}, std::move(at));
      });
}

void GroupQueues::StartPulling(const HeldPtr& held, QueueOffset offset) {
  QueuePullerOptions options;
  options.selector = held->selector;
  options.pullBatchSize = options_.pullBatchSize;
  options.brokerSuspendMaxTimeMillis = options_.brokerSuspendMaxTimeMillis;
  options.thresholds = options_.thresholds;
  options.read = options_.read;
  options.topic_created = held->topic;
  if (clustering()) {
    options.on_topic_gone = [this, weak = std::weak_ptr<Held>(held)] {
      if (const HeldPtr gone = weak.lock()) LeaveGone(gone);
    };
  }
  auto puller =
      std::make_shared<QueuePuller>(held->queue, std::move(options), offset, calls_.get(),
                                    instance_->timers(), [this, weak = std::weak_ptr<Held>(held)] {
                                      if (const HeldPtr arrived_at = weak.lock())
                                        OnMessages(arrived_at);
                                    });
  bool leaving = false;
  {
    absl::MutexLock lock(&mu_);
    if (held->gone) return;
    held->committed = offset;
    leaving = held->leaving;
    if (!leaving) held->puller = puller;
  }
  if (leaving) return Depart(held);
  puller->Pull();
}

// ---- Leaving a queue

void GroupQueues::Leave(const HeldPtr& held) {
  if (held->leaving || held->gone) return;
  held->leaving = true;
  if (held->puller == nullptr) {
    // Its lock or its offset is being asked for, which ends with Depart; unless that has failed.
    After(0, [this, held] {
      bool idle = false;
      {
        absl::MutexLock lock(&mu_);
        idle = held->locked_until_ms != 0 && held->running == 0;
      }
      if (idle) Depart(held);
    });
    return;
  }
  held->puller->Stop();
  if (held->running == 0) {
    After(0, [this, held] { Depart(held); });
  } else if (options_.max_leave_ms.has_value()) {
    After(*options_.max_leave_ms, [this, held] { Depart(held); });
  }
}

// It may be another's. What is in hand is finished, but not committed; then it is taken anew.
void GroupQueues::Lose(const HeldPtr& held) {
  if (!held->lost && !held->leaving) {
    LOG(WARNING) << "queue " << held->queue.queue << " of topic " << held->queue.topic << " at "
                 << held->queue.broker_name << " is taken anew: its lock was not renewed in time, "
                 << "or somebody moved the group's offset; what was consumed and not committed yet "
                 << "comes again";
  }
  held->lost = true;
  Leave(held);
}

// Its topic was deleted. If there is another of its name, its queues are taken anew: their offsets
// are others.
void GroupQueues::LeaveGone(const HeldPtr& held) {
  LOG(INFO) << "topic " << held->queue.topic << " of queue " << held->queue.queue << " at "
            << held->queue.broker_name << " was deleted";
  instance_->routes()->Doubt(held->queue.topic);
  absl::MutexLock lock(&mu_);
  Leave(held);
}

// Nothing of it is in hand any more, or it was for too long. What was not begun is the next
// owner's.
void GroupQueues::Depart(const HeldPtr& held) {
  std::optional<QueueOffset> offset;
  {
    absl::MutexLock lock(&mu_);
    if (held->departing || held->gone) return;
    held->departing = true;
    if (held->puller != nullptr) offset = held->puller->messages().commit_offset();
    if (!clustering()) {
      if (offset.has_value()) local_offsets_[KeyOf(held->queue)] = *offset;
      Forget(held);
      return;
    }
    if (offset == held->committed || held->lost) offset.reset();
  }
  auto let_go = [this, held] {
    calls_->LockQueues(held->queue.topic, held->queue.broker_name, {held->queue.queue}, 0,
                       [this, held](const absl::StatusOr<GroupCalls::Locked>&) {
                         {
                           absl::MutexLock lock(&mu_);
                           Forget(held);
                         }
                         RebalanceAgain();
                       });
  };
  if (!offset.has_value()) return let_go();
  calls_->UpdateOffset(held->queue, held->topic, *offset,
                       [held, let_go = std::move(let_go)](const absl::Status& status) {
                         LOG_IF(WARNING, !status.ok())
                             << "queue " << held->queue.queue << " of topic " << held->queue.topic
                             << ": its last messages will come again, their offset was not "
                             << "committed: " << status;
                         let_go();
                       });
}

void GroupQueues::Forget(const HeldPtr& held) {
  if (held->gone) return;
  held->gone = true;
  if (held->puller != nullptr) held->puller->Stop();
  const auto it = held_.find(KeyOf(held->queue));
  if (it != held_.end() && it->second == held) held_.erase(it);
}

// ---- Locks and offsets

void GroupQueues::RenewLocks() {
  std::map<std::pair<std::string, std::string>, std::vector<HeldPtr>> by_broker;
  {
    absl::MutexLock lock(&mu_);
    const int64_t now_ms = NowMs();
    std::vector<HeldPtr> over;
    for (const auto& [key, held] : held_) {
      // One that is being let go would be locked again by a renewal that overtakes that.
      if (held->locked_until_ms == 0 || held->departing) continue;
      if (now_ms >= held->locked_until_ms) {
        over.push_back(held);  // another may have had it since
      } else {
        by_broker[{held->queue.topic, held->queue.broker_name}].push_back(held);
      }
    }
    for (const HeldPtr& held : over) Lose(held);
  }
  for (auto& [where, queues] : by_broker) RenewAt(where.first, where.second, std::move(queues));
  After(options_.lockLeaseMillis / 3, [this] { RenewLocks(); });
}

void GroupQueues::RenewAt(const std::string& topic, const std::string& broker,
                          std::vector<HeldPtr> queues) {
  std::vector<QueueId> ids;
  for (const HeldPtr& held : queues) ids.push_back(held->queue.queue);
  const int64_t asked_ms = NowMs();
  calls_->LockQueues(
      topic, broker, ids, options_.lockLeaseMillis,
      [this, topic, queues = std::move(queues),
       asked_ms](const absl::StatusOr<GroupCalls::Locked>& locked) {
        const auto deleted = [&](const HeldPtr& held) {  // there may be another of its name
          return !locked.ok() || locked->topic != held->topic;
        };
        if (!locked.ok() && !absl::IsNotFound(locked.status())) return;  // the next time
        if (std::any_of(queues.begin(), queues.end(), deleted)) instance_->routes()->Doubt(topic);
        absl::MutexLock lock(&mu_);
        for (const HeldPtr& held : queues) {
          const bool mine = !deleted(held) && locked->Has(held->queue.queue);
          // An answer that comes after the end of the lock may have come after another's time.
          if (mine && NowMs() < held->locked_until_ms) {
            held->locked_until_ms =
                std::max(held->locked_until_ms, asked_ms + options_.lockLeaseMillis);
          } else if (!held->departing) {
            Lose(held);  // or an operator moved the group's offset
          }
        }
      });
}

void GroupQueues::CommitEvery() {
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
  }
  Commit();
  After(options_.persistConsumerOffsetInterval, [this] { CommitEvery(); });
}

std::vector<std::pair<GroupQueues::HeldPtr, QueueOffset>> GroupQueues::Moved() {
  std::vector<std::pair<HeldPtr, QueueOffset>> moved;
  for (const auto& [key, held] : held_) {
    if (held->puller == nullptr || held->leaving) continue;
    const QueueOffset offset = held->puller->messages().commit_offset();
    if (offset == held->committed || NowMs() >= held->locked_until_ms) continue;
    ++held->running;  // what it commits when it leaves comes after this
    moved.emplace_back(held, offset);
  }
  return moved;
}

void GroupQueues::CommitAt(const HeldPtr& held, QueueOffset offset,
                           absl::AnyInvocable<void(absl::Status)> done) {
  calls_->UpdateOffset(held->queue, held->topic, offset,
                       [this, held, offset, done = std::move(done)](absl::Status status) mutable {
                         {
                           absl::MutexLock lock(&mu_);
                           if (status.ok()) held->committed = offset;
                         }
                         EndRun(held);
                         done(std::move(status));
                       });
}

void GroupQueues::Commit() {
  if (clustering()) {
    std::vector<std::pair<HeldPtr, QueueOffset>> moved;
    {
      absl::MutexLock lock(&mu_);
      moved = Moved();
    }
    // What fails is committed the next time.
    for (const auto& [held, offset] : moved) CommitAt(held, offset, [](const absl::Status&) {});
    return;
  }
  OffsetFile::Offsets local;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [key, held] : held_) {
      if (held->puller == nullptr || held->leaving) continue;
      local_offsets_[key] = held->puller->messages().commit_offset();
    }
    local = local_offsets_;
  }
  const absl::Status written = offset_file_.Write(local);
  LOG_IF(WARNING, !written.ok()) << "offsets of group " << options_.consumerGroup
                                 << " were not kept: " << written;
}

}  // namespace raftmq::client
