// Three real members in one process: threads, loopback sockets, the machine's disk.
#include "dledger/replica_host.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/strings.h"
#include "base/testing/reserved_ports.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/log_workload.h"

namespace raftmq::dledger {
namespace {

using sim::Deed;
using sim::RecordingStateMachine;
using ::testing::IsEmpty;

constexpr absl::Duration kDeadline = absl::Seconds(30);

class ReplicaHostTest : public ::testing::Test {
 protected:
  static constexpr int kMembers = 3;

  struct Member {
    LocalMember local;
    std::unique_ptr<RecordingStateMachine> machine;
    std::unique_ptr<ReplicaHost> host;
  };

  void SetUp() override {
    const char* tmp = std::getenv("TEST_TMPDIR");
    root_ = StrCat(tmp != nullptr ? tmp : "/tmp", "/replica_host_test-",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
    ASSERT_TRUE(PosixFileSystem()->RemoveAll(root_).ok());
    const std::vector<std::string> addresses = ReserveAddresses(kMembers);
    std::vector<LocalMember> locals;
    for (int i = 0; i < kMembers; ++i) {
      members_[i].local = {StrCat(root_, "/n", i), addresses[i]};
      locals.push_back(members_[i].local);
    }
    Random random = Random::FromEntropy();
    const absl::Status prepared =
        PrepareLocalGroup(PosixFileSystem(), "test", "broker-a", 1 << 20, locals, random);
    ASSERT_TRUE(prepared.ok()) << prepared;
  }

  void TearDown() override {
    for (Member& member : members_) member.host.reset();
    EXPECT_TRUE(PosixFileSystem()->RemoveAll(root_).ok());
  }

  void Start(int i) {
    Member& member = members_[i];
    member.machine = std::make_unique<RecordingStateMachine>(&oracle_, i);
    ReplicaHostOptions options;
    options.dir = member.local.dir;
    options.client_address = StrCat("client-", i);
    options.peer_bind_address = member.local.peer_address;
    auto opened = ReplicaHost::Open(std::move(options), member.machine.get(),
                                    [](const absl::Status& failure) { ADD_FAILURE() << failure; });
    ASSERT_TRUE(opened.ok()) << opened.status();
    member.host = std::move(*opened);
    // Wakes those who wait for a change.
    member.host->replica()->SetStatusListener([this](const LedgerStatus&) {
      absl::MutexLock lock(&mutex_);
      ++changes_;
    });
    member.host->Start();
  }

  void StartAll() {
    for (int i = 0; i < kMembers; ++i) Start(i);
  }

  // The serving leader; waits for one.
  int Leader() {
    int leader = -1;
    const auto found = [&] {
      for (int i = 0; i < kMembers; ++i) {
        if (members_[i].host != nullptr && members_[i].host->replica()->Status()->serving) {
          leader = i;
        }
      }
      return leader >= 0;
    };
    absl::MutexLock lock(&mutex_);
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&found), kDeadline)) << "no leader";
    return leader;
  }

  // Proposes and does not wait.
  void Propose(int i, Deed deed = Deed::kRecord, size_t size = 1000) {
    {
      absl::MutexLock lock(&mutex_);
      ++outstanding_;
    }
    members_[i].host->replica()->Propose(std::make_unique<sim::TestProposal>(
        &oracle_, next_id_++, deed, size, AckLevel::kMajorityDisk,
        [this](const ProposalOutcome& outcome) {
          absl::MutexLock lock(&mutex_);
          --outstanding_;
          if (!outcome.status.ok()) return;
          ++acknowledged_;
          last_acknowledged_ = std::max(last_acknowledged_, outcome.index);
        }));
  }

  // Waits until `holds()`, which is asked again whenever an answer or a status comes.
  bool Await(const std::function<bool()>& holds) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&holds), kDeadline);
  }

  // Proposes until one is acknowledged: a leader may just be changing.
  bool EventuallyAcknowledged() {
    for (int tries = 0; tries < 100; ++tries) {
      const int before = acknowledged_;
      Propose(Leader());
      if (!Await([&] { return outstanding_ == 0; })) return false;
      if (acknowledged_ > before) return true;
    }
    return false;
  }

  // Every running member has applied all that was acknowledged.
  bool AllApplied() {
    LogIndex last;
    std::vector<int> running;
    for (int i = 0; i < kMembers; ++i) {
      if (members_[i].host != nullptr) running.push_back(i);
    }
    {
      absl::MutexLock lock(&mutex_);
      last = last_acknowledged_;
    }
    return oracle_.AwaitApplied(running, last, kDeadline);
  }

  std::string root_;
  sim::LogOracle oracle_;
  Member members_[kMembers];
  uint64_t next_id_ = 1;
  absl::Mutex mutex_;
  int changes_ = 0;
  int outstanding_ = 0;
  int acknowledged_ = 0;
  LogIndex last_acknowledged_;
};

TEST_F(ReplicaHostTest, ManyProposalsCommitAndAllMembersApplyThem) {
  StartAll();
  const int leader = Leader();
  for (int i = 0; i < 5'000; ++i) Propose(leader);
  ASSERT_TRUE(Await([&] { return outstanding_ == 0; }));
  EXPECT_EQ(acknowledged_, 5'000);
  // Group commit: nobody asked for a frame each.
  EXPECT_LT(members_[leader].host->replica()->Status()->last_index, LogIndex(2'500));
  EXPECT_TRUE(AllApplied());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaHostTest, TheGroupGoesOnWithoutItsLeaderAndTakesItBack) {
  StartAll();
  ASSERT_TRUE(EventuallyAcknowledged());
  const int old = Leader();
  members_[old].host.reset();  // as if killed
  ASSERT_TRUE(EventuallyAcknowledged());
  EXPECT_NE(Leader(), old);
  Start(old);
  ASSERT_TRUE(EventuallyAcknowledged());
  EXPECT_TRUE(AllApplied());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaHostTest, AGracefulStopHandsOverAndEveryProposalIsAnswered) {
  StartAll();
  const int old = Leader();
  for (int i = 0; i < 1'000; ++i) Propose(old);
  EXPECT_TRUE(members_[old].host->Stop().ok());
  members_[old].host.reset();
  ASSERT_TRUE(Await([&] { return outstanding_ == 0; }));
  ASSERT_TRUE(EventuallyAcknowledged());
  Start(old);
  ASSERT_TRUE(EventuallyAcknowledged());
  EXPECT_TRUE(AllApplied());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaHostTest, EveryMemberKilledAndRestartedLosesNothing) {
  StartAll();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(EventuallyAcknowledged());
  for (Member& member : members_) member.host.reset();
  StartAll();
  ASSERT_TRUE(EventuallyAcknowledged());
  EXPECT_TRUE(AllApplied());
  EXPECT_THAT(oracle_.Violations(), IsEmpty());
}

TEST_F(ReplicaHostTest, ADirectoryIsUsedByOneProcessAtATime) {
  Start(0);
  ReplicaHostOptions options;
  options.dir = members_[0].local.dir;
  options.peer_bind_address = "127.0.0.1:0";
  RecordingStateMachine machine(&oracle_, 0);
  const auto second = ReplicaHost::Open(std::move(options), &machine, nullptr);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
}

TEST_F(ReplicaHostTest, AMemberWhoseDiskWasWipedIsNotTakenForItsFormerSelf) {
  StartAll();
  ASSERT_TRUE(EventuallyAcknowledged());
  const int wiped = Leader() == 0 ? 1 : 0;
  members_[wiped].host.reset();
  ASSERT_TRUE(PosixFileSystem()->RemoveAll(members_[wiped].local.dir).ok());
  Identity identity;
  identity.cluster = "test";
  identity.group = "broker-a";
  identity.member = MemberId(wiped + 1);
  identity.incarnation = Incarnation(4711);
  identity.segment_size = 1 << 20;
  ASSERT_TRUE(FormatDirectory(PosixFileSystem(), members_[wiped].local.dir, identity).ok());
  Start(wiped);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(EventuallyAcknowledged());
  const auto status = members_[Leader()].host->replica()->Status();
  EXPECT_FALSE(status->members[static_cast<size_t>(wiped)].connected);
  EXPECT_EQ(members_[wiped].host->replica()->Status()->last_index, LogIndex(0));
}

}  // namespace
}  // namespace raftmq::dledger
