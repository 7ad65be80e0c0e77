#include "store/waiting_proposals.h"

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/strings.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

using dledger::Proposal;
using dledger::ProposalOutcome;
using dledger::ProposalWriter;

// What a leader refuses by what is logged and not committed, or by what its log lacks, might be
// otherwise in the log of a newer leader that it has not heard of. Such refusals below are told
// only once this leader has committed what they rest on.

// Learns whether something that waits was logged at the position, and ends when that is committed.
class AwaitProposal final : public Proposal {
 public:
  AwaitProposal(StoreContext* context, LogPosition position,
                absl::AnyInvocable<void(absl::Status)> then)
      : context_(context), position_(position), then_(std::move(then)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    // Of earlier terms all is applied before a leader decides.
    found_ = position_ <= view.last_waiting() || position_ < context_->applied.end();
    if (found_) return absl::OkStatus();
    return view.Log(CheckTransactions{}, writer);  // of nothing: if it commits, we do lead
  }

  void Done(const ProposalOutcome& outcome) override {
    auto finish = [context = context_, then = std::move(then_)](absl::Status status) mutable {
      context->pending_endings.fetch_sub(1, std::memory_order_relaxed);
      then(std::move(status));
    };
    if (!outcome.status.ok()) {
      return finish(StatusOf(outcome, "looking for a message that waits"));
    }
    if (!found_) {
      return finish(
          Refuse(Reason::kMessageNotFound, StrCat("no message waits at log position ", position_)));
    }
    context_->applied.WhenAppliedTo(position_ + 1, std::move(finish));
  }

 private:
  StoreContext* const context_;
  const LogPosition position_;
  absl::AnyInvocable<void(absl::Status)> then_;
  bool found_ = false;
};

class RecallProposal final : public Proposal {
 public:
  RecallProposal(StoreContext* context, const TimerRef& timer, WaitingMessages::DoneCallback done)
      : context_(context), timer_(timer), done_(std::move(done)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    const bool open = context_->applied.Read(
        [&](const BrokerState& applied) { return view.IsOpen(timer_, applied); });
    if (open) return view.Log(Settle{timer_}, writer);
    refusal_ = Refuse(Reason::kMessageNotFound,
                      StrCat("the delayed message at log position ", timer_.position,
                             " waits no more: it was delivered or recalled already"));
    return absl::OkStatus();
  }

  void Done(const ProposalOutcome& outcome) override {
    done_(outcome.status.ok() ? refusal_ : StatusOf(outcome, "recall of a delayed message"));
  }

 private:
  StoreContext* const context_;
  const TimerRef timer_;
  absl::Status refusal_;
  WaitingMessages::DoneCallback done_;
};

std::string_view EndName(TransactionEnd end) {
  switch (end) {
    case TransactionEnd::kCommitted:
      return "committed";
    case TransactionEnd::kRolledBack:
      return "rolled back";
    case TransactionEnd::kExpired:
      return "given up, since its producers were asked too often,";
  }
  return "ended";
}

class EndTransactionProposal final : public Proposal {
 public:
  EndTransactionProposal(StoreContext* context, const HalfRef& half, bool commit, StepCallback done)
      : context_(context), half_(half), commit_(commit), done_(std::move(done)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    bool open = false;
    std::optional<TransactionEnd> end;
    context_->applied.Read([&](const BrokerState& applied) {
      open = view.IsOpen(half_, applied);
      end = view.FindEnd(half_.position, applied);
    });
    if (open) {
      if (!commit_) return view.Log(Settle{half_}, writer);
      step_ = TransactionStep::kCommit;
      return absl::OkStatus();
    }
    if (end == (commit_ ? TransactionEnd::kCommitted : TransactionEnd::kRolledBack)) {
      return absl::OkStatus();  // answered when that is committed
    }
    refusal_ = Contradiction(end);
    return absl::OkStatus();
  }

  void Done(const ProposalOutcome& outcome) override {
    if (!outcome.status.ok()) {
      done_(StatusOf(outcome, "end of a transaction"));
    } else if (!refusal_.ok()) {
      done_(refusal_);
    } else {
      done_(step_);
    }
  }

 private:
  absl::Status Contradiction(std::optional<TransactionEnd> end) const {
    const std::string_view asked = commit_ ? "commit" : "rollback";
    if (!end.has_value()) {
      return Refuse(Reason::kMessageNotFound,
                    StrCat(asked, " of the transaction at log position ", half_.position,
                           ": there is none; it may have ended too long ago to be remembered"));
    }
    const std::string text = StrCat(asked, " of the transaction at log position ", half_.position,
                                    ": it was ", EndName(*end), " already");
    LOG(WARNING) << text;
    return Refuse(
        *end == TransactionEnd::kExpired ? Reason::kMessageNotFound : Reason::kInvalidTransactionId,
        text);
  }

  StoreContext* const context_;
  const HalfRef half_;
  const bool commit_;
  TransactionStep step_ = TransactionStep::kNone;
  absl::Status refusal_;
  StepCallback done_;
};

class SetChecksProposal final : public Proposal {
 public:
  SetChecksProposal(StoreContext* context, std::vector<OpenTransaction> transactions,
                    WaitingMessages::CheckedCallback done)
      : context_(context), transactions_(std::move(transactions)), done_(std::move(done)) {}

  absl::Status Decide(ProposalWriter& writer) override {
    LeaderView& view = context_->view();
    CheckTransactions command;
    context_->applied.Read([&](const BrokerState& applied) {
      for (const OpenTransaction& transaction : transactions_) {
        if (!view.IsOpen(HalfRef{transaction.position}, applied)) continue;
        command.items.push_back(
            {transaction.position, transaction.half.checks, transaction.half.next_check_ms});
        positions_.push_back(transaction.position);
      }
    });
    if (positions_.empty()) return absl::OkStatus();
    return view.Log(std::move(command), writer);
  }

  void Done(const ProposalOutcome& outcome) override {
    if (!outcome.status.ok()) return done_(StatusOf(outcome, "check of transactions"));
    context_->applied.WhenApplied(outcome.index,
                                  [positions = std::move(positions_),
                                   done = std::move(done_)](const absl::Status& applied) mutable {
                                    if (applied.ok()) {
                                      done(std::move(positions));
                                    } else {
                                      done(Refuse(Reason::kStopped, Message(applied)));
                                    }
                                  });
  }

  size_t ByteSize() const override { return 256 + 24 * transactions_.size(); }

 private:
  StoreContext* const context_;
  const std::vector<OpenTransaction> transactions_;
  std::vector<LogPosition> positions_;
  WaitingMessages::CheckedCallback done_;
};

}  // namespace

void WhenWaitingApplied(StoreContext* context, LogPosition position,
                        absl::AnyInvocable<void(absl::Status)> then) {
  if (position < context->applied.end()) return then(absl::OkStatus());
  if (context->pending_endings.fetch_add(1, std::memory_order_relaxed) >=
      context->options.max_pending_endings) {
    context->pending_endings.fetch_sub(1, std::memory_order_relaxed);
    return then(Refuse(Reason::kBusy, StrCat(context->options.max_pending_endings,
                                             " recalls and ends of transactions wait already")));
  }
  context->ledger->Propose(std::make_unique<AwaitProposal>(context, position, std::move(then)));
}

void StartRecall(StoreContext* context, const TimerRef& timer, WaitingMessages::DoneCallback done) {
  context->ledger->Propose(std::make_unique<RecallProposal>(context, timer, std::move(done)));
}

void StartEndTransaction(StoreContext* context, const HalfRef& half, bool commit,
                         StepCallback done) {
  context->ledger->Propose(
      std::make_unique<EndTransactionProposal>(context, half, commit, std::move(done)));
}

void StartSetChecks(StoreContext* context, std::vector<OpenTransaction> transactions,
                    WaitingMessages::CheckedCallback done) {
  context->ledger->Propose(
      std::make_unique<SetChecksProposal>(context, std::move(transactions), std::move(done)));
}

}  // namespace raftmq::store
