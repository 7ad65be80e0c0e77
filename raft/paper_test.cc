// The Raft paper (Ongaro & Ousterhout, "In Search of an Understandable Consensus Algorithm",
// extended version) section by section, then the parts of Ongaro's dissertation that are used. Each
// test names what it proves; its suite names the section.
#include <algorithm>
#include <set>
#include <string>
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
using testing::PreVoteOf;
using testing::TermsOf;
using testing::VoteOf;
using Terms = std::vector<int64_t>;

Configuration Voters(int32_t n) {
  Configuration configuration;
  for (int32_t id = 1; id <= n; ++id) configuration.voters.push_back(MemberId(id));
  return configuration;
}

// Member 1 of a group, the others played by the test. Pre-vote off: the paper knows none.
Options PaperOptions() {
  Options options;
  options.self = MemberId(1);
  options.pre_vote = false;
  return options;
}

struct Solo : Member {
  explicit Solo(int32_t voters = 3, const Options& options = PaperOptions())
      : Member(options, Voters(voters), /*seed=*/7, /*auto_sync=*/true) {}

  void Load(int64_t term, int32_t vote, const Terms& terms, int64_t committed = 0) {
    std::vector<Term> typed;
    for (int64_t t : terms) typed.push_back(Term(t));
    Preload({Term(term), MemberId(vote)}, typed, LogIndex(committed));
  }
  void TickUntilCandidate() {
    const Term before = node().term();
    for (int i = 0; i < 1000 && node().term() == before; ++i) Tick();
    ASSERT_GT(node().term(), before);
  }
  void Lead(int32_t voters = 3) {
    TickUntilCandidate();
    for (int32_t id = 2; id <= voters; ++id) {
      if (node().role() == Role::kLeader) break;
      ASSERT_TRUE(Step(Base(MessageType::kVoteResponse, id, 1, node().term().value())).ok());
    }
    ASSERT_EQ(node().role(), Role::kLeader);
  }
  void MustStep(const Message& m) {
    const absl::Status status = Step(m);
    ASSERT_TRUE(status.ok()) << status;
    const absl::Status invariants = CheckInvariants(node());
    ASSERT_TRUE(invariants.ok()) << invariants;
  }
};

// ---- §5.1 Raft basics ----

TEST(Section51Terms, AHigherTermMakesAnyRoleAFollower) {
  for (Role role : {Role::kFollower, Role::kCandidate, Role::kLeader}) {
    Solo member;
    if (role == Role::kCandidate) member.TickUntilCandidate();
    if (role == Role::kLeader) member.Lead();
    ASSERT_EQ(member.node().role(), role);
    member.MustStep(AppendOf(2, 1, 9, {}, {}));
    EXPECT_EQ(member.node().role(), Role::kFollower);
    EXPECT_EQ(member.node().term(), Term(9));
    EXPECT_EQ(member.node().leader(), MemberId(2));
  }
}

TEST(Section51Terms, ARequestOfAnEarlierTermIsRefusedWithTheCurrentOne) {
  Solo member;
  member.Load(5, 0, {});
  for (const Message& m :
       {AppendOf(2, 1, 4, {}, {4}), VoteOf(2, 1, 4, 9, 3), HeartbeatOf(2, 1, 4)}) {
    member.MustStep(m);
    const std::vector<Message> sent = member.TakeSent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_TRUE(sent[0].reject);
    EXPECT_EQ(sent[0].term, Term(5));
    EXPECT_EQ(member.node().last_index(), LogIndex(0));
  }
}

TEST(Section51Terms, TermAndVoteAreDurableBeforeTheMessageThatRestsOnThem) {
  Options options = PaperOptions();
  testing::MemoryLog log;
  Node node(options, &log, {{}, Voters(3), {}, {}, {}}, Random(1));
  ASSERT_TRUE(node.Step(VoteOf(2, 1, 3, 0, 0)).ok());
  const Ready ready = node.TakeReady();
  ASSERT_TRUE(ready.hard_state.has_value());
  EXPECT_EQ(*ready.hard_state, (HardState{Term(3), MemberId(2)}));
  ASSERT_EQ(ready.messages.size(), 1u);
  EXPECT_FALSE(ready.messages[0].reject);
}

// ---- §5.2 Leader election ----

TEST(Section52Election, MembersStartAsFollowers) {
  Solo member;
  EXPECT_EQ(member.node().role(), Role::kFollower);
  EXPECT_EQ(member.node().leader(), kNoMember);
}

TEST(Section52Election, ALeaderSendsHeartbeatsToAllAtEachInterval) {
  Solo member;
  member.Lead();
  member.TakeSent();
  for (int beat = 0; beat < 3; ++beat) {
    member.Tick(Options().heartbeat_ticks - 1);
    EXPECT_TRUE(member.TakeSent().empty());
    member.Tick();
    EXPECT_EQ(OfType(member.TakeSent(), MessageType::kHeartbeat).size(), 2u);
  }
}

TEST(Section52Election, AFollowerThatHearsNothingCampaigns) {
  Solo member;
  member.Tick(Options().election_ticks_min - 1);
  EXPECT_EQ(member.node().role(), Role::kFollower);
  member.Tick(Options().election_ticks_max - Options().election_ticks_min + 1);
  EXPECT_EQ(member.node().role(), Role::kCandidate);
  EXPECT_EQ(member.node().term(), Term(1));
  EXPECT_EQ(member.node().vote(), MemberId(1));
  const std::vector<Message> asked = OfType(member.TakeSent(), MessageType::kVote);
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].to, MemberId(2));
  EXPECT_EQ(asked[1].to, MemberId(3));
}

TEST(Section52Election, AFollowerThatHearsItsLeaderStaysOne) {
  Solo member;
  for (int i = 0; i < 100; ++i) {
    member.Tick(Options().election_ticks_min - 1);
    member.MustStep(HeartbeatOf(2, 1, 1));
  }
  EXPECT_EQ(member.node().role(), Role::kFollower);
  EXPECT_EQ(member.node().term(), Term(1));
}

TEST(Section52Election, TimeoutsAreDrawnFromAnIntervalAnewEachTime) {
  Solo member;
  std::set<int32_t> waits;
  for (int i = 0; i < 300; ++i) {
    const Term before = member.node().term();
    int32_t wait = 0;
    while (member.node().term() == before) {
      member.Tick();
      ++wait;
    }
    EXPECT_GE(wait, Options().election_ticks_min);
    EXPECT_LE(wait, Options().election_ticks_max);
    waits.insert(wait);
  }
  EXPECT_GT(waits.size(), 20u);
}

TEST(Section52Election, AMajorityOfVotesMakesALeader) {
  struct Case {
    int32_t voters;
    std::vector<std::pair<int32_t, bool>> answers;  // who, granted
    Role becomes;
  };
  const Case cases[] = {
      {1, {}, Role::kLeader},
      {3, {}, Role::kCandidate},
      {3, {{2, true}}, Role::kLeader},
      {3, {{2, false}}, Role::kCandidate},
      {3, {{2, false}, {3, true}}, Role::kLeader},
      {3, {{2, false}, {3, false}}, Role::kFollower},
      {5, {{2, true}}, Role::kCandidate},
      {5, {{2, true}, {2, true}}, Role::kCandidate},  // one voter, said twice
      {5, {{2, true}, {3, true}}, Role::kLeader},
      {5, {{2, false}, {3, false}, {4, false}}, Role::kFollower},
      {4, {{2, true}}, Role::kCandidate},
      {4, {{2, true}, {3, true}}, Role::kLeader},
  };
  for (const Case& c : cases) {
    Solo member(c.voters);
    member.TickUntilCandidate();
    for (const auto& [voter, granted] : c.answers) {
      Message answer = Base(MessageType::kVoteResponse, voter, 1, member.node().term().value());
      answer.reject = !granted;
      member.MustStep(answer);
    }
    EXPECT_EQ(member.node().role(), c.becomes) << c.voters << " voters";
  }
}

TEST(Section52Election, AVoterGivesOneVoteATermFirstComeFirstServed) {
  Solo member;
  member.MustStep(VoteOf(2, 1, 1, 0, 0));
  member.MustStep(VoteOf(3, 1, 1, 0, 0));
  member.MustStep(VoteOf(2, 1, 1, 0, 0));  // asked again: the same answer
  const std::vector<Message> sent = member.TakeSent();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_FALSE(sent[0].reject);
  EXPECT_TRUE(sent[1].reject);
  EXPECT_FALSE(sent[2].reject);
}

TEST(Section52Election, ACandidateGivesWayToTheLeaderOfItsTerm) {
  Solo member;
  member.TickUntilCandidate();
  member.MustStep(AppendOf(3, 1, member.node().term().value(), {}, {}));
  EXPECT_EQ(member.node().role(), Role::kFollower);
  EXPECT_EQ(member.node().leader(), MemberId(3));
}

TEST(Section52Election, ASplitVoteIsFollowedByAnElectionInAHigherTerm) {
  Solo member;
  member.TickUntilCandidate();
  const Term first = member.node().term();
  member.TickUntilCandidate();
  EXPECT_EQ(member.node().role(), Role::kCandidate);
  EXPECT_EQ(member.node().term(), first + 1);
}

// ---- §5.3 Log replication ----

TEST(Section53Replication, ALeaderAppendsAndReplicatesInParallel) {
  Solo member;
  member.Lead();
  member.MustStep(AckOf(2, 1, 1, 1, 1));
  member.MustStep(AckOf(3, 1, 1, 1, 1));
  member.TakeSent();
  ASSERT_TRUE(member.Propose(100).ok());
  const std::vector<Message> sent = OfType(member.TakeSent(), MessageType::kAppend);
  ASSERT_EQ(sent.size(), 2u);
  for (const Message& m : sent) {
    EXPECT_EQ(m.prev_index, LogIndex(1));
    EXPECT_EQ(m.prev_term, Term(1));
    EXPECT_EQ(TermsOf(m.entries), Terms({1}));
  }
}

TEST(Section53Replication, AnEntryIsCommittedOnceAMajorityHasIt) {
  struct Case {
    int32_t voters;
    std::vector<int32_t> acks;
    bool committed;
  };
  const Case cases[] = {{1, {}, true},      {3, {}, false},    {3, {2}, true},  {5, {2}, false},
                        {5, {2, 2}, false}, {5, {2, 4}, true}, {4, {2}, false}, {4, {2, 3}, true}};
  for (const Case& c : cases) {
    Solo member(c.voters);
    member.Lead(c.voters);
    for (int32_t id : c.acks) member.MustStep(AckOf(id, 1, 1, 1, 1));
    EXPECT_EQ(member.node().commit_index() == LogIndex(1), c.committed)
        << c.voters << " voters, " << c.acks.size() << " acks";
  }
}

TEST(Section53Replication, FollowersLearnTheCommitIndexAndApply) {
  Cluster cluster({});
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Propose(1).ok());
  cluster.Settle();
  for (int32_t id = 1; id <= 3; ++id) EXPECT_EQ(cluster.member(id).applied(), LogIndex(2));
}

TEST(Section53Replication, AFollowerChecksTheEntryBeforeTheNewOnes) {
  struct Case {
    Terms before;
    bool accepted;
    int64_t hint, hint_term;
  };
  // The follower holds terms 1, 2, 2; nothing committed.
  const Case cases[] = {{{}, true, 0, 0},           {{1}, true, 0, 0},
                        {{1, 2, 2}, true, 0, 0},    {{1, 1}, false, 1, 1},
                        {{1, 2, 3}, false, 3, 2},   {{1, 2, 2, 2}, false, 3, 2},
                        {{1, 1, 1, 1}, false, 1, 1}};
  for (const Case& c : cases) {
    Solo member;
    member.Load(3, 0, {1, 2, 2});
    member.MustStep(AppendOf(2, 1, 3, c.before, {}));
    const std::vector<Message> sent = member.TakeSent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].reject, !c.accepted);
    if (c.accepted) {
      EXPECT_EQ(sent[0].match_index, LogIndex(c.before.size()));
    } else {
      EXPECT_EQ(sent[0].prev_index, LogIndex(c.before.size()));
      EXPECT_EQ(sent[0].hint_index, LogIndex(c.hint));
      EXPECT_EQ(sent[0].hint_term, Term(c.hint_term));
    }
  }
}

TEST(Section53Replication, AFollowerRemovesWhatConflictsAndKeepsWhatMatches) {
  struct Case {
    Terms before, entries, result;
  };
  const Case cases[] = {
      {{1, 2}, {3}, {1, 2, 3}}, {{1}, {3, 4}, {1, 3, 4}},   {{}, {1}, {1, 2}},
      {{}, {3}, {3}},           {{}, {1, 2, 4}, {1, 2, 4}}, {{1}, {2}, {1, 2}},
  };
  for (const Case& c : cases) {
    Solo member;
    member.Load(2, 0, {1, 2});
    member.MustStep(AppendOf(2, 1, 5, c.before, c.entries));
    EXPECT_EQ(TermsOf(member.log().entries()), c.result);
  }
}

TEST(Section53Replication, AllLogsOfFigure7ConvergeOnTheLeaders) {
  const Terms leader = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const Terms followers[] = {
      {1, 1, 1, 4, 4, 5, 5, 6, 6},           // (a)
      {1, 1, 1, 4},                          // (b)
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},     // (c)
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},  // (d)
      {1, 1, 1, 4, 4, 4, 4},                 // (e)
      {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},     // (f)
  };
  for (const Terms& follower : followers) {
    Cluster cluster({});
    const auto load = [&cluster](int32_t id, int64_t term, const Terms& terms) {
      std::vector<Term> typed;
      for (int64_t t : terms) typed.push_back(Term(t));
      cluster.member(id).Preload({Term(term), kNoMember}, typed);
    };
    load(1, 7, leader);
    load(2, 7, follower);
    load(3, 7, {});
    cluster.Elect(1);  // member 3 votes for it
    cluster.TickAll(50, /*deliver=*/true);
    Terms expected = leader;
    expected.push_back(8);
    for (int32_t id = 1; id <= 3; ++id) {
      EXPECT_EQ(TermsOf(cluster.member(id).log().entries()), expected) << "member " << id;
      EXPECT_EQ(cluster.node(id).commit_index(), LogIndex(11));
    }
    EXPECT_TRUE(cluster.Check().ok()) << cluster.Check();
  }
}

TEST(Section53Replication, ALeaderBacksOffByTermNotByEntry) {
  Cluster cluster({});
  std::vector<Term> leader(1000, Term(1));
  std::vector<Term> follower(10, Term(1));
  leader.insert(leader.end(), 500, Term(4));
  follower.insert(follower.end(), 700, Term(2));
  follower.insert(follower.end(), 700, Term(3));
  cluster.member(1).Preload({Term(5), kNoMember}, leader);
  cluster.member(2).Preload({Term(5), kNoMember}, follower);
  cluster.member(3).Preload({Term(5), kNoMember}, {});
  cluster.Isolate(2);
  cluster.Elect(1);
  cluster.Heal();
  int32_t rejects = 0;
  for (int32_t i = 0; i < 100; ++i) {
    cluster.TickAll(1, /*deliver=*/false);
    while (!cluster.network().empty()) {
      const Message& m = cluster.network().front();
      if (m.from == MemberId(2) && m.reject) ++rejects;
      cluster.DeliverAt(0);
    }
  }
  EXPECT_EQ(cluster.node(2).commit_index(), LogIndex(1501));
  EXPECT_LE(rejects, 4);
}

TEST(Section53Replication, AnAppendIsIdempotent) {
  Solo member;
  const Message m = AppendOf(2, 1, 1, {}, {1, 1, 1}, 3);
  member.MustStep(m);
  member.MustStep(m);
  EXPECT_EQ(TermsOf(member.log().entries()), Terms({1, 1, 1}));
  EXPECT_EQ(member.node().commit_index(), LogIndex(3));
  for (const Message& ack : member.TakeSent()) {
    EXPECT_FALSE(ack.reject);
    EXPECT_EQ(ack.match_index, LogIndex(3));
    EXPECT_EQ(ack.durable_index, LogIndex(3));
  }
}

// ---- §5.4.1 Election restriction ----

TEST(Section541Restriction, AVoterRefusesACandidateWhoseLogIsBehind) {
  struct Case {
    Terms log;
    int64_t last_index, last_term;
    bool granted;
  };
  const Case cases[] = {
      {{1}, 1, 1, true},  {{1}, 2, 1, true},     {{1, 1}, 1, 1, false},
      {{1}, 1, 2, true},  {{1, 1}, 1, 2, true},  {{2}, 1, 1, false},
      {{2}, 2, 1, false}, {{1, 2}, 1, 2, false}, {{}, 0, 0, true},
  };
  for (const Case& c : cases) {
    Solo member;
    member.Load(2, 0, c.log);
    member.MustStep(VoteOf(2, 1, 3, c.last_index, c.last_term));
    const std::vector<Message> sent = member.TakeSent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].reject, !c.granted) << c.last_index << "/" << c.last_term;
  }
}

TEST(Section541Restriction, ACandidateTellsWhereItsLogEnds) {
  Solo member;
  member.Load(7, 0, {1, 2, 3});
  member.TickUntilCandidate();
  for (const Message& m : OfType(member.TakeSent(), MessageType::kVote)) {
    EXPECT_EQ(m.last_log_index, LogIndex(3));
    EXPECT_EQ(m.last_log_term, Term(3));
    EXPECT_EQ(m.term, Term(8));
  }
}

// ---- §5.4.2 Committing entries from previous terms ----

TEST(Section542EarlierTerms, Figure8EntryOfAnEarlierTermIsNotCommittedByCounting) {
  Solo member(5);
  member.Load(3, 0, {1, 2});
  member.Lead(5);  // term 4, no-op at 3
  ASSERT_EQ(member.node().term(), Term(4));
  member.MustStep(AckOf(2, 1, 4, 2, 2));
  member.MustStep(AckOf(3, 1, 4, 2, 2));
  EXPECT_EQ(member.node().commit_index(), LogIndex(0));  // (c): a majority has term 2's entry
  member.MustStep(AckOf(2, 1, 4, 3, 3));
  EXPECT_EQ(member.node().commit_index(), LogIndex(0));
  member.MustStep(AckOf(3, 1, 4, 3, 3));
  EXPECT_EQ(member.node().commit_index(), LogIndex(3));  // (e): its own entry brings the others
}

// ---- §5.5 Follower and candidate crashes ----

TEST(Section55Crashes, ARestartedFollowerIsCaughtUp) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Crash(3);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(cluster.Propose(1).ok());
    cluster.Settle();
  }
  EXPECT_EQ(cluster.node(1).commit_index(), LogIndex(11));
  cluster.Restart(3);
  cluster.TickAll(20, /*deliver=*/true);
  EXPECT_EQ(cluster.member(3).applied(), LogIndex(11));
  EXPECT_EQ(cluster.Leader(), 1);
}

// ---- §8 Client interaction ----

TEST(Section8Clients, ALeaderCommitsANoOpAtTheStartOfItsTerm) {
  Solo member;
  member.Load(2, 0, {1, 2});
  member.Lead();
  ASSERT_EQ(member.log().entries().size(), 3u);
  const EntryMeta no_op = member.log().entries().back();
  EXPECT_EQ(no_op.type, EntryType::kNoOp);
  EXPECT_EQ(no_op.term, Term(3));
  EXPECT_EQ(no_op.size, kNoOpFrameSize);
  EXPECT_EQ(member.node().term_start_index(), LogIndex(3));
  member.MustStep(AckOf(2, 1, 3, 3, 3));
  EXPECT_EQ(member.node().commit_index(), LogIndex(3));
}

// ---- Dissertation §3.10 Leadership transfer ----

TEST(Thesis310Transfer, ACaughtUpTargetCampaignsAtOnceAndWinsDespiteStickiness) {
  Cluster cluster({});
  cluster.Elect(1);
  ASSERT_TRUE(cluster.node(1).TransferLeadership(MemberId(3)).ok());
  cluster.member(1).Drain();
  cluster.Settle();
  EXPECT_EQ(cluster.Leader(), 3);
  EXPECT_EQ(cluster.node(1).leader(), MemberId(3));
}

TEST(Thesis310Transfer, ATargetThatLagsIsCaughtUpFirst) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cluster.Propose(1).ok());
  cluster.Settle();
  cluster.Heal();
  ASSERT_TRUE(cluster.node(1).TransferLeadership(MemberId(3)).ok());
  cluster.member(1).Drain();
  cluster.Collect();
  EXPECT_EQ(cluster.Deliver([](const Message& m) { return m.type == MessageType::kTimeoutNow; }),
            0);
  cluster.TickAll(20, /*deliver=*/true);
  EXPECT_EQ(cluster.Leader(), 3);
}

TEST(Thesis310Transfer, ProposalsAreRefusedMeanwhileAndTakenAgainWhenItIsGivenUp) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(3);
  cluster.Propose(1).IgnoreError();
  cluster.Settle();
  ASSERT_TRUE(cluster.node(1).TransferLeadership(MemberId(3)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.Propose(1).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.node(1).TransferLeadership(MemberId(2))));
  cluster.TickAll(Options().election_ticks_max, /*deliver=*/true);
  EXPECT_EQ(cluster.Leader(), 1);
  EXPECT_TRUE(cluster.Propose(1).ok());
}

TEST(Thesis310Transfer, ImpossibleTargetsAreRefused) {
  Cluster cluster({});
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.node(1).TransferLeadership(MemberId(2))));
  cluster.Elect(1);
  EXPECT_TRUE(absl::IsInvalidArgument(cluster.node(1).TransferLeadership(MemberId(1))));
  EXPECT_TRUE(absl::IsInvalidArgument(cluster.node(1).TransferLeadership(MemberId(9))));
}

TEST(Thesis310Transfer, OnlyTheLeaderCanAskForAnElection) {
  Solo member;
  member.MustStep(HeartbeatOf(2, 1, 1));
  EXPECT_TRUE(absl::IsInvalidArgument(member.Step(Base(MessageType::kTimeoutNow, 3, 1, 1))));
  EXPECT_EQ(member.node().role(), Role::kFollower);
  member.MustStep(Base(MessageType::kTimeoutNow, 2, 1, 1));
  EXPECT_EQ(member.node().role(), Role::kCandidate);
  for (const Message& m : OfType(member.TakeSent(), MessageType::kVote)) EXPECT_TRUE(m.force);
}

// ---- Dissertation §4.2.3 Disruptive servers ----

TEST(Thesis423Disruption, AVoterThatHearsALeaderIgnoresCandidates) {
  Solo member;
  member.MustStep(HeartbeatOf(2, 1, 1));
  member.TakeSent();
  member.MustStep(VoteOf(3, 1, 8, 9, 7));
  EXPECT_EQ(member.node().term(), Term(1));
  EXPECT_TRUE(member.TakeSent().empty());
  member.Tick(Options().election_ticks_min);  // the leader falls silent
  if (member.node().role() == Role::kFollower) member.MustStep(VoteOf(3, 1, 8, 9, 7));
  EXPECT_EQ(member.node().term(), Term(8));
  EXPECT_EQ(member.node().vote(), MemberId(3));
}

TEST(Thesis423Disruption, ALeaderIgnoresCandidatesToo) {
  Solo member;
  member.Lead();
  member.MustStep(VoteOf(3, 1, 8, 9, 7));
  EXPECT_EQ(member.node().role(), Role::kLeader);
}

// ---- Dissertation §6.2 A leader without a majority steps down ----

TEST(Thesis62CheckQuorum, ALeaderThatHearsNoMajorityStepsDown) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Isolate(1);
  cluster.Tick(1, Options().election_ticks_max);
  EXPECT_EQ(cluster.node(1).role(), Role::kLeader);
  cluster.Tick(1, 2);
  EXPECT_EQ(cluster.node(1).role(), Role::kFollower);
  EXPECT_EQ(cluster.node(1).leader(), kNoMember);
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.Propose(1).status()));
}

TEST(Thesis62CheckQuorum, ALeaderThatHearsAMajorityStays) {
  Cluster cluster({});
  cluster.Elect(1);
  cluster.Cut(1, 3);
  cluster.Cut(2, 3);
  cluster.TickAll(500, /*deliver=*/true);
  EXPECT_EQ(cluster.node(1).role(), Role::kLeader);
}

// ---- Dissertation §9.6 Pre-vote ----

TEST(Thesis96PreVote, AMemberThatCannotWinDoesNotRaiseItsTerm) {
  Cluster cluster({});
  cluster.Elect(1);
  const Term term = cluster.node(1).term();
  cluster.Isolate(3);
  cluster.TickAll(1000, /*deliver=*/true);
  EXPECT_EQ(cluster.node(3).role(), Role::kPreCandidate);
  EXPECT_EQ(cluster.node(3).term(), term);
  cluster.Heal();
  cluster.TickAll(100, /*deliver=*/true);
  EXPECT_EQ(cluster.Leader(), 1);
  EXPECT_EQ(cluster.node(1).term(), term);
  EXPECT_EQ(cluster.node(3).leader(), MemberId(1));
}

TEST(Thesis96PreVote, APreVoteChangesNothingAtTheVoter) {
  Options options = PaperOptions();
  options.pre_vote = true;
  Solo member(3, options);
  member.Load(4, 2, {1});
  member.MustStep(PreVoteOf(3, 1, 5, 1, 1));
  const std::vector<Message> sent = member.TakeSent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_FALSE(sent[0].reject);
  EXPECT_EQ(sent[0].term, Term(5));
  EXPECT_EQ(member.node().term(), Term(4));
  EXPECT_EQ(member.node().vote(), MemberId(2));
}

TEST(Thesis96PreVote, OfTwoThatTryAtOnceOneGivesWaySoThatVotesAreNotSplit) {
  ClusterOptions options;
  options.node.early_election_ticks_max = 1;  // both wake in the same tick
  Cluster cluster(options);
  cluster.Elect(1);
  cluster.Crash(1);
  for (int32_t id : {2, 3}) cluster.node(id).LeaderConnectionClosed(MemberId(1));
  cluster.TickAll(1, /*deliver=*/false);
  ASSERT_EQ(cluster.node(2).role(), Role::kPreCandidate);
  ASSERT_EQ(cluster.node(3).role(), Role::kPreCandidate);
  cluster.Settle();
  EXPECT_EQ(cluster.Leader(), 2);
}

}  // namespace
}  // namespace raftmq::raft
