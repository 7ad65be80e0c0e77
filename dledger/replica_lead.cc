// Replica: what it does as leader, and how it hands that over.
#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "dledger/replica.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kNanosPerMilli = 1'000'000;

absl::Status NotLeader(MemberId self, MemberId leader) {
  if (leader == kNoMember) {
    return absl::FailedPreconditionError(
        StrCat("member ", self, " is not the leader; no leader is known at present"));
  }
  return absl::FailedPreconditionError(
      StrCat("member ", self, " is not the leader; member ", leader, " is"));
}

}  // namespace

// ---- Leadership ----

void Replica::CheckLeadership() {
  const Term leading = node_.role() == raft::Role::kLeader ? node_.term() : Term(0);
  if (leading == leading_term_) return;
  if (leading_term_ != Term(0)) {
    LoseLeadership(absl::FailedPreconditionError(
        StrCat("member ", node_.self(), " lost the leadership of term ", leading_term_)));
  }
  leading_term_ = leading;
  if (leading == Term(0)) return;
  uncommitted_.clear();
  uncommitted_bytes_ = 0;
  LOG(INFO) << "member " << node_.self() << " of group " << storage_.identity.group
            << " leads term " << leading;
  completions_.BeginTerm(leading);
}

// Answers first: what waits may still look at the pending view.
void Replica::LoseLeadership(const absl::Status& why) {
  FailReads(why);
  if (leading_term_ == Term(0)) return;
  LOG(INFO) << Message(why);
  leading_term_ = Term(0);
  built_.clear();
  completions_.FailAll(why);
  if (std::exchange(serving_, false)) deps_.state_machine->EndLeadership();
}

// All entries of earlier terms are applied, and the term's first.
void Replica::MaybeServe() {
  if (leading_term_ == Term(0) || serving_ || stopping_) return;
  if (!applier_.idle() || node_.applied_index() < node_.term_start_index()) return;
  deps_.state_machine->BeginLeadership(leading_term_);
  serving_ = true;
  ScheduleTurn();
}

// ---- Proposals ----

void Replica::DecideProposals() {
  std::vector<std::unique_ptr<Proposal>> taken;
  queue_.TakeAll(&taken);
  for (auto& proposal : taken) held_.push_back(std::move(proposal));
  if (held_.empty() || !MayDecide()) return;

  batcher_.StartAt(node_.last_end());
  const LogIndex base = node_.last_index() + 1;
  const int64_t uncommitted = UncommittedBytes();
  size_t count = 0;
  size_t bytes = 0;
  while (!held_.empty()) {
    if (!WithinBounds(uncommitted)) break;
    if (batcher_.held_bytes() >= max_turn_bytes_ || count >= options_.max_turn_proposals) {
      ScheduleTurn();
      break;
    }
    bytes += DecideOne(base);
    ++count;
  }
  queue_.Release(count, bytes);
  ProposeFrames();
  const int64_t deadline = now() + options_.all_disks_timeout_ms * kNanosPerMilli;
  for (Decided& decided : decided_) {
    if (decided.logged) {
      completions_.AddLogged(decided.index, std::move(decided.proposal), deadline);
    } else {
      completions_.AddUnlogged(decided.index, std::move(decided.proposal), deadline);
    }
  }
  decided_.clear();
}

// Whether the proposals held can be decided now; refuses them if they never can.
bool Replica::MayDecide() {
  if (leading_term_ == Term(0)) {
    RefuseHeld(NotLeader(node_.self(), node_.leader()));
    return false;
  }
  if (!serving_ || transfer_.has_value() || stopping_) return false;
  if (!stalled_.empty()) return false;
  // For all that one turn may write, so that no proposal finds the log full half way.
  const int64_t most =
      max_turn_bytes_ + std::min<int64_t>(MaxFrameSize(storage_.identity.segment_size),
                                          static_cast<int64_t>(options_.soft_frame_bytes));
  const absl::Status room = storage_.log->HasRoomFor(most);
  if (absl::IsUnavailable(room)) return false;  // a turn follows when there is
  if (!room.ok()) {
    RefuseHeld(room);
    return false;
  }
  return true;
}

// Whether one more may be decided: a turn follows when more is committed, or applied.
bool Replica::WithinBounds(int64_t uncommitted) {
  if (uncommitted + batcher_.held_bytes() >= options_.max_uncommitted_bytes) return false;
  const int64_t unapplied = node_.last_end() - applier_.next();
  return unapplied + batcher_.held_bytes() < options_.max_unapplied_bytes;
}

size_t Replica::DecideOne(LogIndex base) {
  std::unique_ptr<Proposal> proposal = std::move(held_.front());
  held_.pop_front();
  const size_t size = proposal->ByteSize();
  batcher_.BeginProposal(proposal->ack_level());
  const absl::Status decision = proposal->Decide(batcher_);
  if (!decision.ok()) {
    batcher_.DropProposal();
    ProposalOutcome outcome;
    outcome.status = decision;
    outcome.term = leading_term_;
    proposal->Done(outcome);
    return size;
  }
  const std::optional<size_t> frame = batcher_.KeepProposal();
  const auto held_frames = static_cast<int64_t>(batcher_.held_frames());
  const LogIndex index =
      frame.has_value() ? base + static_cast<int64_t>(*frame) : base + held_frames - 1;
  decided_.push_back({std::move(proposal), index, frame.has_value()});
  return size;
}

void Replica::ProposeFrames() {
  for (ProposalBatcher::Frame& frame : batcher_.TakeFrames()) {
    const auto entry = node_.Propose(EntryTypeOf(frame.type),
                                     static_cast<int32_t>(frame.bytes.size()), frame.ack_in_memory);
    CHECK(entry.ok()) << entry.status();
    CHECK(entry->position == frame.position)
        << "records were written for position " << frame.position << ", the core put " << *entry;
    built_.emplace_back(*entry, std::move(frame));
  }
}

int64_t Replica::UncommittedBytes() {
  while (!uncommitted_.empty() && uncommitted_.front().first <= node_.commit_index()) {
    uncommitted_bytes_ -= uncommitted_.front().second;
    uncommitted_.pop_front();
  }
  return uncommitted_bytes_;
}

void Replica::RefuseHeld(const absl::Status& why) {
  // Done may propose again; that comes with the next turn.
  std::vector<std::unique_ptr<Proposal>> taken;
  queue_.TakeAll(&taken);
  std::deque<std::unique_ptr<Proposal>> refused;
  refused.swap(held_);
  for (auto& proposal : taken) refused.push_back(std::move(proposal));
  for (auto& proposal : refused) {
    queue_.Release(1, proposal->ByteSize());
    ProposalOutcome outcome;
    outcome.status = why;
    proposal->Done(outcome);
  }
}

void Replica::CheckAllDisks() {
  if (!completions_.waiting_for_all_disks()) return;
  const raft::Status status = node_.status();
  LogIndex everywhere = status.durable;
  for (const raft::PeerStatus& peer : status.peers) everywhere = std::min(everywhere, peer.durable);
  completions_.OnAllDurable(everywhere, now());
}

// ---- Handing over ----

void Replica::StartTransfer(MemberId target, absl::AnyInvocable<void(absl::Status)> done) {
  if (stopped_) {
    done(absl::UnavailableError("the replica has stopped"));
    return;
  }
  if (target == kNoMember && leading_term_ != Term(0)) {
    target = BestSuccessor();
    if (target == kNoMember) {
      done(absl::FailedPreconditionError(
          StrCat("member ", node_.self(),
                 " goes on leading: no other voter is connected and has a whole log")));
      return;
    }
  }
  if (target == node_.self() && leading_term_ != Term(0)) {
    done(absl::OkStatus());
    return;
  }
  const absl::Status begun = node_.TransferLeadership(target);
  if (!begun.ok()) {
    done(begun);
    return;
  }
  transfer_ =
      Transfer{target, now() + 2 * options_.election_max_ms * kNanosPerMilli, std::move(done)};
  ScheduleTurn();
}

void Replica::CheckTransfer() {
  if (!transfer_.has_value()) return;
  const MemberId leader = node_.leader();
  absl::Status result;
  if (leader == transfer_->target) {
    result = absl::OkStatus();
  } else if (leader == node_.self() && node_.status().transfer_target == kNoMember) {
    result = absl::DeadlineExceededError(StrCat("member ", transfer_->target,
                                                " did not take over in time; member ", node_.self(),
                                                " still leads"));
  } else if (leader != node_.self() && leader != kNoMember) {
    result = absl::AbortedError(
        StrCat("member ", leader, " took over instead of member ", transfer_->target));
  } else if (now() >= transfer_->deadline_nanos) {
    result = absl::DeadlineExceededError("no leader is known yet");
  } else {
    return;
  }
  std::exchange(transfer_, std::nullopt)->done(result);
  ScheduleTurn();
}

MemberId Replica::BestSuccessor() const {
  MemberId best = kNoMember;
  LogIndex best_match;
  for (const raft::PeerStatus& peer : node_.status().peers) {
    const auto state = peers_.find(peer.id);
    if (state == peers_.end() || !state->second.connected || peer.damaged) continue;
    if (best != kNoMember && peer.match <= best_match) continue;
    best = peer.id;
    best_match = peer.match;
  }
  return best;
}

// ---- Stopping ----

void Replica::BeginStop() {
  if (stopped_) {
    ReportStopped(failure_);
    return;
  }
  if (stopping_) return;
  stopping_ = true;
  stop_deadline_nanos_ = now() + options_.stop_timeout_ms * kNanosPerMilli;
  const absl::Status unavailable = absl::UnavailableError("the member is being stopped");
  queue_.Close(unavailable);
  RefuseHeld(unavailable);
  if (node_.role() == raft::Role::kLeader && !transfer_.has_value()) {
    if (const MemberId successor = BestSuccessor(); successor != kNoMember) {
      StartTransfer(successor, [](absl::Status status) {
        LOG_IF(WARNING, !status.ok()) << "handing leadership over at stop: " << status;
      });
    }
  }
  ScheduleTurn();
  if (!started_) ContinueStop();
}

// Each turn while stopping: what is logged may still be answered, and another may take over.
void Replica::ContinueStop() {
  if (stopped_ || closing_log_) return;
  const bool waiting = !completions_.empty() || transfer_.has_value();
  if (waiting && started_ && now() < stop_deadline_nanos_) return;
  closing_log_ = true;
  applier_.Stop();
  FinishStop();
}

void Replica::FinishStop() {
  if (stopped_) return;
  if (!applier_.idle()) {
    deps_.replica->RunAfter(kNanosPerMilli, [this] { FinishStop(); });
    return;
  }
  stopped_ = true;
  if (deps_.transport != nullptr) deps_.transport->Stop();
  LoseLeadership(absl::UnavailableError("the member is being stopped"));
  if (transfer_.has_value()) {
    std::exchange(transfer_, std::nullopt)->done(absl::UnavailableError("the member stops"));
  }
  members_changed_ = true;
  PublishIfChanged();
  storage_.log->Stop([this](absl::Status flushed) {
    deps_.replica->Post([this, flushed = std::move(flushed)] { ReportStopped(flushed); });
  });
}

// The state machine may still be at work after a failure.
void Replica::ReportStopped(const absl::Status& how) {
  if (!on_stopped_) return;
  if (!applier_.idle()) {
    deps_.replica->RunAfter(kNanosPerMilli, [this, how] { ReportStopped(how); });
    return;
  }
  std::exchange(on_stopped_, nullptr)(how);
}

}  // namespace raftmq::dledger
