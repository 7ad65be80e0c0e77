// GroupQueues: a member of a consumer group, as far as its queues go: it watches who else is in the
// group, shares the queues, locks them at the broker, pulls from them, commits how far they are
// consumed, and hands them over. What is done with the messages is its derived class's: a push
// consumer's listener, or a pull consumer's Poll. For sources of client/ only: it includes gRPC.
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
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "client/allocate_strategy.h"
#include "client/grpc_client_instance.h"
#include "client/grpc_group_calls.h"
#include "client/offset_file.h"
#include "client/queue_puller.h"

namespace raftmq::client {

// As the consumers' options of the same names.
struct GroupQueuesOptions {
  std::string consumerGroup;
  std::map<std::string, MessageSelector> subscription;  // at first
  bool clustering = true;                               // else every member has all queues
  bool retries = false;                                 // the group's retry topic is consumed, too
  AllocateStrategy allocateMessageQueueStrategy;        // null: averagely
  int32_t pullBatchSize = 32;
  int64_t brokerSuspendMaxTimeMillis = 15'000;
  ProcessQueue::Thresholds thresholds;
  ReadOptions read;  // of pulls
  int64_t persistConsumerOffsetInterval = 5'000;
  int64_t rebalanceInterval = 20'000;
  int64_t lockLeaseMillis = 10'000;
  int64_t requestTimeout = 3'000;
  // A queue is let go of after that long, whatever is in hand of it. None: that is waited for.
  std::optional<int64_t> max_leave_ms;
  std::string offset_path;  // not clustering: of the member's offsets
};

class GroupQueues {
 public:
  virtual ~GroupQueues() = default;

  // InvalidArgument: a broker refuses an expression of the subscription.
  absl::Status CheckSelectors();
  void Begin();
  absl::Status Subscribe(const std::string& topic, const MessageSelector& selector);
  void Unsubscribe(const std::string& topic);
  std::vector<MessageQueue> AssignedQueues() const;
  const std::string& client_id() const { return instance_->client_id(); }

 protected:
  // `offsets`: the member's own, unless clustering. Who derives from it calls LeaveAll and Close
  // before it goes: OnMessages comes until then.
  GroupQueues(GroupQueuesOptions options, std::unique_ptr<ClientInstance> instance,
              OffsetFile::Offsets offsets);

  using Key = std::tuple<std::string, std::string, int32_t>;  // topic, broker, queue
  static Key KeyOf(const MessageQueue& q) { return {q.topic, q.broker_name, q.queue.value()}; }

  // A queue that is this member's, or about to be, or not quite any more. Under the lock.
  struct Held {
    MessageQueue queue;
    MessageSelector selector;
    std::shared_ptr<QueuePuller> puller;  // null until the queue's offset is known
    int64_t locked_until_ms = 0;          // monotonic; 0: not locked
    GroupCalls::TopicCreated topic;       // it is a queue of; since it was locked
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

  bool clustering() const { return options_.clustering; }
  static int64_t NowMs() { return SystemClock()->MonotonicMillis(); }
  void After(int64_t ms, absl::AnyInvocable<void()> task);

  // Messages came to a queue.
  virtual void OnMessages(const HeldPtr& held) = 0;

  // Whether messages of it may be consumed.
  bool Mine(const Held& held) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // A batch that was in hand is over.
  void EndRun(const HeldPtr& held);
  void RebalanceSoon(int64_t ms);
  // Waits for what is in hand, commits, and lets go of all queues.
  void LeaveAll();
  // Ends all calls, tasks and answers.
  void Close();
  // Begins to commit what is done.
  void Commit();
  // What there is to commit. Each counts as in hand, until CommitAt has ended.
  std::vector<std::pair<HeldPtr, QueueOffset>> Moved() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CommitAt(const HeldPtr& held, QueueOffset offset,
                absl::AnyInvocable<void(absl::Status)> done);

 private:
  // Before a queue that another still holds is asked for again: at first, and in the end.
  static constexpr int64_t kFirstUnbalancedMs = 50;
  static constexpr int64_t kUnbalancedMs = 500;

  // Who is in the group, as one broker group tells it.
  struct GroupWatch {
    std::string topic;  // by whose route the broker is found
    uint64_t id = 0;    // of the latest stream; what earlier ones tell does not count
    size_t tries = 0;   // since it last told something
    std::optional<std::vector<std::string>> members;  // while a stream tells
  };

  std::string retry_topic() const { return "%RETRY%" + options_.consumerGroup; }
  // InvalidArgument: a broker refuses the expression. Waits for it.
  absl::Status CheckSelector(const std::string& topic, const MessageSelector& selector);
  void WatchBrokersOf(const TopicRoute& route);
  void Watch(const std::string& broker);
  void OnWatchEnded(const std::string& broker, uint64_t id, const absl::Status& ended);
  void JoinMembers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RebalanceEvery();
  void RebalanceAgain();
  void Rebalance();
  void RebalanceTopic(const std::string& topic, const MessageSelector& selector,
                      const absl::StatusOr<RouteCache::Route>& route);
  // None: the strategy failed.
  std::optional<std::vector<MessageQueue>> Share(const std::vector<MessageQueue>& queues) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Take(const std::string& topic, const std::string& broker,
            const std::vector<HeldPtr>& queues);
  void OnTaken(const HeldPtr& held, bool locked, GroupCalls::TopicCreated topic, int64_t asked_ms);
  void StartPulling(const HeldPtr& held, QueueOffset offset);
  void Leave(const HeldPtr& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Lose(const HeldPtr& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveGone(const HeldPtr& held);
  void Depart(const HeldPtr& held);
  void Forget(const HeldPtr& held) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RenewLocks();
  void RenewAt(const std::string& topic, const std::string& broker, std::vector<HeldPtr> queues);
  void CommitEvery();
  std::string RoutesSeen() const;

  const GroupQueuesOptions options_;
  const AllocateStrategy strategy_;
  std::unique_ptr<ClientInstance> owned_instance_;

 protected:
  ClientInstance* const instance_;  // the same; tasks use it while it is being ended
  mutable absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::map<Key, HeldPtr> held_ ABSL_GUARDED_BY(mu_);

 private:
  bool rebalance_is_due_ ABSL_GUARDED_BY(mu_) = false;
  int64_t rebalanced_ms_ ABSL_GUARDED_BY(mu_) = 0;
  std::string routes_seen_ ABSL_GUARDED_BY(mu_);
  int64_t unbalanced_ms_ ABSL_GUARDED_BY(mu_) = kFirstUnbalancedMs;  // of RebalanceAgain
  uint64_t watches_begun_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, GroupWatch> watches_ ABSL_GUARDED_BY(mu_);  // by broker
  std::map<std::string, MessageSelector> subscription_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> members_ ABSL_GUARDED_BY(mu_);  // empty: not told yet

 protected:
  std::unique_ptr<GroupCalls> calls_;

 private:
  const OffsetFile offset_file_;
  OffsetFile::Offsets local_offsets_ ABSL_GUARDED_BY(mu_);  // not clustering
};

}  // namespace raftmq::client
