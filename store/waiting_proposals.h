// Proposals about messages that wait: recall, the end of a transaction, checks.
#pragma once

#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/settlement.h"
#include "store/store_context.h"
#include "store/waiting_messages.h"

namespace raftmq::store {

// Runs `then` with OK once the message that waits at `position` is applied on this member, which
// leads: a client may name it as soon as it is committed. kMessageNotFound: none was logged there.
void WhenWaitingApplied(StoreContext* context, LogPosition position,
                        absl::AnyInvocable<void(absl::Status)> then);

// Ends the timer by itself. REQUIRES: WhenWaitingApplied.
void StartRecall(StoreContext* context, const TimerRef& timer, WaitingMessages::DoneCallback done);

// What is to be done so that a transaction ends as it was asked to.
enum class TransactionStep {
  kNone,    // it is ended so
  kCommit,  // it is open: read its record and commit it
};
// Rolls it back; or tells what a commit needs. REQUIRES: WhenWaitingApplied.
using StepCallback = absl::AnyInvocable<void(absl::StatusOr<TransactionStep>)>;
void StartEndTransaction(StoreContext* context, const HalfRef& half, bool commit,
                         StepCallback done);

void StartSetChecks(StoreContext* context, std::vector<OpenTransaction> transactions,
                    WaitingMessages::CheckedCallback done);

}  // namespace raftmq::store
