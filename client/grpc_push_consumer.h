// PushConsumer::Impl. Its parts: push_consumer.cc (life, listeners), push_consumer_queues.cc (which
// queues it has). For sources of client/ only: it includes gRPC.
//
// State is under one lock, which no listener, call or disk is waited for with. Callbacks come on
// the instance's threads. A queue's life: wanted → locked → its offset is read → pulled and
// consumed → leaving: what a listener has in hand is finished, the offset committed, the lock let
// go → gone.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "client/consume_pool.h"
#include "client/grpc_client_instance.h"
#include "client/grpc_group_calls.h"
#include "client/offset_file.h"
#include "client/push_consumer.h"
#include "client/queue_puller.h"

namespace raftmq::client {

class PushConsumer::Impl {
 public:
  Impl(PushConsumerOptions options, std::unique_ptr<ClientInstance> instance,
       OffsetFile::Offsets offsets, std::string offset_path);
  ~Impl();

  // InvalidArgument: a broker refuses an expression of the subscription.
  absl::Status CheckSelectors();
  void Begin();
  absl::Status Subscribe(const std::string& topic, const MessageSelector& selector);
  void Unsubscribe(const std::string& topic);
  absl::Status UpdateCorePoolSize(int threads);
  void SetSuspended(bool suspended);
  std::vector<MessageQueue> AssignedQueues() const;
  const std::string& client_id() const { return instance_->client_id(); }

 private:
  // InvalidArgument: a broker refuses the expression. Waits for it.
  absl::Status CheckSelector(const std::string& topic, const MessageSelector& selector);

  // Before a queue that another still holds is asked for again: at first, and in the end.
  static constexpr int64_t kFirstUnbalancedMs = 50;
  static constexpr int64_t kUnbalancedMs = 500;

  using Key = std::tuple<std::string, std::string, int32_t>;  // topic, broker, queue
  static Key KeyOf(const MessageQueue& q) { return {q.topic, q.broker_name, q.queue.value()}; }

  // A queue that is this member's, or about to be, or not quite any more. Under the lock.
  struct Held {
    MessageQueue queue;
    MessageSelector selector;
    std::shared_ptr<QueuePuller> puller;  // null until the queue's offset is known
    int64_t locked_until_ms = 0;          // monotonic; 0: not locked
    bool leaving = false;
    bool lost = false;       // the broker took the lock back: what is in hand is not committed
    bool departing = false;  // its last calls are under way
    bool gone = false;       // not in held_ any more
    int running = 0;         // batches in hand or waiting for a thread, and commits under way
    std::optional<QueueOffset> committed;
    QueueOffset begun_end;  // one past the highest offset that a concurrent listener was given
    // Orderly.
    bool scheduled = false;  // a batch or a pause is under way
    std::map<QueueOffset, int32_t> failures;
    std::vector<ReceivedMessage> uncommitted;
  };
  using HeldPtr = std::shared_ptr<Held>;
  using Batch = std::vector<ReceivedMessage>;
  // What a concurrent listener has now.
  struct InHand {
    HeldPtr held;
    const Batch* batch = nullptr;
    int64_t until_ms = 0;  // monotonic
    bool overdue = false;
  };

  // Who is in the group, as one broker group tells it.
  struct GroupWatch {
    std::string topic;  // by whose route the broker is found
    uint64_t id = 0;    // of the latest stream; what earlier ones tell does not count
    size_t tries = 0;   // since it last told something
    std::optional<std::vector<std::string>> members;  // while a stream tells
  };

  bool clustering() const { return options_.messageModel == MessageModel::kClustering; }
  std::string retry_topic() const { return "%RETRY%" + options_.consumerGroup; }
  static int64_t NowMs() { return SystemClock()->MonotonicMillis(); }
  void After(int64_t ms, absl::AnyInvocable<void()> task);

  // ---- Consuming (push_consumer.cc)
  bool MayConsume(const Held& held) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool MayFinish(const Held& held, const Batch& batch) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Dispatch(const HeldPtr& held);
  void DispatchAll();
  void ConsumeConcurrently(const HeldPtr& held, Batch batch);
  void LogFailedListener(const Batch& batch, const absl::Status& ran) const;
  void SendBackOverdue();
  void SendBack(const HeldPtr& held, ReceivedMessage message, int32_t delay_level);
  void ConsumeOrderly(const HeldPtr& held);
  // One batch; how long to pause then, none: go on.
  std::optional<int64_t> ConsumeOneOrderly(const HeldPtr& held, Batch batch);
  std::optional<int64_t> FailOrderly(const HeldPtr& held, Batch batch, int64_t pause_ms);
  bool GiveUp(const HeldPtr& held, const ReceivedMessage& message);
  void EndOrderly(const HeldPtr& held, std::optional<int64_t> pause_ms);
  void EndRun(const HeldPtr& held);

  // ---- Queues (push_consumer_queues.cc)
  void WatchBrokersOf(const TopicRoute& route);
  void Watch(const std::string& broker);
  void OnWatchEnded(const std::string& broker, uint64_t id, const absl::Status& ended);
  void JoinMembers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RebalanceEvery();
  void RebalanceSoon(int64_t ms);
  void RebalanceAgain();
  void Rebalance();
  void RebalanceTopic(const std::string& topic, const MessageSelector& selector,
                      const absl::StatusOr<RouteCache::Route>& route);
  // None: the strategy failed.
  std::optional<std::vector<MessageQueue>> Share(const std::vector<MessageQueue>& queues) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Take(const std::string& topic, const std::string& broker,
            const std::vector<HeldPtr>& queues);
  void OnTaken(const HeldPtr& held, bool locked, int64_t asked_ms);
  void StartPulling(const HeldPtr& held, QueueOffset offset);
  void Leave(const HeldPtr& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Lose(const HeldPtr& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Depart(const HeldPtr& held);
  void Forget(const HeldPtr& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RenewLocks();
  void RenewAt(const std::string& topic, const std::string& broker, std::vector<HeldPtr> queues);
  void CommitEvery();
  void Commit();
  std::string RoutesSeen() const;

  const PushConsumerOptions options_;
  const AllocateStrategy strategy_;
  const OffsetFile offset_file_;
  std::unique_ptr<ClientInstance> owned_instance_;
  ClientInstance* const instance_;  // the same; tasks use it while it is being ended
  mutable absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool suspended_ ABSL_GUARDED_BY(mu_) = false;
  bool rebalance_is_due_ ABSL_GUARDED_BY(mu_) = false;
  int64_t rebalanced_ms_ ABSL_GUARDED_BY(mu_) = 0;
  std::string routes_seen_ ABSL_GUARDED_BY(mu_);
  int64_t unbalanced_ms_ ABSL_GUARDED_BY(mu_) = kFirstUnbalancedMs;  // of RebalanceAgain
  uint64_t watches_begun_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, GroupWatch> watches_ ABSL_GUARDED_BY(mu_);  // by broker
  std::map<std::string, MessageSelector> subscription_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> members_ ABSL_GUARDED_BY(mu_);  // empty: not told yet
  std::map<Key, HeldPtr> held_ ABSL_GUARDED_BY(mu_);
  uint64_t batches_begun_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, InHand> in_hand_ ABSL_GUARDED_BY(mu_);
  OffsetFile::Offsets local_offsets_ ABSL_GUARDED_BY(mu_);  // broadcasting
  std::unique_ptr<GroupCalls> calls_;
  std::unique_ptr<ConsumePool> pool_;
};

}  // namespace raftmq::client
