// Bugs that other implementations of Raft had, one test each: what went wrong there is named on top
// of the test, what must hold here in its name.
#include <vector>

#include "gtest/gtest.h"
#include "raft/invariants.h"
#include "raft/testing/cluster.h"
#include "raft/testing/member.h"
#include "raft/testing/messages.h"

namespace raftmq::raft {
namespace {

using testing::AckOf;
using testing::AppendOf;
using testing::Base;
using testing::Cluster;
using testing::ClusterOptions;
using testing::HeartbeatOf;
using testing::Member;
using testing::OfType;
using testing::RejectOf;
using testing::TermsOf;
using testing::VoteOf;
using Terms = std::vector<int64_t>;

// Member 1 of `voters`, with a log of these terms; the others are played by the test.
struct Solo : Member {
  Solo(int32_t voters, int64_t term, const Terms& terms, int64_t committed = 0,
       bool auto_sync = true)
      : Member(MakeOptions(), MakeConfiguration(voters), /*seed=*/11, auto_sync) {
    std::vector<Term> typed;
    for (int64_t t : terms) typed.push_back(Term(t));
    Preload({Term(term), kNoMember}, typed, LogIndex(committed));
  }
  static Options MakeOptions() {
    Options options;
    options.self = MemberId(1);
    return options;
  }
  static Configuration MakeConfiguration(int32_t voters) {
    Configuration configuration;
    for (int32_t id = 1; id <= voters; ++id) configuration.voters.push_back(MemberId(id));
    return configuration;
  }
  void MustStep(const Message& m) {
    const absl::Status status = Step(m);
    ASSERT_TRUE(status.ok()) << status;
    const absl::Status invariants = CheckInvariants(node());
    ASSERT_TRUE(invariants.ok()) << invariants;
  }
  // Leads the term after its present one.
  void Lead() {
    for (int i = 0; i < 1000 && node().role() == Role::kFollower; ++i) Tick();
    const auto voters = static_cast<int32_t>(node().configuration().voters.size());
    for (MessageType type : {MessageType::kPreVoteResponse, MessageType::kVoteResponse}) {
      const int64_t term = node().term().value() + (type == MessageType::kPreVoteResponse ? 1 : 0);
      for (int32_t id = 2; id <= voters; ++id) MustStep(Base(type, id, 1, term));
    }
    ASSERT_EQ(node().role(), Role::kLeader);
    TakeSent();
  }
  PeerStatus Peer(int32_t id) { return node().status().peers.at(id - 2); }
};

// LogCabin, PySyncObj, nats-server: an entry of an earlier term was committed by counting copies,
// and later overwritten (paper figure 8).
TEST(KnownBugs, EntriesOfEarlierTermsAreCommittedOnlyByAnOwnEntryAfterThem) {
  Solo leader(3, 2, {1, 2});
  leader.Lead();
  leader.MustStep(AckOf(2, 1, 3, 2, 2));
  leader.MustStep(AckOf(3, 1, 3, 2, 2));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(0));
  leader.MustStep(AckOf(2, 1, 3, 3, 3));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(3));
}

// ScyllaDB, copycat: commit = min(leader's commit, own last index), although the own tail was
// another leader's.
TEST(KnownBugs, AFollowerCommitsOnlyWhatThisLeadersMessagesVerified) {
  Solo follower(3, 2, {1, 2, 2, 2}, 1);
  follower.MustStep(AppendOf(2, 1, 3, {1}, {}, 4));  // verifies entry 1 only
  EXPECT_EQ(follower.node().commit_index(), LogIndex(1));
  follower.MustStep(HeartbeatOf(2, 1, 3, 4));
  EXPECT_EQ(follower.node().commit_index(), LogIndex(1));
  follower.MustStep(AppendOf(2, 1, 3, {1}, {3, 3}, 4));
  EXPECT_EQ(follower.node().commit_index(), LogIndex(3));
}

// What an earlier leader verified says nothing about the next one's log.
TEST(KnownBugs, AFollowerForgetsWhatWasVerifiedWhenTheTermChanges) {
  Solo follower(3, 1, {});
  follower.MustStep(AppendOf(2, 1, 1, {}, {1, 1, 1}));
  follower.MustStep(HeartbeatOf(3, 1, 2, 3));
  EXPECT_EQ(follower.node().commit_index(), LogIndex(0));
  const Message answer = follower.TakeSent().back();
  EXPECT_EQ(answer.match_index, LogIndex(0));
  EXPECT_EQ(answer.durable_index, LogIndex(0));
}

// PySyncObj: the commit index went backwards.
TEST(KnownBugs, TheCommitIndexNeverGoesBack) {
  Solo follower(3, 1, {});
  follower.MustStep(AppendOf(2, 1, 1, {}, {1, 1, 1}, 3));
  ASSERT_EQ(follower.node().commit_index(), LogIndex(3));
  follower.MustStep(AppendOf(2, 1, 1, {}, {1}, 1));
  follower.MustStep(HeartbeatOf(2, 1, 1, 0));
  follower.MustStep(HeartbeatOf(3, 1, 2, 0));
  EXPECT_EQ(follower.node().commit_index(), LogIndex(3));

  Solo leader(3, 0, {});
  leader.Lead();
  leader.MustStep(AckOf(2, 1, 1, 1, 1));
  ASSERT_EQ(leader.node().commit_index(), LogIndex(1));
  leader.node().PeerRestarted(MemberId(2));
  leader.MustStep(AckOf(3, 1, 1, 0, 0));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(1));
}

// PySyncObj, RaftOS, WRaft: match or next went backwards, or next <= match, after answers that came
// out of order.
TEST(KnownBugs, MatchAndNextNeverGoBackOnReorderedAnswers) {
  Solo leader(3, 0, {});
  leader.Lead();
  leader.MustStep(AckOf(2, 1, 1, 1, 1));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(leader.Propose().ok());
  leader.MustStep(AckOf(2, 1, 1, 4, 3));
  leader.MustStep(AckOf(2, 1, 1, 2, 2));        // late
  leader.MustStep(RejectOf(2, 1, 1, 3, 0, 0));  // late: 3 matched since
  EXPECT_EQ(leader.Peer(2).match, LogIndex(4));
  EXPECT_EQ(leader.Peer(2).durable, LogIndex(3));
  EXPECT_EQ(leader.Peer(2).next, LogIndex(6));
  EXPECT_EQ(leader.Peer(2).state, ProgressState::kReplicate);
  leader.MustStep(RejectOf(2, 1, 1, 5, 0, 0));  // real: but never below what matched
  EXPECT_EQ(leader.Peer(2).next, LogIndex(5));
}

TEST(KnownBugs, ALateRejectionDoesNotMoveAProbe) {
  Solo leader(3, 1, Terms(20, 1));
  leader.Lead();
  leader.MustStep(RejectOf(2, 1, 2, 20, 15, 1));
  ASSERT_EQ(leader.Peer(2).next, LogIndex(16));
  leader.MustStep(RejectOf(2, 1, 2, 20, 3, 1));  // the same probe's again
  EXPECT_EQ(leader.Peer(2).next, LogIndex(16));
}

// RaftOS, WRaft: a delayed or repeated Append removed the matching entries behind it.
TEST(KnownBugs, ALateAppendDoesNotRemoveWhatFollowedIt) {
  Solo follower(3, 1, {});
  follower.MustStep(AppendOf(2, 1, 1, {}, {1, 1}));
  follower.MustStep(AppendOf(2, 1, 1, {1, 1}, {1, 1, 1}));
  follower.MustStep(AppendOf(2, 1, 1, {}, {1, 1}));  // again
  follower.MustStep(AppendOf(2, 1, 1, {1}, {}));     // and empty
  EXPECT_EQ(TermsOf(follower.log().entries()), Terms({1, 1, 1, 1, 1}));
}

TEST(KnownBugs, ACommittedEntryIsNeverRemovedWhateverALeaderSays) {
  Solo follower(3, 1, {});
  follower.MustStep(AppendOf(2, 1, 1, {}, {1, 1, 1}, 2));
  EXPECT_TRUE(absl::IsDataLoss(follower.Step(AppendOf(3, 1, 2, {1}, {2}))));
  EXPECT_TRUE(absl::IsDataLoss(follower.Step(AppendOf(3, 1, 2, {2}, {2}))));
  EXPECT_EQ(TermsOf(follower.log().entries()), Terms({1, 1, 1}));
}

// WRaft, DaosRaft, Xraft: a second vote in one term, or a term that fell.
TEST(KnownBugs, ATermHasOneVoteEvenAfterARestart) {
  Solo voter(3, 0, {});
  voter.MustStep(VoteOf(2, 1, 4, 0, 0));
  voter.Crash(nullptr);
  voter.Restart();
  EXPECT_EQ(voter.node().term(), Term(4));
  voter.MustStep(VoteOf(3, 1, 4, 9, 3));
  EXPECT_TRUE(voter.TakeSent().back().reject);
  voter.MustStep(VoteOf(3, 1, 3, 9, 2));
  EXPECT_EQ(voter.node().term(), Term(4));
  EXPECT_TRUE(voter.TakeSent().back().reject);
}

TEST(KnownBugs, ACandidateOrLeaderVotesForNobodyElseInItsTerm) {
  Solo leader(3, 0, {});
  leader.Lead();
  leader.MustStep(VoteOf(2, 1, 1, 9, 0));
  EXPECT_TRUE(leader.TakeSent().back().reject);
  leader.node().StepDown();
  leader.Drain();
  leader.MustStep(VoteOf(2, 1, 1, 9, 0));
  EXPECT_TRUE(leader.TakeSent().back().reject);
}

// DLedger: the last entry's term was taken from the member's current term, so a stale member won.
TEST(KnownBugs, TheLastTermInAVoteIsTheLastEntrysNotTheCurrentTerm) {
  Solo candidate(3, 9, {1, 1});
  for (int i = 0; i < 1000 && candidate.node().role() == Role::kFollower; ++i) candidate.Tick();
  for (const Message& m : candidate.TakeSent()) {
    EXPECT_EQ(m.last_log_term, Term(1));
    EXPECT_EQ(m.last_log_index, LogIndex(2));
  }
  Solo voter(3, 9, {1, 1});
  voter.MustStep(VoteOf(2, 1, 10, 2, 1));
  EXPECT_FALSE(voter.TakeSent().back().reject);
}

// DLedger: a commit index beyond the log's end after a truncation.
TEST(KnownBugs, TheCommitIndexIsNeverBeyondTheLogsEnd) {
  Solo follower(3, 1, {1, 1});
  follower.MustStep(AppendOf(2, 1, 1, {1, 1}, {1}, 1000));
  EXPECT_EQ(follower.node().commit_index(), LogIndex(3));
  follower.MustStep(HeartbeatOf(2, 1, 1, 1000));
  EXPECT_EQ(follower.node().commit_index(), LogIndex(3));
}

// A follower that acknowledged in memory, lost that in a crash and came back with an old tail: the
// same leader's heartbeats must not commit the old tail.
TEST(KnownBugs, AHeartbeatAfterARestartDoesNotCommitWhatTheCrashBroughtBack) {
  Solo follower(3, 1, {1, 1, 1}, 0, /*auto_sync=*/false);
  follower.MustStep(AppendOf(2, 1, 2, {}, {2, 2, 2}));  // replaces all three, in memory
  follower.Crash(nullptr);                              // the disk never heard of it
  follower.Restart();
  ASSERT_EQ(TermsOf(follower.log().entries()), Terms({1, 1, 1}));
  follower.MustStep(HeartbeatOf(2, 1, 2, 3));
  EXPECT_EQ(follower.node().commit_index(), LogIndex(0));
}

// Aeron: a position reported under another leader was counted for commit.
TEST(KnownBugs, AnswersOfAnotherTermDoNotCount) {
  Solo leader(3, 4, {1, 1});
  leader.Lead();  // term 5, no-op at 3
  leader.MustStep(AckOf(2, 1, 4, 3, 3));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(0));
  EXPECT_EQ(leader.Peer(2).match, LogIndex(0));
  leader.MustStep(AckOf(2, 1, 5, 3, 3));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(3));
}

// nats-server and others acknowledged before fsync; etcd did in groups of one.
TEST(KnownBugs, OnlyDurableCopiesMakeACommit) {
  Solo leader(3, 0, {}, 0, /*auto_sync=*/false);
  leader.Lead();
  leader.MustStep(AckOf(2, 1, 1, 1, 0));
  leader.MustStep(AckOf(3, 1, 1, 1, 0));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(0));
  EXPECT_EQ(leader.node().replicated_index(), LogIndex(1));
  leader.MustStep(AckOf(3, 1, 1, 1, 1));
  EXPECT_EQ(leader.node().commit_index(), LogIndex(0));  // one disk of three
  leader.Sync();
  EXPECT_EQ(leader.node().commit_index(), LogIndex(1));

  Solo alone(1, 0, {}, 0, /*auto_sync=*/false);
  alone.Lead();
  ASSERT_TRUE(alone.Propose().ok());
  EXPECT_EQ(alone.node().commit_index(), LogIndex(0));
  EXPECT_EQ(alone.node().replicated_index(), LogIndex(2));
  alone.Sync();
  EXPECT_EQ(alone.node().commit_index(), LogIndex(2));
}

TEST(KnownBugs, AFsyncOfReplacedEntriesDoesNotMakeTheirSuccessorsDurable) {
  Solo follower(3, 1, {}, 0, /*auto_sync=*/false);
  follower.MustStep(AppendOf(2, 1, 1, {}, {1, 1, 1}));
  follower.MustStep(AppendOf(3, 1, 2, {1}, {2, 2}));
  follower.node().OnDurable(LogIndex(3), Term(1));  // of the first three
  EXPECT_EQ(follower.node().durable_index(), LogIndex(0));
}

// Cloudflare, 6 hours in 2020: a member that lost only its link to the leader kept deposing it.
TEST(KnownBugs, AMemberCutOffFromTheLeaderOnlyDoesNotDeposeIt) {
  Cluster cluster({});
  cluster.Elect(1);
  const Term term = cluster.node(1).term();
  cluster.Cut(1, 3);
  cluster.TickAll(2000, /*deliver=*/true);
  EXPECT_EQ(cluster.Leader(), 1);
  EXPECT_EQ(cluster.node(1).term(), term);
  ASSERT_TRUE(cluster.Propose(1).ok());
  cluster.Settle();
  EXPECT_EQ(cluster.node(1).commit_index(), cluster.node(1).last_index());
}

// Of five only member 5 still reaches a majority; the leader doesn't. Without check-quorum it would
// lead on forever, and its followers would refuse to vote.
TEST(KnownBugs, WhoStillReachesAMajorityTakesOverFromALeaderWhoDoesNot) {
  ClusterOptions options;
  options.members = 5;
  Cluster cluster(options);
  cluster.Elect(1);
  for (int32_t a = 1; a <= 4; ++a) {
    for (int32_t b = a + 1; b <= 4; ++b) cluster.Cut(a, b);
  }
  cluster.TickAll(1000, /*deliver=*/true);
  EXPECT_EQ(cluster.Leader(), 5);
  ASSERT_TRUE(cluster.Propose(5).ok());
  cluster.Settle();
  EXPECT_EQ(cluster.node(5).commit_index(), cluster.node(5).last_index());
}

// The leader hears nobody but is heard: its heartbeats must not keep the others waiting forever.
TEST(KnownBugs, ALeaderThatIsHeardButHearsNobodyIsReplaced) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.CutOneWay(2, 1);
  cluster.CutOneWay(3, 1);
  cluster.TickAll(300, /*deliver=*/true);
  EXPECT_NE(cluster.Leader(), 1);
  EXPECT_NE(cluster.Leader(), 0);
}

// After a loss of leadership proposals were dropped silently or reported as done. The core's part:
// it says at once that it no longer leads, and names exactly what was taken back.
TEST(KnownBugs, ADeposedLeaderSaysSoAndNamesWhatItsSuccessorReplaced) {
  testing::MemoryLog log;
  Options options = Solo::MakeOptions();
  options.pre_vote = false;
  Node node(options, &log, {{}, Solo::MakeConfiguration(3), {}, {}, {}}, Random(3));
  while (node.role() == Role::kFollower) node.Tick();
  ASSERT_TRUE(node.Step(Base(MessageType::kVoteResponse, 2, 1, 1)).ok());
  ASSERT_TRUE(node.Propose(EntryType::kNormal, 100).ok());
  Ready ready = node.TakeReady();
  ASSERT_EQ(ready.entries.size(), 2u);
  for (const EntryMeta& entry : ready.entries) log.Append(entry);
  node.OnDurable(LogIndex(2), Term(1));
  ASSERT_TRUE(node.Propose(EntryType::kNormal, 100).ok());  // not even handed out yet

  ASSERT_TRUE(node.Step(AppendOf(3, 1, 2, {}, {2})).ok());
  ready = node.TakeReady();
  ASSERT_TRUE(ready.soft_state.has_value());
  EXPECT_EQ(ready.soft_state->role, Role::kFollower);
  EXPECT_EQ(ready.soft_state->leader, MemberId(3));
  EXPECT_EQ(ready.truncate_from, LogIndex(1));
  EXPECT_EQ(TermsOf(ready.entries), Terms({2}));
  EXPECT_EQ(ready.committed, LogIndex(0));
  EXPECT_TRUE(absl::IsFailedPrecondition(node.Propose(EntryType::kNormal, 100).status()));
}

}  // namespace
}  // namespace raftmq::raft
