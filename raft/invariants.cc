#include "raft/invariants.h"

#include <algorithm>

#include "base/strings.h"
#include "raft/node.h"

namespace raftmq::raft {

namespace {

template <typename... Args>
absl::Status Broken(const Args&... args) {
  return absl::InternalError(StrCat("raft invariant broken: ", args...));
}

absl::Status CheckLog(const RaftLog& log, int64_t segment_size) {
  if (log.applied() > log.commit()) {
    return Broken("applied ", log.applied(), " is above commit ", log.commit());
  }
  if (log.commit() > log.last().index) {
    return Broken("commit ", log.commit(), " is beyond the log's end ", log.last().index);
  }
  if (log.durable() > log.last().index) {
    return Broken("durable ", log.durable(), " is beyond the log's end ", log.last().index);
  }
  if (log.base() > log.durable()) {
    return Broken("entries up to ", log.base(), " left memory, durable up to ", log.durable());
  }
  if (log.last().index - log.base() != static_cast<int64_t>(log.tail().size())) {
    return Broken("the log holds ", log.tail().size(), " entries between ", log.base(), " and ",
                  log.last().index);
  }
  const EntryMeta* before = nullptr;
  for (const EntryMeta& entry : log.tail()) {
    if (before != nullptr) {
      if (entry.index != before->index + 1 || entry.term < before->term ||
          entry.position != PlaceFrame(before->end(), entry.size, segment_size)) {
        return Broken("entry ", ToString(entry), " after ", ToString(*before));
      }
    } else if (entry.index != log.base() + 1) {
      return Broken("the first entry in memory is ", ToString(entry), ", not ", log.base() + 1);
    }
    before = &entry;
  }
  if (before != nullptr && log.last() != LogEnd{before->index, before->term, before->end()}) {
    return Broken("the log's end is ", log.last().index, "/", log.last().term, ", its last entry ",
                  ToString(*before));
  }
  return absl::OkStatus();
}

absl::Status CheckPeer(MemberId id, const Progress& p, const RaftLog& log, const Options& options) {
  if (p.durable > p.match) {
    return Broken("peer ", id, ": durable ", p.durable, " is above match ", p.match);
  }
  if (p.next <= p.match) {
    return Broken("peer ", id, ": next ", p.next, " is not above match ", p.match);
  }
  if (p.match > log.last().index || p.next > log.last().index + 1) {
    return Broken("peer ", id, ": match ", p.match, ", next ", p.next, ", but the log ends at ",
                  log.last().index);
  }
  if (p.state != ProgressState::kReplicate && p.inflight.messages() > 0) {
    return Broken("peer ", id, ": ", p.inflight.messages(), " Appends in flight in state ",
                  ToString(p.state));
  }
  if (p.inflight.messages() > options.max_inflight_messages ||
      p.inflight.bytes() >= options.max_inflight_bytes + MaxFrameSize(options.segment_size) +
                                options.max_bytes_per_append) {
    return Broken("peer ", id, ": ", p.inflight.messages(), " Appends of ", p.inflight.bytes(),
                  " bytes in flight exceed the window");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckInvariants(const Node& node) {
  RAFTMQ_RETURN_IF_ERROR(CheckLog(node.log_, node.options_.segment_size));
  const HardState& now = node.hard_state_;
  const HardState& told = node.told_hard_state_;
  if (now.term < told.term) return Broken("term fell from ", told.term, " to ", now.term);
  if (now.term == told.term && told.vote != kNoMember && now.vote != told.vote) {
    return Broken("two votes in term ", now.term, ": ", told.vote, " and ", now.vote);
  }
  if (node.last_term() > now.term) {
    return Broken("the last entry's term ", node.last_term(), " is above the term ", now.term);
  }
  if (node.commit_index() < node.told_commit_) {
    return Broken("commit fell from ", node.told_commit_, " to ", node.commit_index());
  }
  if (node.matched_ > node.last_index() && node.role_ != Role::kLeader) {
    return Broken("matched ", node.matched_, " is beyond the log's end ", node.last_index());
  }
  if (node.acked_durable_ > std::min(node.durable_index(), node.matched_)) {
    return Broken("durable ", node.acked_durable_, " was acknowledged; durable is ",
                  node.durable_index(), ", matched ", node.matched_);
  }
  if (node.damaged_ && (node.role_ == Role::kCandidate || node.role_ == Role::kLeader)) {
    return Broken("a damaged member is ", ToString(node.role_));
  }
  switch (node.role_) {
    case Role::kFollower:
      if (node.leader_ == node.self()) return Broken("a follower takes itself for the leader");
      break;
    case Role::kPreCandidate:
    case Role::kCandidate:
      if (node.leader_ != kNoMember) {
        return Broken("a ", ToString(node.role_), " has leader ", node.leader_);
      }
      break;
    case Role::kLeader:
      break;
  }
  if (node.role_ == Role::kCandidate && now.vote != node.self()) {
    return Broken("a candidate voted for ", now.vote);
  }
  if (node.reads_sent_ > node.reads_begun_ || node.reads_begun_ > node.reads_sent_ + 1 ||
      node.confirmed_reads_ > node.reads_sent_) {
    return Broken("rounds of reads: ", node.reads_begun_, " begun, ", node.reads_sent_, " sent, ",
                  node.confirmed_reads_, " confirmed");
  }
  if (node.reads_due_ && node.role_ != Role::kLeader) return Broken("only a leader asks for reads");
  if (node.role_ != Role::kLeader) {
    if (!node.peers_.empty()) return Broken("a ", ToString(node.role_), " keeps peers' progress");
    return absl::OkStatus();
  }
  if (node.leader_ != node.self() || now.vote != node.self()) {
    return Broken("a leader follows ", node.leader_, " and voted for ", now.vote);
  }
  const absl::StatusOr<Term> start = node.log_.TermAt(node.term_start_);
  if (start.ok() && *start != now.term) {
    return Broken("the leader's first entry ", node.term_start_, " is of term ", *start);
  }
  for (const auto& [id, progress] : node.peers_) {
    RAFTMQ_RETURN_IF_ERROR(CheckPeer(id, progress, node.log_, node.options_));
  }
  return absl::OkStatus();
}

}  // namespace raftmq::raft
