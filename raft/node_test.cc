// What a driver relies on beyond the paper: acknowledgements of two kinds, the window, limits,
// early elections, damage, and that no message can hurt.
#include "raft/node.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "raft/invariants.h"
#include "raft/testing/cluster.h"
#include "raft/testing/member.h"
#include "raft/testing/memory_log.h"
#include "raft/testing/messages.h"

namespace raftmq::raft {
namespace {

using testing::AckOf;
using testing::AppendOf;
using testing::Base;
using testing::Cluster;
using testing::ClusterOptions;
using testing::Entries;
using testing::HeartbeatOf;
using testing::Member;
using testing::MemoryLog;
using testing::OfType;
using testing::PreVoteOf;
using testing::RejectOf;
using testing::TermsOf;
using testing::VoteOf;
using Terms = std::vector<int64_t>;

Configuration Voters(int32_t n) {
  Configuration configuration;
  for (int32_t id = 1; id <= n; ++id) configuration.voters.push_back(MemberId(id));
  return configuration;
}

Options One() {
  Options options;
  options.self = MemberId(1);
  return options;
}

struct Solo : Member {
  explicit Solo(const Options& options = One(), int32_t voters = 3, bool auto_sync = false)
      : Member(options, Voters(voters), /*seed=*/5, auto_sync) {}
  void MustStep(const Message& m) {
    const absl::Status status = Step(m);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(CheckInvariants(node()).ok()) << CheckInvariants(node());
  }
  // Leads term 1, its no-op on all members' disks.
  void Lead() {
    for (int i = 0; i < 1000 && node().role() == Role::kFollower; ++i) Tick();
    MustStep(Base(MessageType::kPreVoteResponse, 2, 1, 1));
    MustStep(Base(MessageType::kVoteResponse, 2, 1, 1));
    ASSERT_EQ(node().role(), Role::kLeader);
    Sync();
    MustStep(AckOf(2, 1, 1, 1, 1));
    MustStep(AckOf(3, 1, 1, 1, 1));
    TakeSent();
  }
  PeerStatus Peer(int32_t id) { return node().status().peers.at(id - 2); }
};

// ---- Acknowledgements ----

TEST(FollowerAcks, WaitForTheDiskAndOneCoversSeveralAppends) {
  Solo follower;
  follower.MustStep(AppendOf(2, 1, 1, {}, {1}));
  follower.MustStep(AppendOf(2, 1, 1, {1}, {1, 1}));
  EXPECT_TRUE(follower.TakeSent().empty());
  follower.Sync();
  const std::vector<Message> sent = follower.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].match_index, LogIndex(3));
  EXPECT_EQ(sent[0].durable_index, LogIndex(3));
}

TEST(FollowerAcks, ReportOnlyWhatTheFinishedSyncCovered) {
  Solo follower;
  follower.MustStep(AppendOf(2, 1, 1, {}, {1}));
  follower.StartSync();
  follower.MustStep(AppendOf(2, 1, 1, {1}, {1, 1}));
  follower.FinishSync();
  const std::vector<Message> sent = follower.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].match_index, LogIndex(3));
  EXPECT_EQ(sent[0].durable_index, LogIndex(1));
}

TEST(FollowerAcks, GoOutAtOnceFromMemoryIfTheLeaderAsks) {
  Solo follower;
  Message m = AppendOf(2, 1, 1, {}, {1});
  m.ack_in_memory = true;
  follower.MustStep(m);
  std::vector<Message> sent = follower.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].match_index, LogIndex(1));
  EXPECT_EQ(sent[0].durable_index, LogIndex(0));
  follower.Sync();
  sent = follower.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].durable_index, LogIndex(1));
}

TEST(FollowerAcks, ADuplicateIsAnsweredAtOnceButNotAsDurable) {
  Solo follower;
  follower.MustStep(AppendOf(2, 1, 1, {}, {1}));
  follower.MustStep(AppendOf(2, 1, 1, {}, {1}));
  const std::vector<Message> sent = follower.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].match_index, LogIndex(1));
  EXPECT_EQ(sent[0].durable_index, LogIndex(0));
}

TEST(FollowerAcks, NeverClaimAnUnverifiedTailAlthoughItIsOnDisk) {
  Solo follower;
  follower.Preload({Term(2), kNoMember}, {Term(1), Term(2), Term(2)});
  follower.MustStep(AppendOf(2, 1, 3, {1}, {}));
  EXPECT_EQ(follower.TakeSent().back().durable_index, LogIndex(1));
  follower.MustStep(HeartbeatOf(2, 1, 3));
  EXPECT_EQ(follower.TakeSent().back().match_index, LogIndex(1));
}

TEST(LeaderAcks, MemoryOfAMajorityIsReportedApartFromDisks) {
  Solo leader;
  leader.Lead();
  ASSERT_TRUE(leader.Propose(100, /*ack_in_memory=*/true).ok());
  for (const Message& m : OfType(leader.TakeSent(), MessageType::kAppend)) {
    EXPECT_TRUE(m.ack_in_memory);
  }
  leader.MustStep(AckOf(2, 1, 1, 2, 1));
  EXPECT_EQ(leader.node().replicated_index(), LogIndex(2));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(1));
  ASSERT_TRUE(leader.Propose(100).ok());
  EXPECT_FALSE(leader.TakeSent().back().ack_in_memory);
}

TEST(LeaderAcks, EntriesOfEarlierTermsAreNotReportedAsReplicated) {
  Solo leader(One(), 3, /*auto_sync=*/true);
  leader.Preload({Term(1), kNoMember}, {Term(1), Term(1)});
  for (int i = 0; i < 1000 && leader.node().role() == Role::kFollower; ++i) leader.Tick();
  leader.MustStep(Base(MessageType::kPreVoteResponse, 2, 1, 2));
  leader.MustStep(Base(MessageType::kVoteResponse, 2, 1, 2));
  leader.MustStep(AckOf(2, 1, 2, 2, 2));
  EXPECT_EQ(leader.node().replicated_index(), LogIndex(0));
  leader.MustStep(AckOf(2, 1, 2, 3, 2));
  EXPECT_EQ(leader.node().replicated_index(), LogIndex(3));
}

TEST(LeaderAcks, TwoFollowersDisksCommitWithoutTheLeadersOwn) {
  Solo leader;
  leader.Lead();
  ASSERT_TRUE(leader.Propose().ok());
  leader.MustStep(AckOf(2, 1, 1, 2, 2));
  leader.MustStep(AckOf(3, 1, 1, 2, 2));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(2));
  EXPECT_EQ(leader.node().durable_index(), LogIndex(1));
  EXPECT_EQ(leader.applied(), LogIndex(1));  // not before it is on its own disk
  leader.Sync();
  EXPECT_EQ(leader.applied(), LogIndex(2));
}

// ---- Commit notices ----

TEST(CommitNotices, AreSentWhenNoEntriesFlowThatWouldCarryThem) {
  Solo leader;
  leader.Lead();
  ASSERT_TRUE(leader.Propose().ok());
  leader.Sync();
  leader.TakeSent();
  leader.MustStep(AckOf(2, 1, 1, 2, 2));
  const std::vector<Message> sent = leader.TakeSent();
  ASSERT_EQ(sent.size(), 1u);  // member 3 hasn't answered: its copy is under way
  EXPECT_EQ(sent[0].type, MessageType::kHeartbeat);
  EXPECT_EQ(sent[0].to, MemberId(2));
  EXPECT_EQ(sent[0].commit, LogIndex(2));
  EXPECT_TRUE(sent[0].quiet);
  Solo follower;
  follower.MustStep(AppendOf(2, 1, 1, {}, {1, 1}));
  Message notice = HeartbeatOf(2, 1, 1, 2);
  notice.quiet = true;
  follower.MustStep(notice);
  EXPECT_TRUE(follower.TakeSent().empty());
  EXPECT_EQ(follower.node().commit_index(), LogIndex(2));
}

TEST(CommitNotices, MayWaitForATickWhichTheNextEntryBeats) {
  Options options = One();
  options.notices_at_ticks = true;
  Solo leader(options);
  leader.Lead();
  ASSERT_TRUE(leader.Propose().ok());
  leader.Sync();
  leader.TakeSent();
  leader.MustStep(AckOf(2, 1, 1, 2, 2));
  EXPECT_TRUE(leader.TakeSent().empty());
  ASSERT_TRUE(leader.Propose().ok());
  const std::vector<Message> appends = OfType(leader.TakeSent(), MessageType::kAppend);
  ASSERT_EQ(appends.size(), 2u);
  EXPECT_EQ(appends[0].commit, LogIndex(2));
  leader.Sync();
  leader.MustStep(AckOf(2, 1, 1, 3, 3));
  EXPECT_TRUE(leader.TakeSent().empty());
  leader.node().Tick();
  leader.Drain();
  const std::vector<Message> sent = leader.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].type, MessageType::kHeartbeat);
  EXPECT_EQ(sent[0].to, MemberId(2));
}

// ---- The window ----

TEST(Window, StopsAtItsMessagesAndOpensWithAnswers) {
  Options options = One();
  options.max_inflight_messages = 2;
  Solo leader(options);
  leader.Lead();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(leader.Propose().ok());
  EXPECT_EQ(OfType(leader.TakeSent(), MessageType::kAppend).size(), 4u);  // two to each
  EXPECT_EQ(leader.Peer(2).inflight_messages, 2);
  leader.MustStep(AckOf(2, 1, 1, 3, 2));  // both arrived, one durable: memory frees the window
  const std::vector<Message> sent = OfType(leader.TakeSent(), MessageType::kAppend);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].entries.size(), 3u);  // what had piled up goes in one
}

TEST(Window, StopsAtItsBytes) {
  Options options = One();
  options.max_inflight_bytes = 250;
  Solo leader(options);
  leader.Lead();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(leader.Propose(100).ok());
  EXPECT_EQ(leader.Peer(2).inflight_bytes, 300);
}

TEST(Window, SmallEntriesWaitForAnAnswerOnceEnoughAppendsAreUnderWay) {
  Options options = One();
  options.eager_appends = 2;
  options.full_append_bytes = 1000;
  Solo leader(options);
  leader.Lead();
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(leader.Propose(100).ok());
  EXPECT_EQ(leader.Peer(2).inflight_messages, 2);
  leader.TakeSent();
  leader.MustStep(AckOf(2, 1, 1, 2, 2));
  const std::vector<Message> sent = OfType(leader.TakeSent(), MessageType::kAppend);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].to, MemberId(2));
  EXPECT_EQ(sent[0].entries.size(), 4u) << "all that had piled up";
  ASSERT_TRUE(leader.Propose(2000).ok());
  EXPECT_EQ(OfType(leader.TakeSent(), MessageType::kAppend).size(), 2u)
      << "a full one waits for nothing";
}

TEST(Window, ProposalsOfOneBatchGoInOneAppendPerSegment) {
  Options options = One();
  options.segment_size = 1000;
  Solo leader(options);
  leader.Lead();
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(leader.node().Propose(EntryType::kNormal, 150).ok());
  }
  leader.Drain();
  std::vector<size_t> sizes;
  for (const Message& m : leader.TakeSent()) {
    if (m.to != MemberId(2)) continue;
    sizes.push_back(m.entries.size());
    EXPECT_EQ(m.entries.front().position.value() / 1000,
              (m.entries.back().end() - 1).value() / 1000);
  }
  // 48 bytes of no-op and six of 150 leave 52 for a blank frame.
  EXPECT_EQ(sizes, (std::vector<size_t>{6, 3}));
}

TEST(Window, ALostAppendIsNoticedByTheHeartbeatsAnswer) {
  Cluster cluster({});
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Propose(1).ok());
  cluster.Drop([](const Message& m) { return m.to == MemberId(3); });
  cluster.TickAll(4 * Options().heartbeat_ticks, /*deliver=*/true);
  EXPECT_EQ(cluster.node(3).commit_index(), LogIndex(2));
}

TEST(Window, ALostAnswerIsMadeUpForByTheHeartbeatsAnswer) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(2);
  ASSERT_TRUE(cluster.Propose(1).ok());
  cluster.Deliver();
  cluster.Drop([](const Message& m) { return m.type == MessageType::kAppendResponse; });
  EXPECT_EQ(cluster.node(1).commit_index(), LogIndex(1));
  cluster.TickAll(Options().heartbeat_ticks, /*deliver=*/true);
  EXPECT_EQ(cluster.node(1).commit_index(), LogIndex(2));
}

TEST(Peers, ANewBootForgetsAllThatWasKnownOfThePeer) {
  Solo leader;
  leader.Lead();
  ASSERT_TRUE(leader.Propose().ok());
  leader.MustStep(AckOf(2, 1, 1, 2, 2));
  leader.node().PeerRestarted(MemberId(2));
  leader.Drain();
  EXPECT_EQ(leader.Peer(2).match, LogIndex(0));
  EXPECT_EQ(leader.Peer(2).durable, LogIndex(0));
  EXPECT_EQ(leader.Peer(2).state, ProgressState::kProbe);
  leader.Sync();  // the leader's disk alone is no majority any more
  EXPECT_EQ(leader.node().commit_index(), LogIndex(1));
  leader.MustStep(RejectOf(2, 1, 1, 2, 0, 0));
  EXPECT_EQ(leader.Peer(2).next, LogIndex(1));
}

TEST(Peers, AnUnreachableOneIsAskedWhereItStands) {
  Solo leader;
  leader.Lead();
  ASSERT_TRUE(leader.Propose().ok());
  EXPECT_EQ(leader.Peer(2).next, LogIndex(3));
  leader.TakeSent();
  leader.node().ReportUnreachable(MemberId(2));
  leader.Drain();
  const std::vector<Message> sent = leader.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].prev_index, LogIndex(1));
  EXPECT_EQ(sent[0].entries.size(), 1u);
  ASSERT_TRUE(leader.Propose().ok());
  EXPECT_TRUE(OfType(leader.TakeSent(), MessageType::kAppend).size() == 1);  // to member 3 only
}

TEST(Peers, OneThatNeedsDroppedEntriesWaitsForASnapshot) {
  Solo leader(One(), 3, /*auto_sync=*/true);
  leader.Preload({Term(1), kNoMember}, std::vector<Term>(10, Term(1)), LogIndex(10));
  leader.log().DropBefore(LogIndex(6));
  for (int i = 0; i < 1000 && leader.node().role() == Role::kFollower; ++i) leader.Tick();
  leader.MustStep(Base(MessageType::kPreVoteResponse, 2, 1, 2));
  leader.MustStep(Base(MessageType::kVoteResponse, 2, 1, 2));
  leader.MustStep(RejectOf(3, 1, 2, 10, 2, 1));
  EXPECT_EQ(leader.Peer(3).state, ProgressState::kSnapshot);
  leader.MustStep(RejectOf(2, 1, 2, 10, 5, 1));  // its next is the first one held
  EXPECT_EQ(leader.Peer(2).state, ProgressState::kProbe);
  EXPECT_EQ(OfType(leader.TakeSent(), MessageType::kAppend).back().prev_end, LogPosition(500));
  Message caught_up = Base(MessageType::kHeartbeatResponse, 3, 1, 2);
  caught_up.match_index = caught_up.durable_index = LogIndex(8);  // by other means
  leader.MustStep(caught_up);
  EXPECT_EQ(leader.Peer(3).state, ProgressState::kProbe);
}

// ---- Proposals ----

TEST(Propose, GivesIndexTermAndPosition) {
  Options options = One();
  options.segment_size = 1000;
  Solo leader(options);
  leader.Lead();  // no-op at [0, 48)
  EXPECT_EQ(*leader.Propose(250),
            (EntryMeta{LogIndex(2), Term(1), EntryType::kNormal, LogPosition(48), 250}));
  EXPECT_EQ(leader.Propose(250)->position, LogPosition(298));
  EXPECT_EQ(leader.Propose(250)->position, LogPosition(548));
  EXPECT_EQ(leader.Propose(250)->position, LogPosition(1000));
  EXPECT_EQ(leader.node().last_end(), LogPosition(1250));
}

TEST(Propose, IsBoundedInUncommittedBytes) {
  Options options = One();
  options.max_uncommitted_bytes = 250;
  Solo leader(options);
  leader.Lead();
  ASSERT_TRUE(leader.Propose(1000).ok());  // one always goes
  EXPECT_TRUE(absl::IsResourceExhausted(leader.Propose(48).status()));
  leader.MustStep(AckOf(2, 1, 1, 2, 2));
  leader.Sync();
  ASSERT_TRUE(leader.Propose(100).ok());
  ASSERT_TRUE(leader.Propose(150).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(leader.Propose(48).status()));
}

TEST(Propose, RefusesImpossibleSizes) {
  Solo leader;
  leader.Lead();
  EXPECT_TRUE(absl::IsInvalidArgument(leader.Propose(47).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(leader.Propose((1 << 28) + 1).status()));
  EXPECT_TRUE(leader.Propose(1 << 28).ok());
}

TEST(Propose, IsTheLeadersOnly) {
  Solo member;
  EXPECT_TRUE(absl::IsFailedPrecondition(member.Propose().status()));
  member.Lead();
  member.node().StepDown();
  EXPECT_TRUE(absl::IsFailedPrecondition(member.Propose().status()));
}

TEST(SingleVoter, ElectsItselfAtOnceAndCommitsOnItsOwnDisk) {
  Solo alone(One(), 1);
  alone.Tick(Options().election_ticks_max);
  EXPECT_EQ(alone.node().role(), Role::kLeader);
  ASSERT_TRUE(alone.Propose().ok());
  EXPECT_EQ(alone.node().commit_index(), LogIndex(0));
  alone.Sync();
  EXPECT_EQ(alone.node().commit_index(), LogIndex(2));
  EXPECT_EQ(alone.applied(), LogIndex(2));
  EXPECT_TRUE(alone.TakeSent().empty());
  alone.Tick(1000);
  EXPECT_EQ(alone.node().role(), Role::kLeader);
}

TEST(NoConfiguration, NeitherVotesNorCampaignsButListensToALeader) {
  Solo member(One(), 0);
  member.Tick(1000);
  EXPECT_EQ(member.node().role(), Role::kFollower);
  EXPECT_EQ(member.node().term(), Term(0));
  EXPECT_TRUE(absl::IsInvalidArgument(member.Step(VoteOf(2, 1, 1, 5, 0))));
  EXPECT_TRUE(absl::IsInvalidArgument(member.Step(PreVoteOf(2, 1, 1, 5, 0))));
  EXPECT_TRUE(member.TakeSent().empty());
  member.MustStep(AppendOf(2, 1, 1, {}, {1}));
  EXPECT_EQ(member.node().last_index(), LogIndex(1));
}

// ---- The leader's closed connection ----

TEST(LeaderConnectionClosed, StartsAPreVoteWithinAFewTicks) {
  Solo follower;
  follower.MustStep(HeartbeatOf(2, 1, 1));
  follower.TakeSent();
  follower.node().LeaderConnectionClosed(MemberId(3));  // not the leader
  follower.Tick(Options().early_election_ticks_max);
  EXPECT_EQ(follower.node().role(), Role::kFollower);
  follower.node().LeaderConnectionClosed(MemberId(2));
  follower.Tick(Options().early_election_ticks_max);
  EXPECT_EQ(follower.node().role(), Role::kPreCandidate);
  EXPECT_EQ(OfType(follower.TakeSent(), MessageType::kPreVote).size(), 2u);
}

TEST(LeaderConnectionClosed, LetsAVoterVoteAtOnce) {
  Solo follower;
  follower.MustStep(HeartbeatOf(2, 1, 1));
  follower.MustStep(PreVoteOf(3, 1, 2, 0, 0));
  EXPECT_TRUE(follower.TakeSent().back().reject);
  follower.node().LeaderConnectionClosed(MemberId(2));
  follower.MustStep(PreVoteOf(3, 1, 2, 0, 0));
  EXPECT_FALSE(follower.TakeSent().back().reject);
}

TEST(LeaderConnectionClosed, IsForgottenWhenTheLeaderIsHeardAgain) {
  Solo follower;
  follower.MustStep(HeartbeatOf(2, 1, 1));
  follower.node().LeaderConnectionClosed(MemberId(2));
  follower.MustStep(HeartbeatOf(2, 1, 1));
  follower.MustStep(PreVoteOf(3, 1, 2, 0, 0));
  EXPECT_TRUE(follower.TakeSent().back().reject);
  follower.Tick(Options().election_ticks_min - 1);
  EXPECT_EQ(follower.node().role(), Role::kFollower);
}

TEST(LeaderConnectionClosed, OfAKilledLeaderIsReplacedInAFewTicks) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Crash(1);
  for (int32_t id : {2, 3}) cluster.node(id).LeaderConnectionClosed(MemberId(1));
  cluster.TickAll(Options().early_election_ticks_max, /*deliver=*/true);
  EXPECT_NE(cluster.Leader(), 0);
}

TEST(LeaderConnectionClosed, AtOneMemberOnlyDoesNotDisturbALeaderThatOthersHear) {
  Cluster cluster({});
  cluster.Elect(1);
  const Term term = cluster.node(1).term();
  cluster.TickAll(20, /*deliver=*/true);
  cluster.node(3).LeaderConnectionClosed(MemberId(1));
  cluster.TickAll(100, /*deliver=*/true);
  EXPECT_EQ(cluster.Leader(), 1);
  EXPECT_EQ(cluster.node(1).term(), term);
}

// ---- Election timers ----

TEST(ElectionTimer, AVoterThatGrantsItsVoteWaitsAnew) {
  Solo voter;
  voter.Tick(Options().election_ticks_min - 1);
  voter.MustStep(VoteOf(2, 1, 1, 0, 0));
  voter.Tick(Options().election_ticks_min - 1);
  EXPECT_EQ(voter.node().role(), Role::kFollower);
}

TEST(ElectionTimer, ACandidateThatCannotWinDoesNotKeepOthersFromTrying) {
  Solo voter;
  voter.Preload({Term(1), kNoMember}, {Term(1)});
  for (int32_t i = 0; i < Options().election_ticks_max; i += 5) {
    voter.MustStep(VoteOf(2, 1, voter.node().term().value() + 1, 0, 0));  // refused
    voter.Tick(5);
  }
  EXPECT_FALSE(OfType(voter.TakeSent(), MessageType::kPreVote).empty());
}

// ---- Replay ----

TEST(Replay, AMemberCampaignsOnlyWhenItHasAppliedWhatItKnewToBeCommitted) {
  MemoryLog log;
  for (int64_t i = 1; i <= 3; ++i) {
    log.Append({LogIndex(i), Term(1), EntryType::kNormal, LogPosition((i - 1) * 100), 100});
  }
  log.Sync(3);
  InitialState initial;
  initial.hard_state = {Term(1), kNoMember};
  initial.configuration = Voters(3);
  initial.last = log.End();
  initial.committed = LogIndex(3);
  initial.applied = LogIndex(1);
  Node node(One(), &log, initial, Random(1));
  for (int i = 0; i < 1'000; ++i) node.Tick();
  EXPECT_EQ(node.role(), Role::kFollower);
  EXPECT_EQ(node.commit_index(), LogIndex(3));
  node.AppliedTo(LogIndex(2));
  for (int i = 0; i < 1'000; ++i) node.Tick();
  EXPECT_EQ(node.role(), Role::kFollower);
  node.AppliedTo(LogIndex(3));
  for (int i = 0; i < 1'000; ++i) node.Tick();
  EXPECT_EQ(node.role(), Role::kPreCandidate);
}

// ---- Damage ----

TEST(Damage, ADamagedMemberNeitherVotesNorCampaigns) {
  Options options = One();
  options.damaged = true;
  Solo member(options, 3, /*auto_sync=*/true);
  member.Preload({Term(3), kNoMember}, {Term(1)});
  member.Tick(1000);
  EXPECT_EQ(member.node().role(), Role::kFollower);
  member.MustStep(PreVoteOf(2, 1, 4, 9, 3));
  EXPECT_TRUE(member.TakeSent().back().reject);
  member.MustStep(VoteOf(2, 1, 4, 9, 3));
  const Message answer = member.TakeSent().back();
  EXPECT_TRUE(answer.reject);
  EXPECT_TRUE(answer.damaged);
  member.MustStep(HeartbeatOf(2, 1, 4));
  member.MustStep(Base(MessageType::kTimeoutNow, 2, 1, 4));
  EXPECT_EQ(member.node().role(), Role::kFollower);
}

TEST(Damage, IsHealedByADurableOwnEntryOfALeaderElectedAfterIt) {
  Options options = One();
  options.damaged = true;
  Solo member(options);
  member.Preload({Term(3), kNoMember}, {Term(1)});
  member.MustStep(AppendOf(2, 1, 3, {1}, {3}));  // term 3 began before the damage
  member.Sync();
  EXPECT_TRUE(member.node().damaged());
  member.MustStep(AppendOf(3, 1, 4, {1, 3}, {3}));  // not the leader's own entry
  member.Sync();
  EXPECT_TRUE(member.node().damaged());
  member.MustStep(AppendOf(3, 1, 4, {1, 3, 3}, {4}));  // not durable yet
  EXPECT_TRUE(member.node().damaged());
  EXPECT_FALSE(member.healed());
  member.Sync();
  EXPECT_FALSE(member.node().damaged());
  EXPECT_TRUE(member.healed());
  EXPECT_FALSE(member.TakeSent().back().damaged);
}

TEST(Damage, TheTermOfTheDamageOutlivesARestart) {
  Options options = One();
  options.damaged = true;
  options.damaged_term = Term(3);
  Solo member(options, 3, /*auto_sync=*/true);
  member.Preload({Term(4), kNoMember}, {Term(1)});  // it followed term 4 before it restarted
  member.MustStep(AppendOf(2, 1, 4, {1}, {4}));
  EXPECT_TRUE(member.healed());
}

TEST(Damage, ADamagedTargetGetsNoLeadership) {
  Solo leader;
  leader.Lead();
  Message ack = AckOf(2, 1, 1, 1, 1);
  ack.damaged = true;
  leader.MustStep(ack);
  EXPECT_TRUE(leader.Peer(2).damaged);
  EXPECT_TRUE(absl::IsFailedPrecondition(leader.node().TransferLeadership(MemberId(2))));
}

// ---- Bad input ----

TEST(BadInput, IsRefusedAndChangesNothing) {
  std::vector<Message> bad;
  const auto add = [&bad](Message m, auto change) {
    change(m);
    bad.push_back(m);
  };
  const Message append = AppendOf(2, 1, 1, {1}, {1, 1});
  add(append, [](Message& m) { m.to = MemberId(2); });
  add(append, [](Message& m) { m.from = MemberId(1); });
  add(append, [](Message& m) { m.from = MemberId(9); });
  add(append, [](Message& m) { m.from = kNoMember; });
  add(append, [](Message& m) { m.from = MemberId(3); });  // a second leader of the term
  add(append, [](Message& m) { m.term = Term(0); });
  add(append, [](Message& m) { m.term = Term(INT64_MAX); });
  add(append, [](Message& m) { m.type = static_cast<MessageType>(99); });
  add(append, [](Message& m) { m.prev_index = LogIndex(-1); });
  add(append, [](Message& m) { m.prev_index = LogIndex(INT64_MAX); });
  add(append, [](Message& m) { m.prev_term = Term(2); });
  add(append, [](Message& m) { m.prev_end = LogPosition(INT64_MAX); });
  add(append, [](Message& m) { m.prev_index = LogIndex(0); });
  add(append, [](Message& m) { m.commit = LogIndex(-1); });
  add(append, [](Message& m) { m.entries[1].index = LogIndex(9); });
  add(append, [](Message& m) { m.entries[1].term = Term(2); });
  add(append, [](Message& m) { m.entries[0].term = Term(-1); });
  add(append, [](Message& m) { m.entries[1].type = static_cast<EntryType>(7); });
  add(append, [](Message& m) { m.entries[1].size = 47; });
  add(append, [](Message& m) { m.entries[1].size = INT32_MAX; });
  add(append, [](Message& m) { m.entries[1].position = LogPosition(0); });
  add(append, [](Message& m) {  // consistent in itself, not with our log
    m.prev_end = LogPosition(200);
    for (EntryMeta& e : m.entries) e.position += 100;
  });
  add(HeartbeatOf(2, 1, 1), [](Message& m) { m.entries.resize(1); });
  add(AckOf(2, 1, 1, 1, 2), [](Message&) {});
  add(AckOf(2, 1, 1, -1, -1), [](Message&) {});
  add(VoteOf(3, 1, 2, 1, 2), [](Message&) {});  // an entry of the term it campaigns for
  for (const Message& m : bad) {
    Solo follower(One(), 3, /*auto_sync=*/true);
    follower.MustStep(AppendOf(2, 1, 1, {}, {1}));
    follower.TakeSent();
    EXPECT_TRUE(absl::IsInvalidArgument(follower.Step(m))) << m;
    EXPECT_TRUE(CheckInvariants(follower.node()).ok());
    EXPECT_TRUE(follower.TakeSent().empty());
    EXPECT_EQ(follower.node().term(), Term(1));
    EXPECT_EQ(TermsOf(follower.log().entries()), Terms({1}));
  }
}

TEST(BadInput, ALeaderRefusesClaimsBeyondItsLogAndRivalsInItsTerm) {
  Solo leader;
  leader.Lead();
  EXPECT_TRUE(absl::IsInvalidArgument(leader.Step(AckOf(2, 1, 1, 9, 9))));
  EXPECT_TRUE(absl::IsInvalidArgument(leader.Step(AppendOf(2, 1, 1, {}, {1}))));
  EXPECT_TRUE(absl::IsInvalidArgument(leader.Step(HeartbeatOf(2, 1, 1))));
  EXPECT_EQ(leader.node().role(), Role::kLeader);
  EXPECT_EQ(leader.Peer(2).match, LogIndex(1));
}

TEST(BadInput, ReservedTypesAreAnsweredByNothing) {
  Solo member;
  for (MessageType type : {MessageType::kInstallSnapshot, MessageType::kInstallSnapshotResponse}) {
    EXPECT_TRUE(absl::IsUnimplemented(member.Step(Base(type, 2, 1, 1))));
  }
  EXPECT_TRUE(member.TakeSent().empty());
}

TEST(BadInput, RandomMessagesNeverBreakAnInvariant) {
  Random random(1);
  for (int run = 0; run < 200; ++run) {
    Solo member(One(), 3, /*auto_sync=*/true);
    const auto small = [&random] { return random.Between(random.Chance(0.05) ? -1 : 0, 6); };
    for (int i = 0; i < 300; ++i) {
      Message m;
      m.type = static_cast<MessageType>(random.Between(0, 14));
      m.from = MemberId(static_cast<int32_t>(random.Between(0, 4)));
      m.to = MemberId(random.Chance(0.95) ? 1 : 2);
      m.term = member.node().term() + random.Between(-1, random.Chance(0.1) ? 2 : 0);
      m.prev_index = LogIndex(small());
      m.prev_term = Term(small());
      m.prev_end =
          m.prev_index.value() >= 0 ? LogPosition(m.prev_index.value() * 100) : LogPosition(-5);
      LogEnd end{m.prev_index, m.prev_term, m.prev_end};
      if (random.Chance(0.5) && end.index >= LogIndex(0)) {
        m.entries = Entries(end, Terms(random.Below(3), m.term.value()));
      }
      m.commit = LogIndex(small());
      m.last_log_index = LogIndex(small());
      m.last_log_term = Term(small());
      m.match_index = LogIndex(small());
      m.durable_index = LogIndex(small());
      m.hint_index = LogIndex(small());
      m.hint_term = Term(small());
      m.reject = random.Chance(0.3);
      m.force = random.Chance(0.3);
      m.ack_in_memory = random.Chance(0.3);
      m.quiet = random.Chance(0.3);
      (void)member.Step(m);
      if (random.Chance(0.3)) member.Tick(static_cast<int32_t>(random.Between(1, 30)));
      ASSERT_TRUE(CheckInvariants(member.node()).ok())
          << CheckInvariants(member.node()) << " after " << m;
    }
  }
}

// ---- The driver's side of the contract ----

// ---- Linearizable reads ----

Message ReadAnswer(int32_t from, int32_t to, int64_t term, int64_t round) {
  Message m = Base(MessageType::kReadIndexResponse, from, to, term);
  m.hint_index = LogIndex(round);
  return m;
}

TEST(ReadIndex, IsConfirmedByAMajorityThatStillFollows) {
  Solo leader;
  leader.Lead();
  leader.TakeSent();
  const auto read = leader.node().ReadIndex();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->index, leader.node().commit_index());
  leader.Drain();
  EXPECT_EQ(OfType(leader.TakeSent(), MessageType::kReadIndex).size(), 2u);
  EXPECT_LT(leader.confirmed_reads(), read->round) << "nobody answered yet";
  leader.MustStep(ReadAnswer(2, 1, 1, read->round));
  leader.Drain();
  EXPECT_EQ(leader.confirmed_reads(), read->round);
}

TEST(ReadIndex, AReadThatBeginsAfterARoundWasSentIsNotConfirmedByIt) {
  Solo leader;
  leader.Lead();
  const auto first = leader.node().ReadIndex();
  const auto joined = leader.node().ReadIndex();
  ASSERT_TRUE(first.ok() && joined.ok());
  EXPECT_EQ(first->round, joined->round) << "the question has not left yet";
  leader.Drain();
  const auto second = leader.node().ReadIndex();
  ASSERT_TRUE(second.ok());
  leader.Drain();
  leader.MustStep(ReadAnswer(2, 1, 1, first->round));
  leader.Drain();
  EXPECT_EQ(leader.confirmed_reads(), first->round);
  EXPECT_LT(first->round, second->round);
}

TEST(ReadIndex, ALostQuestionIsAskedAgainAndAnAnswerToALaterRoundServesEarlierOnes) {
  Solo leader;
  leader.Lead();
  ASSERT_TRUE(leader.node().ReadIndex().ok());
  leader.Drain();
  leader.TakeSent();
  const auto second = leader.node().ReadIndex();
  leader.Drain();
  leader.TakeSent();
  leader.Tick(One().heartbeat_ticks);
  const std::vector<Message> again = OfType(leader.TakeSent(), MessageType::kReadIndex);
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].hint_index, LogIndex(second->round));
  leader.MustStep(ReadAnswer(3, 1, 1, second->round));
  leader.Drain();
  EXPECT_EQ(leader.confirmed_reads(), second->round);
  leader.Tick(One().heartbeat_ticks);
  EXPECT_TRUE(OfType(leader.TakeSent(), MessageType::kReadIndex).empty());
}

TEST(ReadIndex, ADeposedLeaderConfirmsNothing) {
  Solo leader;
  leader.Lead();
  const auto read = leader.node().ReadIndex();
  leader.Drain();
  Message later = ReadAnswer(2, 1, 2, 0);
  later.reject = true;
  leader.MustStep(later);
  leader.Drain();
  EXPECT_EQ(leader.node().role(), Role::kFollower);
  EXPECT_EQ(leader.node().term(), Term(2));
  leader.MustStep(ReadAnswer(3, 1, 1, read->round));
  leader.Drain();
  EXPECT_LT(leader.confirmed_reads(), read->round);
  EXPECT_TRUE(absl::IsFailedPrecondition(leader.node().ReadIndex().status()));
}

TEST(ReadIndex, WaitsForAnEntryOfTheLeadersOwnTerm) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Settle();
  cluster.Elect(2);
  // Elected, its no-op on nobody's disk yet: what the first leader committed may not be known.
  while (cluster.node(2).commit_index() < cluster.node(2).term_start_index()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(cluster.Read(2)));
    ASSERT_GT(cluster.Deliver(), 0);
  }
  EXPECT_TRUE(cluster.Read(2).ok());
  cluster.Settle();
  EXPECT_EQ(cluster.reads_confirmed(), 0u) << "counted by Check";
  EXPECT_TRUE(cluster.Check().ok());
  EXPECT_EQ(cluster.reads_confirmed(), 1u);
}

TEST(ReadIndex, AGroupOfOneConfirmsItsOwn) {
  Solo alone(One(), 1, /*auto_sync=*/true);
  alone.Tick(One().election_ticks_max);
  ASSERT_EQ(alone.node().role(), Role::kLeader);
  const auto read = alone.node().ReadIndex();
  ASSERT_TRUE(read.ok()) << read.status();
  alone.Drain();
  EXPECT_EQ(alone.confirmed_reads(), read->round);
}

TEST(Contract, AFailingDiskIsReportedInReady) {
  Solo leader(One(), 3, /*auto_sync=*/true);
  leader.Preload({Term(1), kNoMember}, std::vector<Term>(10, Term(1)));
  for (int i = 0; i < 1000 && leader.node().role() == Role::kFollower; ++i) leader.Tick();
  leader.MustStep(Base(MessageType::kPreVoteResponse, 2, 1, 2));
  leader.MustStep(Base(MessageType::kVoteResponse, 2, 1, 2));
  leader.log().FailReads(absl::DataLossError("bad sector"));
  leader.MustStep(RejectOf(2, 1, 2, 10, 5, 1));
  EXPECT_TRUE(absl::IsDataLoss(leader.storage_error()));
}

using ContractDeathTest = ::testing::Test;

TEST(ContractDeathTest, ASecondAppendBeforeTakeReadyIsTheDriversBug) {
  testing::MemoryLog log;
  Node node(One(), &log, {{}, Voters(3), {}, {}, {}}, Random(1));
  ASSERT_TRUE(node.Step(AppendOf(2, 1, 1, {}, {1})).ok());
  EXPECT_DEATH((void)node.Step(AppendOf(2, 1, 1, {1}, {1})), "TakeReady");
}

TEST(ContractDeathTest, ApplyingWhatIsNotCommittedOrNotDurableIsTheDriversBug) {
  testing::MemoryLog log;
  Node node(One(), &log, {{}, Voters(3), {}, {}, {}}, Random(1));
  ASSERT_TRUE(node.Step(AppendOf(2, 1, 1, {}, {1}, 1)).ok());
  EXPECT_DEATH(node.AppliedTo(LogIndex(1)), "");
  node.OnDurable(LogIndex(1), Term(1));
  node.AppliedTo(LogIndex(1));
}

TEST(Contract, NothingIsReadyWhenNothingHappened) {
  Solo member;
  EXPECT_FALSE(member.node().HasReady());
  member.node().Tick();
  EXPECT_FALSE(member.node().HasReady());
  EXPECT_TRUE(absl::IsInvalidArgument(member.node().Step({})));
  EXPECT_FALSE(member.node().HasReady());
}

TEST(Contract, TheSameInputsGiveTheSameOutputs) {
  const auto run = [] {
    ClusterOptions options;
    options.seed = 42;
    Cluster cluster(options);
    std::string trace;
    for (int i = 0; i < 300; ++i) {
      cluster.TickAll(1, /*deliver=*/false);
      for (const Message& m : cluster.network()) trace += ToString(m) + "\n";
      cluster.Settle();
      if (cluster.Leader() != 0) cluster.Propose(cluster.Leader()).IgnoreError();
    }
    return trace;
  };
  EXPECT_EQ(run(), run());
}

TEST(Contract, BadOptionsAndStatesAreNamed) {
  EXPECT_TRUE(One().Validate().ok());
  Options options = One();
  options.election_ticks_max = options.election_ticks_min - 1;
  EXPECT_TRUE(absl::IsInvalidArgument(options.Validate()));
  options = One();
  options.segment_size = 100;
  EXPECT_TRUE(absl::IsInvalidArgument(options.Validate()));
  EXPECT_TRUE(absl::IsInvalidArgument(Options().Validate()));
  InitialState state;
  state.last = {LogIndex(3), Term(5), LogPosition(300)};
  EXPECT_TRUE(absl::IsDataLoss(state.Validate()));  // the hard state was lost
  state.hard_state.term = Term(5);
  EXPECT_TRUE(state.Validate().ok());
  state.committed = LogIndex(4);
  EXPECT_TRUE(absl::IsDataLoss(state.Validate()));
}

}  // namespace
}  // namespace raftmq::raft
