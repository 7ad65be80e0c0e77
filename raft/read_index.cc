// Node: linearizable reads (Ongaro's dissertation §6.4): the leader makes sure that no other one
// was elected before the read began, by an exchange with a majority and without a clock.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "raft/node.h"

namespace raftmq::raft {

absl::StatusOr<Node::Read> Node::ReadIndex() {
  if (role_ != Role::kLeader) {
    return absl::FailedPreconditionError(
        StrCat("read index: member ", options_.self, " is not the leader; the leader is ",
               leader_ == kNoMember ? "not known" : StrCat("member ", leader_)));
  }
  // Until then the commit index may lie behind what earlier leaders committed.
  if (log_.commit() < term_start_) {
    return absl::FailedPreconditionError(StrCat("read index: member ", options_.self,
                                                " leads term ", term(),
                                                " and has committed nothing in it yet; try again"));
  }
  // A round that was sent already may have been answered before this read began.
  if (reads_begun_ == reads_sent_) ++reads_begun_;
  reads_due_ = true;
  return Read{reads_begun_, log_.commit()};
}

void Node::SendReadIndex() {
  reads_due_ = false;
  reads_sent_ = reads_begun_;
  for (const auto& [id, progress] : peers_) {
    if (progress.confirmed_round >= reads_sent_) continue;
    Message m;
    m.type = MessageType::kReadIndex;
    m.to = id;
    m.term = term();
    m.hint_index = LogIndex(reads_sent_);
    Send(std::move(m));
  }
  ConfirmReads();  // a group of one needs nobody else
}

// Questions and answers get lost. Whoever confirms a later round confirms those before.
void Node::AskForReadsAgain() {
  if (confirmed_reads_ < reads_sent_) reads_due_ = true;
}

void Node::ConfirmReads() {
  std::vector<LogIndex> rounds = {LogIndex(reads_sent_)};  // this member's own
  for (const auto& [id, progress] : peers_) rounds.push_back(LogIndex(progress.confirmed_round));
  confirmed_reads_ = std::max(confirmed_reads_, MajorityIndex(std::move(rounds)).value());
}

void Node::HandleReadIndex(const Message& m) {
  HearLeader(m);
  Message response;
  response.type = MessageType::kReadIndexResponse;
  response.to = m.from;
  response.term = term();
  response.hint_index = m.hint_index;
  response.damaged = damaged_;
  Send(std::move(response));
}

// Only answers of the current term come here: its sender had elected nobody else by then.
absl::Status Node::HandleReadIndexResponse(const Message& m) {
  const auto peer = peers_.find(m.from);
  if (peer == peers_.end()) return absl::OkStatus();
  if (m.reject || m.hint_index > LogIndex(reads_sent_)) {
    return absl::InvalidArgumentError(
        StrCat("raft message refused: member ", m.from, " confirms round ", m.hint_index,
               " of reads, the last one is ", reads_sent_, ": ", ToString(m)));
  }
  peer->second.confirmed_round = std::max(peer->second.confirmed_round, m.hint_index.value());
  ConfirmReads();
  return absl::OkStatus();
}

}  // namespace raftmq::raft
