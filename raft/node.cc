#include "raft/node.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::raft {

namespace {

absl::Status Invalid(const Message& m, std::string_view why) {
  return absl::InvalidArgumentError(StrCat("raft message refused: ", why, ": ", ToString(m)));
}

template <typename Number>
bool Plausible(Number n) {
  return n >= Number(0) && n <= Number(kMaxNumber);
}

bool FromLeader(MessageType type) {
  return type == MessageType::kAppend || type == MessageType::kHeartbeat ||
         type == MessageType::kTimeoutNow || type == MessageType::kReadIndex;
}

absl::Status ValidateType(const Message& m) {
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kPreVoteResponse:
    case MessageType::kVote:
    case MessageType::kVoteResponse:
    case MessageType::kAppend:
    case MessageType::kAppendResponse:
    case MessageType::kHeartbeat:
    case MessageType::kHeartbeatResponse:
    case MessageType::kTimeoutNow:
    case MessageType::kReadIndex:
    case MessageType::kReadIndexResponse:
      return absl::OkStatus();
    case MessageType::kInstallSnapshot:
    case MessageType::kInstallSnapshotResponse:
      return absl::UnimplementedError(
          StrCat("raft message refused: this version does not speak ", ToString(m.type)));
  }
  return absl::InvalidArgumentError(
      StrCat("raft message refused: unknown type ", static_cast<int>(m.type)));
}

}  // namespace

Node::Node(const Options& options, const LogStorage* storage, const InitialState& initial,
           Random random)
    : options_(options),
      random_(random),
      configuration_(initial.configuration),
      log_(storage, initial.last, initial.committed, initial.applied),
      hard_state_(initial.hard_state),
      damaged_(options.damaged),
      damaged_term_(options.damaged_term > Term(0) ? options.damaged_term
                                                   : initial.hard_state.term),
      replayed_at_(initial.committed),
      matched_(initial.committed),
      told_hard_state_(initial.hard_state),
      told_commit_(initial.committed),
      told_replicated_(initial.committed) {
  CHECK(options_.Validate().ok()) << options_.Validate();
  CHECK(initial.Validate().ok()) << initial.Validate();
  ResetElectionTimer();
}

void Node::Tick() {
  if (role_ == Role::kLeader) {
    TickLeader();
  } else {
    TickElection();
  }
}

absl::Status Node::ValidateMessage(const Message& m) const {
  RAFTMQ_RETURN_IF_ERROR(ValidateType(m));
  if (m.to != options_.self) return Invalid(m, StrCat("it is not for member ", options_.self));
  if (m.from <= kNoMember || m.from == options_.self) return Invalid(m, "impossible sender");
  if (configuration_.voters.empty()) {
    // A member that is not yet part of a group only listens to a leader.
    if (m.type != MessageType::kAppend && m.type != MessageType::kHeartbeat) {
      return Invalid(m, "this member has no configuration yet");
    }
  } else if (!configuration_.IsVoter(m.from)) {
    return Invalid(m, "the sender is not in the configuration");
  }
  // Term 0 has no leader and no votes; before the first election a pre-vote may be refused in it.
  const Term lowest(m.type == MessageType::kPreVoteResponse ? 0 : 1);
  if (m.term < lowest || m.term > kMaxTerm) return Invalid(m, "impossible term");
  if (!Plausible(m.prev_index) || !Plausible(m.prev_term) || !Plausible(m.prev_end) ||
      !Plausible(m.commit) || !Plausible(m.last_log_index) || !Plausible(m.match_index) ||
      !Plausible(m.hint_index) || !Plausible(m.hint_term)) {
    return Invalid(m, "a number out of range");
  }
  if (m.durable_index < LogIndex(0) || m.durable_index > m.match_index) {
    return Invalid(m, "durable_index must lie between 0 and match_index");
  }
  if (m.last_log_term < Term(0) || (m.last_log_term >= m.term && m.last_log_term > Term(0))) {
    return Invalid(m, "a candidate's last entry must be of an earlier term");
  }
  if (m.type == MessageType::kAppend) return ValidateEntries(m);
  if (!m.entries.empty()) return Invalid(m, "only Append carries entries");
  return absl::OkStatus();
}

absl::Status Node::Step(const Message& m) {
  RAFTMQ_RETURN_IF_ERROR(ValidateMessage(m));
  // Pre-votes are about a term that may never come to be: they don't move ours.
  if (m.type == MessageType::kPreVote) {
    HandlePreVote(m);
    return absl::OkStatus();
  }
  if (m.type == MessageType::kPreVoteResponse && !m.reject) {
    HandleVoteResponse(m);
    return absl::OkStatus();
  }
  if (m.term < term()) {
    RefuseStaleTerm(m);
    return absl::OkStatus();
  }
  if (m.term > term()) {
    // Leader stickiness: a candidate that doesn't hear the leader must not depose it (thesis
    // §4.2.3). Dropped without a look at its term.
    if (m.type == MessageType::kVote && HearsLeader() && !m.force) return absl::OkStatus();
    BecomeFollower(m.term, FromLeader(m.type) ? m.from : kNoMember);
  }
  return StepCurrentTerm(m);
}

absl::Status Node::StepCurrentTerm(const Message& m) {
  if (FromLeader(m.type)) {
    if (leader_ != kNoMember && leader_ != m.from) {
      return Invalid(m, StrCat("member ", leader_, " already leads this term"));
    }
  }
  if (auto peer = peers_.find(m.from); peer != peers_.end()) peer->second.ticks_since_heard = 0;
  switch (m.type) {
    case MessageType::kVote:
      HandleVote(m);
      return absl::OkStatus();
    case MessageType::kPreVoteResponse:
    case MessageType::kVoteResponse:
      HandleVoteResponse(m);
      return absl::OkStatus();
    case MessageType::kAppend:
      return HandleAppend(m);
    case MessageType::kHeartbeat:
      HandleHeartbeat(m);
      return absl::OkStatus();
    case MessageType::kAppendResponse:
      return HandleAppendResponse(m);
    case MessageType::kHeartbeatResponse:
      return HandleHeartbeatResponse(m);
    case MessageType::kTimeoutNow:
      HandleTimeoutNow(m);
      return absl::OkStatus();
    case MessageType::kReadIndex:
      HandleReadIndex(m);
      return absl::OkStatus();
    case MessageType::kReadIndexResponse:
      return HandleReadIndexResponse(m);
    default:
      return Invalid(m, "unexpected type");  // ValidateType let none of them pass
  }
}

// A requester of an earlier term learns of ours, so that a deposed leader steps down and a
// candidate catches up. Late answers deserve none.
void Node::RefuseStaleTerm(const Message& m) {
  switch (m.type) {
    case MessageType::kVote:
      Respond(m, MessageType::kVoteResponse, /*reject=*/true, term());
      return;
    case MessageType::kAppend:
      Respond(m, MessageType::kAppendResponse, /*reject=*/true, term());
      return;
    case MessageType::kHeartbeat:
      Respond(m, MessageType::kHeartbeatResponse, /*reject=*/true, term());
      return;
    case MessageType::kReadIndex:
      Respond(m, MessageType::kReadIndexResponse, /*reject=*/true, term());
      return;
    default:
      return;
  }
}

void Node::Send(Message m) {
  m.from = options_.self;
  messages_.push_back(std::move(m));
}

void Node::Respond(const Message& request, MessageType type, bool reject, Term term) {
  Message m;
  m.type = type;
  m.to = request.from;
  m.term = term;
  m.reject = reject;
  m.damaged = damaged_;
  if (type == MessageType::kAppendResponse) m.prev_index = request.prev_index;
  Send(std::move(m));
}

void Node::NoteStorageError(const absl::Status& status) {
  if (storage_error_.ok()) storage_error_ = status;
}

void Node::OnDurable(LogIndex index, Term term) {
  if (!log_.DurableTo(index, term)) return;
  if (role_ == Role::kLeader) {
    AdvanceCommit();
    return;
  }
  if (std::min(log_.durable(), matched_) > acked_durable_) ack_owed_ = true;
  MaybeHeal();
}

void Node::AppliedTo(LogIndex index) { log_.AppliedTo(index); }

void Node::CompactMetadata(LogIndex upto) { log_.Compact(upto); }

bool Node::HasReady() const {
  return !storage_error_.ok() || hard_state_ != told_hard_state_ || truncate_from_.has_value() ||
         !untaken_.empty() || !messages_.empty() || log_.commit() != told_commit_ ||
         replicated_index() != told_replicated_ || SoftState{role_, leader_} != told_soft_state_ ||
         healed_ || ack_owed_ || (role_ == Role::kLeader && replicate_) || reads_due_ ||
         confirmed_reads_ != told_confirmed_reads_;
}

Ready Node::TakeReady() {
  if (role_ == Role::kLeader && replicate_) {
    FillAppends();
    if (notices_due_ || !options_.notices_at_ticks) SendCommitNotices();
  }
  replicate_ = false;
  if (ack_owed_) AckLeader();
  if (reads_due_) SendReadIndex();

  Ready ready;
  ready.storage_error = std::exchange(storage_error_, absl::OkStatus());
  if (hard_state_ != told_hard_state_) ready.hard_state = told_hard_state_ = hard_state_;
  ready.truncate_from = std::exchange(truncate_from_, std::nullopt);
  ready.entries = std::exchange(untaken_, {});
  untaken_from_message_ = false;
  ready.messages = std::exchange(messages_, {});
  ready.committed = told_commit_ = log_.commit();
  ready.replicated = told_replicated_ = replicated_index();
  const SoftState soft_state{role_, leader_};
  if (soft_state != told_soft_state_) ready.soft_state = told_soft_state_ = soft_state;
  ready.confirmed_reads = told_confirmed_reads_ = confirmed_reads_;
  ready.damage_healed = std::exchange(healed_, false);
  return ready;
}

LogIndex Node::replicated_index() const {
  return role_ == Role::kLeader ? std::max(replicated_, log_.commit()) : log_.commit();
}

Status Node::status() const {
  Status status;
  status.self = options_.self;
  status.role = role_;
  status.term = term();
  status.vote = vote();
  status.leader = leader_;
  status.commit = log_.commit();
  status.applied = log_.applied();
  status.durable = log_.durable();
  status.last = log_.last();
  status.transfer_target = transfer_target_;
  status.damaged = damaged_;
  for (const auto& [id, progress] : peers_) {
    PeerStatus peer;
    peer.id = id;
    peer.state = progress.state;
    peer.match = progress.match;
    peer.durable = progress.durable;
    peer.next = progress.next;
    peer.inflight_messages = progress.inflight.messages();
    peer.inflight_bytes = progress.inflight.bytes();
    peer.ticks_since_heard = progress.ticks_since_heard;
    peer.damaged = progress.damaged;
    status.peers.push_back(peer);
  }
  return status;
}

}  // namespace raftmq::raft
