// Node: the log and its commit index (paper §5.3, §5.4.2).
#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"
#include "raft/node.h"

namespace raftmq::raft {

// ---- Leader ----

absl::StatusOr<EntryMeta> Node::Propose(EntryType type, int32_t frame_size, bool ack_in_memory) {
  if (role_ != Role::kLeader) {
    return absl::FailedPreconditionError(
        StrCat("propose: member ", options_.self, " is not the leader; the leader is ",
               leader_ == kNoMember ? "not known" : StrCat("member ", leader_)));
  }
  if (transfer_target_ != kNoMember) {
    return absl::FailedPreconditionError(StrCat("propose: member ", options_.self,
                                                " hands leadership to member ", transfer_target_));
  }
  if (frame_size < kFrameHeaderSize || frame_size > MaxFrameSize(options_.segment_size)) {
    return absl::InvalidArgumentError(StrCat("propose: a frame takes ", kFrameHeaderSize, " to ",
                                             MaxFrameSize(options_.segment_size), " bytes, not ",
                                             frame_size));
  }
  const int64_t uncommitted = log_.UncommittedBytes();
  if (uncommitted > 0 && uncommitted + frame_size > options_.max_uncommitted_bytes) {
    return absl::ResourceExhaustedError(StrCat("propose: ", uncommitted,
                                               " bytes wait for a majority's disks, the limit is ",
                                               options_.max_uncommitted_bytes, "; try again"));
  }
  const EntryMeta entry = AppendOwn(type, frame_size);
  if (ack_in_memory) ack_in_memory_upto_ = entry.index;
  return entry;
}

EntryMeta Node::AppendOwn(EntryType type, int32_t frame_size) {
  EntryMeta entry;
  entry.index = log_.last().index + 1;
  entry.term = term();
  entry.type = type;
  entry.position = PlaceFrame(log_.last().end, frame_size, options_.segment_size);
  entry.size = frame_size;
  log_.Append(entry);
  untaken_.push_back(entry);
  replicate_ = true;
  if (peers_.empty()) AdvanceCommit();  // this member's memory is the majority's
  return entry;
}

void Node::SendHeartbeats() {
  for (auto& [id, progress] : peers_) {
    progress.stalled = progress.probe_sent ||
                       (!progress.acked_since_heartbeat && progress.match < log_.last().index);
    progress.acked_since_heartbeat = false;
    SendHeartbeat(id, progress, /*quiet=*/false);
  }
}

void Node::SendHeartbeat(MemberId to, Progress& progress, bool quiet) {
  Message m;
  m.type = MessageType::kHeartbeat;
  m.to = to;
  m.term = term();
  m.commit = std::min(progress.match, log_.commit());
  m.quiet = quiet;
  progress.told_commit = std::max(progress.told_commit, m.commit);
  Send(std::move(m));
}

void Node::FillAppends() {
  for (auto& [id, progress] : peers_) {
    switch (progress.state) {
      case ProgressState::kSnapshot:
        break;
      case ProgressState::kProbe:
        if (!progress.probe_sent) SendAppend(id, progress, /*check=*/false);
        break;
      case ProgressState::kReplicate:
        while (progress.state == ProgressState::kReplicate && progress.next <= log_.last().index &&
               progress.inflight.messages() < options_.max_inflight_messages &&
               progress.inflight.bytes() < options_.max_inflight_bytes &&
               IsWorthSending(progress)) {
          if (!SendAppend(id, progress, /*check=*/false)) break;
        }
        break;
    }
  }
}

// The answer to what is under way, or the peer's silence at the next heartbeat, sends the rest.
bool Node::IsWorthSending(const Progress& progress) const {
  if (progress.inflight.messages() < options_.eager_appends) return true;
  const absl::StatusOr<LogPosition> sent = log_.EndAt(progress.next - 1);
  return !sent.ok() || log_.last().end - *sent >= options_.full_append_bytes;
}

// Sends what follows `progress.next`; with `check`, no entries: only the question whether all that
// was sent arrived. False if nothing could be sent.
bool Node::SendAppend(MemberId to, Progress& progress, bool check) {
  Message m;
  m.type = MessageType::kAppend;
  m.to = to;
  m.term = term();
  m.prev_index = progress.next - 1;
  const absl::Status read = FillEntries(progress.next, check, m);
  if (absl::IsOutOfRange(read)) {
    progress.BecomeSnapshot();
    return false;
  }
  if (!read.ok()) {
    NoteStorageError(Annotate(read, StrCat("reading the log for member ", to)));
    return false;
  }
  m.commit = log_.commit();
  if (!m.entries.empty()) progress.told_commit = std::max(progress.told_commit, m.commit);
  // A probe's answer opens the pipeline: it shouldn't wait for a disk.
  const bool probe = progress.state == ProgressState::kProbe;
  m.ack_in_memory = probe || (!m.entries.empty() && m.entries.front().index <= ack_in_memory_upto_);
  if (probe) {
    progress.probe_sent = true;
    progress.stalled = false;
  } else if (!m.entries.empty()) {
    progress.next = m.entries.back().index + 1;
    progress.inflight.Add(m.entries.back().index,
                          m.entries.back().end() - m.entries.front().position);
  }
  Send(std::move(m));
  return true;
}

absl::Status Node::FillEntries(LogIndex first, bool check, Message& m) const {
  RAFTMQ_ASSIGN_OR_RETURN(m.prev_term, log_.TermAt(first - 1));
  RAFTMQ_ASSIGN_OR_RETURN(m.prev_end, log_.EndAt(first - 1));
  if (check || first > log_.last().index) return absl::OkStatus();
  RAFTMQ_ASSIGN_OR_RETURN(
      m.entries, log_.Slice(first, options_.max_bytes_per_append, options_.max_entries_per_append,
                            options_.segment_size));
  return absl::OkStatus();
}

// While entries flow they carry the commit index. When they stop, those who wait for the last ones
// to be applied shouldn't have to wait for a heartbeat.
void Node::SendCommitNotices() {
  notices_due_ = false;
  for (auto& [id, progress] : peers_) {
    if (progress.state != ProgressState::kReplicate || progress.inflight.messages() > 0) continue;
    if (std::min(progress.match, log_.commit()) > progress.told_commit) {
      SendHeartbeat(id, progress, /*quiet=*/true);
    }
  }
}

absl::Status Node::HandleAppendResponse(const Message& m) {
  auto peer = peers_.find(m.from);
  if (peer == peers_.end()) return absl::OkStatus();  // no longer the leader it answered
  Progress& progress = peer->second;
  progress.damaged = m.damaged;
  if (m.reject) {
    HandleReject(m, progress);
    return absl::OkStatus();
  }
  RAFTMQ_RETURN_IF_ERROR(NotePositions(m, progress));
  // It matches up to the entry before the probe, or further.
  if (progress.state == ProgressState::kProbe && m.match_index + 1 >= progress.next) {
    progress.BecomeReplicate();
  }
  return absl::OkStatus();
}

absl::Status Node::HandleHeartbeatResponse(const Message& m) {
  auto peer = peers_.find(m.from);
  if (peer == peers_.end()) return absl::OkStatus();
  Progress& progress = peer->second;
  progress.damaged = m.damaged;
  RAFTMQ_RETURN_IF_ERROR(NotePositions(m, progress));
  switch (progress.state) {
    case ProgressState::kProbe:
      // The probe, sent before the heartbeat, or its answer is lost: ask again.
      if (progress.stalled) progress.probe_sent = false;
      break;
    case ProgressState::kReplicate:
      // Nothing answered for a whole heartbeat: an Append may be lost with nothing behind it that
      // would show the gap. The window doesn't hold this one back: it may be what blocks.
      if (progress.stalled && progress.match < log_.last().index) {
        SendAppend(m.from, progress, /*check=*/true);
      }
      break;
    case ProgressState::kSnapshot:
      if (log_.TermAt(progress.match).ok()) progress.BecomeProbe();
      break;
  }
  return absl::OkStatus();
}

// Only answers of the current term come here, so positions speak of this leader's log.
absl::Status Node::NotePositions(const Message& m, Progress& progress) {
  if (m.match_index > log_.last().index) {
    return absl::InvalidArgumentError(
        StrCat("raft message refused: member ", m.from, " claims to match entry ", m.match_index,
               ", the leader's log ends at ", log_.last().index, ": ", ToString(m)));
  }
  if (progress.Update(m.match_index, m.durable_index)) {
    progress.acked_since_heartbeat = true;
    AdvanceCommit();
    MaybeFinishTransfer();
  }
  replicate_ = true;
  return absl::OkStatus();
}

void Node::HandleReject(const Message& m, Progress& progress) {
  replicate_ = true;
  switch (progress.state) {
    case ProgressState::kSnapshot:
      return;
    case ProgressState::kReplicate:
      if (m.prev_index <= progress.match) return;  // late: it has matched since
      progress.BecomeProbe();
      return;
    case ProgressState::kProbe:
      break;
  }
  if (m.prev_index != progress.next - 1 || m.prev_index <= progress.match) return;  // late
  // The logs can't meet above the last entry of ours whose term is within what the peer has there.
  const absl::StatusOr<LogIndex> meet =
      log_.LastWithTermAtMost(std::min(m.hint_index, m.prev_index - 1), m.hint_term);
  if (!meet.ok()) {
    NoteStorageError(Annotate(meet.status(), "searching where logs meet"));
    return;
  }
  progress.next = std::max(*meet, progress.match) + 1;
  progress.probe_sent = false;
}

// Durable copies make a commit, and only of an entry of the leader's own term; what lies before it
// comes along (paper §5.4.2). From the no-op on, all entries are of this term.
void Node::AdvanceCommit() {
  std::vector<LogIndex> durable = {log_.durable()};
  std::vector<LogIndex> held = {log_.last().index};
  for (const auto& [id, progress] : peers_) {
    durable.push_back(progress.durable);
    held.push_back(progress.match);
  }
  const LogIndex committed = MajorityIndex(std::move(durable));
  if (committed >= term_start_ && committed > log_.commit()) {
    log_.CommitTo(committed);
    replicate_ = true;
  }
  const LogIndex replicated = MajorityIndex(std::move(held));
  if (replicated >= term_start_) replicated_ = std::max(replicated_, replicated);
}

void Node::ReportUnreachable(MemberId member) {
  auto peer = peers_.find(member);
  if (peer == peers_.end() || peer->second.state != ProgressState::kReplicate) return;
  peer->second.BecomeProbe();
  replicate_ = true;
}

void Node::PeerRestarted(MemberId member) {
  auto peer = peers_.find(member);
  if (peer == peers_.end()) return;
  const int32_t ticks_since_heard = peer->second.ticks_since_heard;
  peer->second.Reset(log_.last().index);
  peer->second.ticks_since_heard = ticks_since_heard;
  replicate_ = true;
}

// ---- Follower ----

absl::Status Node::ValidateEntries(const Message& m) const {
  const auto invalid = [&m](const EntryMeta& entry, std::string_view why) {
    return absl::InvalidArgumentError(
        StrCat("raft message refused: entry ", ToString(entry), " ", why, ": ", ToString(m)));
  };
  if (m.prev_term > m.term) {
    return absl::InvalidArgumentError(
        StrCat("raft message refused: prev_term is above the sender's term: ", ToString(m)));
  }
  if (m.prev_index == LogIndex(0) && (m.prev_term != Term(0) || m.prev_end != LogPosition(0))) {
    return absl::InvalidArgumentError(StrCat(
        "raft message refused: term and position before the first entry must be 0: ", ToString(m)));
  }
  LogEnd before{m.prev_index, m.prev_term, m.prev_end};
  for (const EntryMeta& entry : m.entries) {
    if (entry.index != before.index + 1) return invalid(entry, "does not follow the one before");
    if (entry.term < before.term || entry.term > m.term || entry.term < Term(0)) {
      return invalid(entry, "has an impossible term");
    }
    if (entry.type != EntryType::kNoOp && entry.type != EntryType::kNormal &&
        entry.type != EntryType::kConfiguration) {
      return invalid(entry, "has an unknown type");
    }
    if (entry.size < kFrameHeaderSize || entry.size > MaxFrameSize(options_.segment_size)) {
      return invalid(entry, "has an impossible size");
    }
    const LogPosition place = PlaceFrame(before.end, entry.size, options_.segment_size);
    if (entry.position != place) return invalid(entry, StrCat("should be at ", place));
    if (&entry != &m.entries.front() &&
        (entry.position != before.end || entry.position.value() % options_.segment_size == 0)) {
      return invalid(entry, "is not in one segment with those before");
    }
    before = {entry.index, entry.term, entry.end()};
  }
  return absl::OkStatus();
}

void Node::HearLeader(const Message& m) {
  if (role_ != Role::kFollower || leader_ != m.from) {
    BecomeFollower(term(), m.from);
  } else {
    ResetElectionTimer();
  }
}

void Node::HandleHeartbeat(const Message& m) {
  HearLeader(m);
  FollowCommit(m.commit);
  if (m.quiet) return;
  Message response;
  response.type = MessageType::kHeartbeatResponse;
  response.to = m.from;
  response.term = term();
  response.match_index = matched_;
  response.durable_index = acked_durable_ = std::min(log_.durable(), matched_);
  response.damaged = damaged_;
  Send(std::move(response));
}

absl::Status Node::HandleAppend(const Message& m) {
  CHECK(!untaken_from_message_) << "TakeReady must follow a kAppend with entries: their bytes are "
                                   "those of the message stepped last";
  HearLeader(m);
  const absl::StatusOr<bool> meets = log_.Matches(m.prev_index, m.prev_term);
  if (!meets.ok()) {
    NoteStorageError(meets.status());
    return meets.status();
  }
  if (!*meets) {
    if (m.prev_index <= log_.commit()) return ContradictsCommitted(m, m.prev_index);
    return RejectAppend(m);
  }
  bool appended = false;
  RAFTMQ_ASSIGN_OR_RETURN(appended, AppendFromLeader(m));
  matched_ = std::max(matched_, m.prev_index + static_cast<int64_t>(m.entries.size()));
  FollowCommit(m.commit);
  if (!appended || m.ack_in_memory) ack_owed_ = true;
  MaybeHeal();
  return absl::OkStatus();
}

absl::Status Node::ContradictsCommitted(const Message& m, LogIndex index) const {
  return absl::DataLossError(
      StrCat("raft: the leader contradicts entry ", index, ", which member ", options_.self,
             " knows to be committed (commit index ", log_.commit(),
             "): one of the two logs is wrong, stop and compare them: ", ToString(m)));
}

// Appends what is new in `m`; removes what conflicts with it, and only that: an Append that came
// late must not take away what followed it (paper §5.3). True if anything was appended.
absl::StatusOr<bool> Node::AppendFromLeader(const Message& m) {
  size_t known = 0;
  while (known < m.entries.size() && m.entries[known].index <= log_.last().index) {
    const absl::StatusOr<bool> same = log_.Matches(m.entries[known].index, m.entries[known].term);
    if (!same.ok()) {
      NoteStorageError(same.status());
      return same.status();
    }
    if (!*same) break;
    ++known;
  }
  if (known == m.entries.size()) return false;
  const EntryMeta& first = m.entries[known];
  if (first.index <= log_.commit()) return ContradictsCommitted(m, first.index);
  RAFTMQ_RETURN_IF_ERROR(CheckPlace(first));
  if (first.index <= log_.last().index) RAFTMQ_RETURN_IF_ERROR(RemoveFrom(first.index));
  for (size_t i = known; i < m.entries.size(); ++i) {
    log_.Append(m.entries[i]);
    untaken_.push_back(m.entries[i]);
  }
  untaken_from_message_ = true;
  return true;
}

// The logs are equal byte for byte, so the leader's position is the one that we would choose.
absl::Status Node::CheckPlace(const EntryMeta& entry) {
  const absl::StatusOr<LogPosition> end = log_.EndAt(entry.index - 1);
  if (!end.ok()) {
    NoteStorageError(end.status());
    return end.status();
  }
  const LogPosition place = PlaceFrame(*end, entry.size, options_.segment_size);
  if (place == entry.position) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(
      "raft message refused: entry ", ToString(entry), " belongs at ", place,
      " in this member's log; are the segment sizes equal (here ", options_.segment_size, ")?"));
}

absl::Status Node::RemoveFrom(LogIndex from) {
  CHECK_GT(from, matched_) << "the term's leader changed an entry that it had sent before";
  const LogIndex taken = untaken_.empty() ? log_.last().index : untaken_.front().index - 1;
  if (absl::Status removed = log_.TruncateFrom(from); !removed.ok()) {
    NoteStorageError(removed);
    return removed;
  }
  while (!untaken_.empty() && untaken_.back().index >= from) untaken_.pop_back();
  if (from <= taken) truncate_from_ = std::min(truncate_from_.value_or(from), from);
  return absl::OkStatus();
}

absl::Status Node::RejectAppend(const Message& m) {
  const absl::StatusOr<LogIndex> hint = log_.LastWithTermAtMost(m.prev_index, m.prev_term);
  const absl::StatusOr<Term> hint_term = hint.ok() ? log_.TermAt(*hint) : hint.status();
  if (!hint_term.ok()) {
    NoteStorageError(hint_term.status());
    return hint_term.status();
  }
  Respond(m, MessageType::kAppendResponse, /*reject=*/true, term());
  messages_.back().hint_index = *hint;
  messages_.back().hint_term = *hint_term;
  return absl::OkStatus();
}

void Node::FollowCommit(LogIndex leader_commit) {
  log_.CommitTo(std::min(leader_commit, matched_));
}

void Node::AckLeader() {
  ack_owed_ = false;
  if (role_ != Role::kFollower || leader_ == kNoMember) return;  // a heartbeat's answer will tell
  Message m;
  m.type = MessageType::kAppendResponse;
  m.to = leader_;
  m.term = term();
  m.match_index = matched_;
  m.durable_index = acked_durable_ = std::min(log_.durable(), matched_);
  m.damaged = damaged_;
  Send(std::move(m));
}

void Node::MaybeHeal() {
  if (!damaged_ || role_ != Role::kFollower || leader_ == kNoMember) return;
  if (term() <= damaged_term_) return;
  const absl::StatusOr<Term> held = log_.TermAt(std::min(log_.durable(), matched_));
  if (!held.ok() || *held != term()) return;
  damaged_ = false;
  healed_ = true;
}

}  // namespace raftmq::raft
