// Node: one member's Raft state (Ongaro & Ousterhout 2014, "the paper"; Ongaro's dissertation,
// "thesis") as a deterministic state machine.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/random.h"
#include "raft/log_storage.h"
#include "raft/options.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft_log.h"
#include "raft/ready.h"
#include "raft/types.h"

namespace raftmq::raft {

// One peer as its leader sees it.
struct PeerStatus {
  MemberId id;
  ProgressState state = ProgressState::kProbe;
  LogIndex match;
  LogIndex durable;
  LogIndex next;
  int32_t inflight_messages = 0;
  int64_t inflight_bytes = 0;
  int32_t ticks_since_heard = 0;
  bool damaged = false;
};

struct Status {
  MemberId self;
  Role role = Role::kFollower;
  Term term;
  MemberId vote;
  MemberId leader;
  LogIndex commit;
  LogIndex applied;
  LogIndex durable;
  LogEnd last;
  MemberId transfer_target = kNoMember;
  bool damaged = false;
  std::vector<PeerStatus> peers;  // leader only
};

// Who owns it, who calls it: a driver, on one thread. Inputs change the state and gather effects;
// HasReady/TakeReady hand the effects out (ready.h has the contract). The driver calls TakeReady
// after each batch of inputs; after a Step of a kAppend with entries it must before the next Step
// of a kAppend, since only the last message's bytes are at hand (CHECKed).
//
// No I/O, clock, thread or global: the same inputs and Random give the same outputs. Nothing that a
// peer sends can crash it.
class Node {
 public:
  // `storage` outlives the node. REQUIRES: both Validate().ok().
  Node(const Options& options, const LogStorage* storage, const InitialState& initial,
       Random random);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // ---- Inputs ----

  // One tick of time passed.
  void Tick();

  // A message came. InvalidArgument: it makes no sense (wrong ids, impossible entries) and changed
  // nothing: log it, perhaps close the connection. Unimplemented: a reserved type. DataLoss: a
  // leader contradicts a committed entry, so one of the two logs is wrong: stop the replica.
  // A message that is merely late is OK and ignored.
  absl::Status Step(const Message& message);

  // Appends an entry of `frame_size` bytes (48 for the header included) and says where it goes.
  // With `ack_in_memory` followers also answer before their disk did, so that Ready::replicated
  // runs ahead of Ready::committed; without it that field may lag until the disks have it.
  // FailedPrecondition: not the leader, or handing leadership over. ResourceExhausted:
  // max_uncommitted_bytes reached; try after something committed. InvalidArgument: size.
  absl::StatusOr<EntryMeta> Propose(EntryType type, int32_t frame_size, bool ack_in_memory = false);

  // The local log is durable (fdatasync finished) up to `index`, whose entry had `term` when it was
  // written. Ignored if that entry has been replaced since.
  void OnDurable(LogIndex index, Term term);

  // The driver applied entries up to `index`. REQUIRES: index <= min(commit, durable).
  void AppliedTo(LogIndex index);

  // Leader: begins a linearizable read (thesis §6.4). Whoever has applied `index` once the round is
  // confirmed (Ready::confirmed_reads) sees all that was committed before this call. Calls between
  // two Readys share a round. Not confirmed any more once this member stops leading: drop it then.
  // FailedPrecondition: not the leader, or no entry of its term is committed yet.
  struct Read {
    ReadRound round = 0;
    LogIndex index;
  };
  absl::StatusOr<Read> ReadIndex();

  // Drops the metadata of entries up to `upto` from memory; LogStorage answers for them from now
  // on. REQUIRES: upto <= min(applied, durable).
  void CompactMetadata(LogIndex upto);

  // Leader: lets `target` catch up, then tells it to campaign at once. No proposals meanwhile;
  // given up after election_ticks_max. OK says only that it started. FailedPrecondition: not the
  // leader, or another transfer is on. InvalidArgument: not another voter.
  absl::Status TransferLeadership(MemberId target);

  // A leader becomes follower in its term; anything else is left alone.
  void StepDown();

  // The last connection to `member` was closed by it and not replaced. If it is the leader being
  // followed, this member no longer counts it as heard (it grants votes) and starts a pre-vote
  // within early_election_ticks_max, unless it hears from it again before.
  void LeaderConnectionClosed(MemberId member);

  // Messages to `member` may have been lost: the leader asks it where it stands before it sends on.
  void ReportUnreachable(MemberId member);

  // `member` greeted with a new boot id: it may have lost what it had in memory (and, if its disk
  // was damaged, more). All that was known of its log is forgotten. The driver must not Step
  // messages of the old boot afterwards.
  void PeerRestarted(MemberId member);

  // ---- Effects ----

  bool HasReady() const;
  // May turn out to ask for nothing. See ready.h for what the driver owes it.
  Ready TakeReady();

  // ---- State ----

  MemberId self() const { return options_.self; }
  Role role() const { return role_; }
  MemberId leader() const { return leader_; }
  Term term() const { return hard_state_.term; }
  MemberId vote() const { return hard_state_.vote; }
  bool damaged() const { return damaged_; }
  LogIndex commit_index() const { return log_.commit(); }
  LogIndex applied_index() const { return log_.applied(); }
  LogIndex durable_index() const { return log_.durable(); }
  LogIndex last_index() const { return log_.last().index; }
  Term last_term() const { return log_.last().term; }
  LogPosition last_end() const { return log_.last().end; }
  LogIndex replicated_index() const;
  // A leader's first index of its term (its no-op), once it leads; commit at or above it means that
  // all earlier entries are committed too.
  LogIndex term_start_index() const { return term_start_; }
  const Configuration& configuration() const { return configuration_; }
  Status status() const;

 private:
  friend absl::Status CheckInvariants(const Node& node);

  // node.cc
  absl::Status ValidateMessage(const Message& m) const;
  absl::Status StepCurrentTerm(const Message& m);
  void RefuseStaleTerm(const Message& m);
  void Send(Message m);
  void Respond(const Message& request, MessageType type, bool reject, Term term);
  void NoteStorageError(const absl::Status& status);

  // election.cc
  void SetTermAndVote(Term term, MemberId vote);  // the only place that changes them
  void BecomeFollower(Term term, MemberId leader);
  void BecomeLeader();
  void ResetElectionTimer();
  bool MayCampaign() const;
  bool HearsLeader() const;
  void TickElection();
  void TickLeader();
  void CheckQuorum();
  void StartElection();
  void CampaignPreVote();
  void Campaign(bool force);
  void RequestVotes(MessageType type, Term term, bool force);
  void HandlePreVote(const Message& m);
  void HandleVote(const Message& m);
  void HandleVoteResponse(const Message& m);
  void HandleTimeoutNow(const Message& m);
  void MaybeFinishTransfer();

  // read_index.cc
  void SendReadIndex();
  void AskForReadsAgain();
  void ConfirmReads();
  void HandleReadIndex(const Message& m);
  absl::Status HandleReadIndexResponse(const Message& m);

  // replication.cc, leader's side
  EntryMeta AppendOwn(EntryType type, int32_t frame_size);
  void SendHeartbeats();
  void SendHeartbeat(MemberId to, Progress& progress, bool quiet);
  void FillAppends();
  bool IsWorthSending(const Progress& progress) const;
  bool SendAppend(MemberId to, Progress& progress, bool check);
  absl::Status FillEntries(LogIndex first, bool check, Message& m) const;
  void SendCommitNotices();
  absl::Status HandleAppendResponse(const Message& m);
  absl::Status HandleHeartbeatResponse(const Message& m);
  absl::Status NotePositions(const Message& m, Progress& progress);
  void HandleReject(const Message& m, Progress& progress);
  void AdvanceCommit();
  // ... follower's side
  absl::Status ValidateEntries(const Message& m) const;
  void HearLeader(const Message& m);
  void HandleHeartbeat(const Message& m);
  absl::Status HandleAppend(const Message& m);
  absl::StatusOr<bool> AppendFromLeader(const Message& m);
  absl::Status CheckPlace(const EntryMeta& entry);
  absl::Status RemoveFrom(LogIndex from);
  absl::Status RejectAppend(const Message& m);
  absl::Status ContradictsCommitted(const Message& m, LogIndex index) const;
  void FollowCommit(LogIndex leader_commit);
  void AckLeader();
  void MaybeHeal();

  const Options options_;
  Random random_;
  const Configuration configuration_;
  RaftLog log_;

  HardState hard_state_;
  Role role_ = Role::kFollower;
  MemberId leader_ = kNoMember;
  bool damaged_ = false;
  Term damaged_term_;
  LogIndex replayed_at_;  // InitialState::committed: not applied so far, it does not campaign

  // Follower and candidate.
  int32_t election_elapsed_ = 0;  // ticks since the leader was heard, a vote granted, a campaign
  int32_t election_timeout_ = 0;  // drawn
  bool leader_connection_closed_ = false;
  VoteTally votes_;
  // The log equals the current leader's up to here, as far as this term's messages (of this boot)
  // proved. Commit never goes beyond it, and acks never claim more.
  LogIndex matched_;
  LogIndex acked_durable_;  // durable_index last told to the leader of this term
  bool ack_owed_ = false;   // an ack goes out with the next Ready

  // Leader.
  std::map<MemberId, Progress> peers_;  // all other voters; a leader's only
  int32_t heartbeat_elapsed_ = 0;
  LogIndex term_start_;
  LogIndex replicated_;
  LogIndex ack_in_memory_upto_;  // last entry proposed with ack_in_memory
  MemberId transfer_target_ = kNoMember;
  int32_t transfer_elapsed_ = 0;
  bool transfer_sent_ = false;  // kTimeoutNow is on its way
  ReadRound reads_begun_ = 0;   // grows, also from term to term
  ReadRound reads_sent_ = 0;    // below reads_begun_: the last one can still be joined
  ReadRound confirmed_reads_ = 0;
  bool reads_due_ = false;  // a round is to be sent, for the first time or again

  // Effects gathered for the next Ready.
  std::vector<Message> messages_;
  std::vector<EntryMeta> untaken_;     // appended here, not handed out
  bool untaken_from_message_ = false;  // ... and their bytes are those of the kAppend stepped last
  std::optional<LogIndex> truncate_from_;
  absl::Status storage_error_;
  bool healed_ = false;
  bool notices_due_ = false;  // a tick came by
  bool replicate_ = false;    // peers may have room for more, or a commit index to learn
  // As told by the last Ready.
  HardState told_hard_state_;
  SoftState told_soft_state_;
  LogIndex told_commit_;
  LogIndex told_replicated_;
  ReadRound told_confirmed_reads_ = 0;
};

}  // namespace raftmq::raft
