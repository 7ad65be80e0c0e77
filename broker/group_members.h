// GroupMembers: who is in each consumer group of the classic model, and telling all of them when
// that changes (RocketMQ: ConsumerManager, notifyConsumerIdsChanged). Lives on the leader.
//
// A member is whoever watches, and goes on sending heartbeats. When its stream ends it has a moment
// to come back before it counts as gone; when it says goodbye it has not. A new leader counts, at
// first, also those that it knows from heartbeats: they are about to come.
//
// Soft state. Thread-safe; a Watcher's methods are called under its lock, and must not block or
// call back.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "broker/client_registry.h"

namespace raftmq::broker {

class GroupMembers {
 public:
  struct Options {
    int64_t grace_ms = 1'000;   // from the end of a stream
    int64_t settle_ms = 5'000;  // from the beginning of leadership
  };

  // One member's stream.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void Tell(const std::vector<std::string>& client_ids) = 0;
    // Last call.
    virtual void End(const absl::Status& status) = 0;
  };
  using WatchId = uint64_t;

  // Both outlive it.
  GroupMembers(Options options, const ClientRegistry* clients, Clock* clock)
      : options_(options), clients_(clients), clock_(clock) {}

  // Leadership began, or ended: then all watchers end with UNAVAILABLE.
  void SetLeading(bool leading);

  // The client is a member from now on; it and the others are told. An earlier watch of the same
  // client ends. 0: this member does not lead; End was called.
  WatchId Watch(const std::string& group, const std::string& client_id,
                std::unique_ptr<Watcher> watcher);
  // The stream is over. False: End was called, or is being called.
  bool Unwatch(WatchId id);

  // Tells of those that fell silent or went. To be called a few times a second.
  void Tick();

  std::vector<std::string> Members(const std::string& group) const;

 private:
  struct Watching {
    std::string client_id;
    std::unique_ptr<Watcher> watcher;
    bool told_any = false;
    std::vector<std::string> told;
  };
  struct Group {
    std::map<WatchId, Watching> watches;
    std::map<std::string, int64_t> left_ms;  // by client: when its stream ended
  };

  std::vector<std::string> MembersOf(const std::string& name, const Group& group) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void TellAll(const std::string& name, Group* group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const ClientRegistry* const clients_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  bool leading_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t leads_since_ms_ ABSL_GUARDED_BY(mutex_) = 0;
  WatchId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<std::string, Group> groups_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<WatchId, std::string> group_of_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::broker
