// LeaderRouter: takes a call that needs the leader to where the leader is, from any member.
//
// If this member leads, the call is carried out here; else it is forwarded, once, with a shortened
// deadline. While no leader is known, or the one believed to lead says that it does not, the call
// waits, bounded in number, until half a second before its deadline; then it is refused as busy
// with the reason (official clients spend their immediate retries on any other error). A call that
// was forwarded to a member that leads, but does not serve yet, waits there: the others would only
// send it again. A forwarded call that broke is repeated if that is safe; a send's outcome is then
// unknown, which has a code of its own.
//
// Thread-safe.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/strings.h"
#include "base/task_runner.h"
#include "broker/leader_calls.h"
#include "broker/status_mapping.h"
#include "dledger/ledger.h"
#include "store/reason.h"

namespace raftmq::broker {

struct LeaderRouterOptions {
  size_t max_parked = 20'000;
  int64_t retry_ms = 20;           // between looks at parked calls, besides changes of the leader
  int64_t answer_early_ms = 500;   // before the caller's deadline
  int64_t forward_early_ms = 200;  // a forwarded call's deadline before the caller's
  int64_t default_timeout_ms = 3'000;          // of a call without a deadline
  int64_t default_stream_timeout_ms = 23'000;  // of a receive without one
  int64_t closing_ms = 1'000;                  // for the next leader to take what this one had
};

class LeaderRouter {
 public:
  // `peers` may be null for a group of one. All outlive it.
  LeaderRouter(LeaderRouterOptions options, dledger::Ledger* ledger, LocalLeader* local,
               PeerClient* peers, Clock* clock, TaskRunner* timer)
      : options_(options),
        ledger_(ledger),
        local_(local),
        peers_(peers),
        clock_(clock),
        timer_(timer) {}

  // Takes over the call: it will be ended.
  template <typename Call>
  void Route(Call* call) {
    const std::shared_ptr<const dledger::LedgerStatus> status = ledger_->Status();
    if (Leads(*status)) {
      local_->Execute(call);
      return;
    }
    if (status->role == dledger::Role::kLeader) {
      Park(call, "this member leads and has not applied all that was there before its term");
      return;
    }
    if (call->context().forwarded) {
      call->Fail(NotLeaderHere(*status));
      return;
    }
    const std::string address = peers_ == nullptr ? "" : LeaderAddress(*status);
    if (address.empty()) {
      Park(call, "no leader is known");
      return;
    }
    peers_->Forward(address, DeadlineOf(call) - options_.forward_early_ms, call,
                    [this, call](PeerResult result) { OnForwarded(call, result); });
  }

  // The store says IsForAnotherMember after all.
  template <typename Call>
  void NotLeader(Call* call) {
    if (call->context().forwarded) {
      call->Fail(NotLeaderHere(*ledger_->Status()));
    } else {
      Park(call, "this member no longer leads");
    }
  }

  // Role, leader or serving changed. Not on a thread that must not block.
  void OnStatusChange();

  // For shutting down, when this member leads no more: what is parked goes to the leader that is
  // known now; that, and all that comes later, may wait for it for closing_ms. What knows no leader
  // is refused.
  void Close();

  // What a member answers to a forwarded call when it does not lead; PeerClient knows it again.
  static absl::Status NotLeaderHere(const dledger::LedgerStatus& status);
  static bool IsNotLeaderHere(const absl::Status& status);

  // Whether the store certainly did nothing because this member does not lead, or stops: another
  // member can.
  static bool IsForAnotherMember(const absl::Status& status) {
    const std::optional<store::Reason> reason = store::ReasonOf(status);
    return reason == store::Reason::kNotLeader || reason == store::Reason::kStopped;
  }

  static bool Leads(const dledger::LedgerStatus& status) {
    return status.role == dledger::Role::kLeader && status.serving;
  }
  // How long calls that were forwarded to `old_leader` may go on after another member was found to
  // lead. One that handed over still answers what it has logged, and soon; one whose connection is
  // gone never will.
  static int64_t BreakOffDelayMs(const dledger::LedgerStatus& status,
                                 const std::string& old_leader);

  // Where the leader serves clients; "" if that is not known, or it is this member.
  static std::string LeaderAddress(const dledger::LedgerStatus& status);

  size_t parked() const;

 private:
  struct Parked {
    int64_t give_up_ms = 0;
    bool forwarded = false;  // waits for this member only
    absl::AnyInvocable<void()> retry;
    absl::AnyInvocable<void(const absl::Status&)> refuse;
    std::string why;
  };

  template <typename Call>
  int64_t DeadlineOf(Call* call) const {
    constexpr bool stream = std::is_same_v<Call, ReceiveMessageCall>;
    const int64_t longest_ms =
        clock_->MonotonicMillis() +
        (stream ? options_.default_stream_timeout_ms : options_.default_timeout_ms);
    return call->context().deadline_ms == kNoDeadline ? longest_ms : call->context().deadline_ms;
  }

  template <typename Call>
  void Park(Call* call, std::string why) {
    ++call->attempts;
    ParkOne(Parked{DeadlineOf(call) - options_.answer_early_ms, call->context().forwarded,
                   [this, call] { Route(call); },
                   [call](const absl::Status& status) { FinishWithError(call, status); },
                   std::move(why)});
  }

  template <typename Call>
  void OnForwarded(Call* call, const PeerResult& result) {
    switch (result.kind) {
      case PeerResult::Kind::kAnswered:
        // A stream was ended by what passed its responses on.
        if constexpr (!std::is_same_v<Call, ReceiveMessageCall>) call->Finish();
        return;
      case PeerResult::Kind::kRefused:
        call->Fail(result.status);
        return;
      case PeerResult::Kind::kNotLeader:
        Park(call, StrCat("the leader could not take the call: ", Message(result.status)));
        return;
      case PeerResult::Kind::kBroken:
        break;
    }
    if constexpr (kSafeToRepeat<Call>) {
      Park(call, StrCat("the leader's connection broke: ", Message(result.status)));
    } else {
      FinishWithError(call, store::Refuse(store::Reason::kUnknownOutcome,
                                          StrCat("the leader was lost before it answered: it is "
                                                 "not known whether the request took effect: ",
                                                 Message(result.status))));
    }
  }

  void ParkOne(Parked parked);
  void Look();
  void ScheduleLook() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const LeaderRouterOptions options_;
  dledger::Ledger* const ledger_;
  LocalLeader* const local_;
  PeerClient* const peers_;
  Clock* const clock_;
  TaskRunner* const timer_;

  mutable absl::Mutex mutex_;
  std::vector<Parked> parked_ ABSL_GUARDED_BY(mutex_);
  bool look_scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t closing_until_ms_ ABSL_GUARDED_BY(mutex_) = 0;  // monotonic
};

}  // namespace raftmq::broker
