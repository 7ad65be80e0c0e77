// Renewals: keeps the leases of messages that a push consumer is working on, so that a slow handler
// is not given its message twice. No official client renews by itself.
//
// The member that wrote a message to a client renews its lease while that client is alive, for
// three hours at most. It stops when it has seen the message acked, given back or dead-lettered,
// when the renewal is refused (that happened through another member: the lease is gone, or has
// another end than the last renewal gave it), and when the client falls silent or says goodbye. If
// this member dies nobody renews, and the message is given out again; so it is after a renewal
// whose outcome was lost with a leader.
//
// Thread-safe. Bounded: what is over the bound is not renewed, which is logged, and is given out
// again when its lease ends.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/task_runner.h"

namespace raftmq::broker {

class Renewals {
 public:
  struct Options {
    size_t max_leases = 1'000'000;
    int64_t scan_ms = 1'000;
    // A lease is renewed when less than this is left of it, to `extend_ms` from then.
    int64_t renew_before_ms = 20'000;
    int64_t extend_ms = 60'000;
    int64_t max_total_ms = 3 * 3'600'000;

    // For leases that are granted for `lease_ms`: each renewal gives as much again, when a third is
    // left.
    static Options ForLeasesOf(int64_t lease_ms);
  };
  struct Lease {
    std::string client_id;
    std::string group;
    std::string topic;
    std::string handle;
    std::string message_id;
  };
  // Extends a lease through the leader; `done` gets the handle to extend it with the next time, or
  // why not: a refusal of the handle ends the renewals, anything else is tried again at the next
  // scan.
  using Done = absl::AnyInvocable<void(const absl::StatusOr<std::string>&)>;
  using Extend = std::function<void(const Lease&, int64_t extend_ms, Done done)>;
  using IsAlive = std::function<bool(const std::string& client_id)>;

  Renewals(Options options, Clock* clock, TaskRunner* timer, Extend extend, IsAlive is_alive);

  // The lease was written to the client and ends `invisible_ms` from now.
  void Add(Lease lease, int64_t invisible_ms);
  // Its message was acked, given back or dead-lettered. `handle` is the one given to Add.
  void Remove(const std::string& handle);
  // The client said goodbye.
  void RemoveClient(const std::string& client_id);

  // The handle given to Add for that message of the client's, "" if it is not renewed here. Looks
  // at all of them.
  std::string FindHandle(const std::string& client_id, const std::string& group,
                         const std::string& topic, const std::string& message_id) const;

  size_t size() const;

 private:
  struct Entry {
    Lease lease;
    int64_t began_ms = 0;
    int64_t ends_ms = 0;
    int64_t due_ms = 0;  // its place in by_due_
  };

  void ScheduleScan() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Scan();
  void OnExtended(const std::string& handle, int64_t ends_ms,
                  const absl::StatusOr<std::string>& next_handle);
  void Erase(const std::string& handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Clock* const clock_;
  TaskRunner* const timer_;
  const Extend extend_;
  const IsAlive is_alive_;

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);  // by its first handle
  std::multimap<int64_t, std::string> by_due_ ABSL_GUARDED_BY(mutex_);
  bool scan_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace raftmq::broker
