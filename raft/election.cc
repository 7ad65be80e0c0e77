// Node: terms, votes and who leads (paper §5.2; thesis §3.10, §4.2.3, §9.6).
#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "raft/node.h"

namespace raftmq::raft {

void Node::SetTermAndVote(Term term, MemberId vote) {
  CHECK_GE(term, hard_state_.term);
  if (term == hard_state_.term) {
    CHECK(hard_state_.vote == kNoMember || hard_state_.vote == vote)
        << "a second vote in term " << term;
  } else {
    // What the last leader's messages proved says nothing about the next one's log, except that it
    // has all that is committed.
    matched_ = log_.commit();
    acked_durable_ = LogIndex(0);
    ack_owed_ = false;
  }
  hard_state_ = {term, vote};
}

void Node::BecomeFollower(Term term, MemberId leader) {
  // A follower that merely learns of a later term keeps waiting: else candidates that can't win
  // would keep those that can from trying.
  const bool fresh_wait = role_ != Role::kFollower || leader_ != kNoMember || leader != kNoMember;
  if (term > this->term()) SetTermAndVote(term, kNoMember);
  role_ = Role::kFollower;
  leader_ = leader;
  peers_.clear();
  transfer_target_ = kNoMember;
  reads_due_ = false;
  if (fresh_wait) ResetElectionTimer();
}

void Node::BecomeLeader() {
  CHECK(role_ == Role::kCandidate);
  role_ = Role::kLeader;
  leader_ = options_.self;
  peers_.clear();
  for (MemberId id : configuration_.voters) {
    if (id != options_.self) peers_[id].Reset(log_.last().index);
  }
  heartbeat_elapsed_ = 0;
  transfer_target_ = kNoMember;
  ack_in_memory_upto_ = LogIndex(0);
  replicated_ = log_.commit();
  term_start_ = log_.last().index + 1;
  AppendOwn(EntryType::kNoOp, kNoOpFrameSize);
}

void Node::ResetElectionTimer() {
  election_elapsed_ = 0;
  election_timeout_ = static_cast<int32_t>(
      random_.Between(options_.election_ticks_min, options_.election_ticks_max));
  leader_connection_closed_ = false;
}

bool Node::MayCampaign() const {
  return !damaged_ && log_.applied() >= replayed_at_ && configuration_.IsVoter(options_.self);
}

bool Node::HearsLeader() const {
  if (role_ == Role::kLeader) return true;
  return leader_ != kNoMember && !leader_connection_closed_ &&
         election_elapsed_ < options_.election_ticks_min;
}

void Node::TickElection() {
  ++election_elapsed_;
  if (election_elapsed_ < election_timeout_) return;
  if (MayCampaign()) {
    StartElection();
  } else {
    leader_ = kNoMember;
    ResetElectionTimer();
  }
}

void Node::TickLeader() {
  for (auto& [id, progress] : peers_) ++progress.ticks_since_heard;
  if (options_.check_quorum) CheckQuorum();
  if (role_ != Role::kLeader) return;
  if (transfer_target_ != kNoMember && ++transfer_elapsed_ >= options_.election_ticks_max) {
    transfer_target_ = kNoMember;
  }
  if (++heartbeat_elapsed_ >= options_.heartbeat_ticks) {
    heartbeat_elapsed_ = 0;
    SendHeartbeats();
    AskForReadsAgain();
  }
  notices_due_ = true;
  replicate_ = true;
}

// A leader that no majority answers can't commit, and may have been replaced without its knowing:
// its clients are better off elsewhere (thesis §6.2).
void Node::CheckQuorum() {
  size_t heard = 1;
  for (const auto& [id, progress] : peers_) {
    if (progress.ticks_since_heard <= options_.election_ticks_max) ++heard;
  }
  if (heard < Majority(configuration_.voters.size())) BecomeFollower(term(), kNoMember);
}

void Node::StartElection() {
  if (options_.pre_vote) {
    CampaignPreVote();
  } else {
    Campaign(/*force=*/false);
  }
}

void Node::CampaignPreVote() {
  role_ = Role::kPreCandidate;
  leader_ = kNoMember;
  ResetElectionTimer();
  votes_.Start(configuration_.voters);
  votes_.Record(options_.self, true);
  if (votes_.Result() == VoteResult::kWon) {
    Campaign(/*force=*/false);
  } else {
    RequestVotes(MessageType::kPreVote, term() + 1, /*force=*/false);
  }
}

void Node::Campaign(bool force) {
  SetTermAndVote(term() + 1, options_.self);
  role_ = Role::kCandidate;
  leader_ = kNoMember;
  ResetElectionTimer();
  votes_.Start(configuration_.voters);
  votes_.Record(options_.self, true);
  if (votes_.Result() == VoteResult::kWon) {
    BecomeLeader();
  } else {
    RequestVotes(MessageType::kVote, term(), force);
  }
}

void Node::RequestVotes(MessageType type, Term term, bool force) {
  for (MemberId id : configuration_.voters) {
    if (id == options_.self) continue;
    Message m;
    m.type = type;
    m.to = id;
    m.term = term;
    m.last_log_index = log_.last().index;
    m.last_log_term = log_.last().term;
    m.force = force;
    Send(std::move(m));
  }
}

void Node::HandlePreVote(const Message& m) {
  const bool grant = m.term > term() && !HearsLeader() && !damaged_ &&
                     log_.IsUpToDate(m.last_log_index, m.last_log_term);
  if (!grant) {
    // Not below the candidate's own term, lest it be taken for a late answer to an earlier try.
    Respond(m, MessageType::kPreVoteResponse, /*reject=*/true, std::max(term(), m.term - 1));
    return;
  }
  Respond(m, MessageType::kPreVoteResponse, /*reject=*/false, m.term);
  // Two that start at once would both get their pre-votes and then split the real ones, which costs
  // an election timeout. The one with the better log, else the lower id, goes on.
  if (role_ == Role::kPreCandidate) {
    const bool same_log =
        m.last_log_index == log_.last().index && m.last_log_term == log_.last().term;
    if (!same_log || m.from < options_.self) BecomeFollower(term(), kNoMember);
  }
}

void Node::HandleVote(const Message& m) {
  const bool free_to = vote() == m.from || (vote() == kNoMember && leader_ == kNoMember);
  const bool grant = free_to && !damaged_ && log_.IsUpToDate(m.last_log_index, m.last_log_term);
  if (grant) {
    SetTermAndVote(term(), m.from);
    role_ = Role::kFollower;  // a pre-candidate gives way
    ResetElectionTimer();
  }
  Respond(m, MessageType::kVoteResponse, !grant, term());
}

void Node::HandleVoteResponse(const Message& m) {
  const bool pre_vote = m.type == MessageType::kPreVoteResponse;
  if (role_ != (pre_vote ? Role::kPreCandidate : Role::kCandidate)) return;
  if (pre_vote && !m.reject && m.term != term() + 1) return;
  votes_.Record(m.from, !m.reject);
  switch (votes_.Result()) {
    case VoteResult::kPending:
      return;
    case VoteResult::kLost:
      BecomeFollower(term(), kNoMember);
      return;
    case VoteResult::kWon:
      if (pre_vote) {
        Campaign(/*force=*/false);
      } else {
        BecomeLeader();
      }
      return;
  }
}

void Node::HandleTimeoutNow(const Message& m) {
  // Only the leader that this member follows may ask for it.
  if (leader_ != m.from || !MayCampaign()) return;
  Campaign(/*force=*/true);
}

absl::Status Node::TransferLeadership(MemberId target) {
  if (role_ != Role::kLeader) {
    return absl::FailedPreconditionError(StrCat("leadership transfer to member ", target,
                                                ": member ", options_.self,
                                                " is not the leader; ask member ", leader_));
  }
  auto peer = peers_.find(target);
  if (peer == peers_.end()) {
    return absl::InvalidArgumentError(
        StrCat("leadership transfer: member ", target, " is not another voter of this group"));
  }
  if (peer->second.damaged) {
    return absl::FailedPreconditionError(StrCat("leadership transfer: the log of member ", target,
                                                " is damaged and not yet repaired"));
  }
  if (transfer_target_ != kNoMember) {
    return absl::FailedPreconditionError(StrCat("leadership transfer to member ", target,
                                                ": one to member ", transfer_target_,
                                                " is under way; try again when it has ended"));
  }
  transfer_target_ = target;
  transfer_elapsed_ = 0;
  transfer_sent_ = false;
  MaybeFinishTransfer();
  return absl::OkStatus();
}

void Node::MaybeFinishTransfer() {
  if (transfer_target_ == kNoMember || transfer_sent_) return;
  if (peers_.at(transfer_target_).match < log_.last().index) return;
  transfer_sent_ = true;
  Message m;
  m.type = MessageType::kTimeoutNow;
  m.to = transfer_target_;
  m.term = term();
  Send(std::move(m));
}

void Node::StepDown() {
  if (role_ == Role::kLeader) BecomeFollower(term(), kNoMember);
}

void Node::LeaderConnectionClosed(MemberId member) {
  if (role_ != Role::kFollower || leader_ != member || leader_connection_closed_) return;
  leader_connection_closed_ = true;
  const auto delay = static_cast<int32_t>(random_.Between(1, options_.early_election_ticks_max));
  election_timeout_ = std::min(election_timeout_, election_elapsed_ + delay);
}

}  // namespace raftmq::raft
