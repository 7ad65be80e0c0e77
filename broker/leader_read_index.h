// LeaderReadIndex: what a ReadBarrier stands on: the leader, wherever it is, and this member's
// store.
//
// Thread-safe, as those are; they outlive it.
#pragma once

#include <utility>

#include "broker/forwarding.h"
#include "broker/internal_call.h"
#include "broker/read_barrier.h"
#include "store/log_message_store.h"

namespace raftmq::broker {

class LeaderReadIndex final : public ReadBarrier::Source {
 public:
  LeaderReadIndex(LeaderRouter* router, store::LogMessageStore* store)
      : router_(router), store_(store) {}

  // Takes a call's way to the leader: while there is none, it waits there.
  void ReadIndex(const CallContext& context,
                 absl::AnyInvocable<void(absl::StatusOr<LogIndex>)> done) override {
    using Call = InternalUnary<adm::ReadIndexRequest, adm::ReadIndexResponse>;
    router_->Route(
        Call::Make(context, {},
                   [done = std::move(done)](const absl::Status& status,
                                            const adm::ReadIndexResponse& answer) mutable {
                     if (!status.ok()) return done(status);
                     done(LogIndex(answer.index()));
                   }));
  }
  LogIndex Applied() const override { return store_->AppliedIndex(); }
  void WhenApplied(LogIndex index, ReadBarrier::Done done) override {
    store_->WhenApplied(index, std::move(done));
  }

 private:
  LeaderRouter* const router_;
  store::LogMessageStore* const store_;
};

}  // namespace raftmq::broker
