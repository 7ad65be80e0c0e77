// LogRetention: Retention over a replicated log.
//
// One Expire: the read runner finds the new minimum, the first offset of each queue from there on,
// and what is pending below it; then Retain commands are proposed one after the other: those that
// keep records (so many bytes each that applying one never takes long), those that move queues, the
// last of which moves the position. Each queue's leases are looked at again in Decide. Where topics
// have a reserve time of their own the position stays, and only queues move.
#pragma once

#include <atomic>
#include <functional>

#include "base/ids.h"
#include "store/retention.h"
#include "store/store_context.h"

namespace raftmq::store {

class LogRetention final : public Retention {
 public:
  // `missed`: Dispatcher::missed_messages. `context` outlives the calls.
  LogRetention(StoreContext* context, std::function<int64_t()> missed)
      : context_(context), missed_(std::move(missed)) {}

  void Expire(Limits limits, ExpireCallback done) override;
  Counters counters() const override;

 private:
  class Run;
  class Step;

  // How old what lies before a boundary is; never changes, and costs a look at every queue.
  struct Age {
    LogPosition boundary{-1};
    int64_t newest_ms = 0;
  };

  StoreContext* const context_;
  const std::function<int64_t()> missed_;
  std::atomic<bool> running_{false};
  Age age_;  // of the run's
};

}  // namespace raftmq::store
