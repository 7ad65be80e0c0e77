#include "tests/sim/sim_cluster.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "dledger/group_configuration.h"
#include "dledger/identity.h"
#include "glog/logging.h"

namespace raftmq::sim {
namespace {

constexpr char kDir[] = "/data/store";

}  // namespace

SimCluster::SimCluster(SimScheduler* scheduler, Options options, StateMachineFactory factory)
    : scheduler_(scheduler),
      options_(std::move(options)),
      factory_(std::move(factory)),
      network_(scheduler) {
  dledger::GroupConfiguration configuration;
  for (int i = 0; i < options_.members; ++i) {
    auto member = std::make_unique<MemberState>();
    member->name = StrCat("n", i);
    member->fs = std::make_unique<MemoryFileSystem>();
    dledger::Identity identity;
    identity.cluster = "sim";
    identity.group = "broker-a";
    identity.member = IdOf(i);
    identity.incarnation = Incarnation(scheduler_->random().Next() | 1);
    identity.segment_size = options_.segment_size;
    const absl::Status formatted = dledger::FormatDirectory(member->fs.get(), kDir, identity);
    CHECK(formatted.ok()) << formatted;
    configuration.members.push_back({IdOf(i), member->name, StrCat(member->name, ":10911"),
                                     identity.incarnation, /*learner=*/false});
    members_.push_back(std::move(member));
  }
  for (const auto& member : members_) {
    const absl::Status bootstrapped =
        dledger::BootstrapMember(member->fs.get(), kDir, configuration);
    CHECK(bootstrapped.ok()) << bootstrapped;
  }
}

SimCluster::~SimCluster() {
  for (auto& member : members_) EndProcess(*member);
}

absl::Status SimCluster::Start(int index) {
  MemberState& member = *members_[index];
  CHECK(member.replica == nullptr) << member.name << " runs already";
  member.failure = absl::OkStatus();
  member.replica_runner = scheduler_->NewRunner(member.name + " replica");
  member.writer_runner = scheduler_->NewRunner(member.name + " log-writer");
  member.background_runner = scheduler_->NewRunner(member.name + " background");
  member.apply_runner = scheduler_->NewRunner(member.name + " apply");
  member.writer_runner->SetTaskNanos(options_.min_flush_nanos, options_.max_flush_nanos);
  member.apply_runner->SetTaskNanos(0, options_.max_apply_nanos);
  member.machine = factory_(index, member.fs.get());
  dledger::ReplicaDeps deps;
  deps.fs = member.fs.get();
  deps.clock = scheduler_->clock();
  deps.replica = member.replica_runner.get();
  deps.writer = member.writer_runner.get();
  deps.background = member.background_runner.get();
  deps.apply = member.apply_runner.get();
  deps.state_machine = member.machine.get();
  deps.transport = network_.NewTransport(IdOf(index), member.replica_runner.get());
  deps.random = scheduler_->random().Fork();
  deps.client_address = StrCat(member.name, ":8081");
  deps.on_fatal = [&member](const absl::Status& failure) { member.failure = failure; };
  auto opened = dledger::OpenReplica(kDir, options_.replica, std::move(deps));
  if (!opened.ok()) {
    EndProcess(member);
    return Annotate(opened.status(), member.name);
  }
  member.replica = std::move(*opened);
  member.replica->Start();
  return absl::OkStatus();
}

void SimCluster::StartAll() {
  for (int i = 0; i < size(); ++i) {
    if (running(i)) continue;
    const absl::Status started = Start(i);
    CHECK(started.ok()) << started;
  }
}

void SimCluster::EndProcess(MemberState& member) {
  // The threads first: nothing may run on behalf of what is gone.
  member.replica_runner.reset();
  member.writer_runner.reset();
  member.background_runner.reset();
  member.apply_runner.reset();
  member.replica.reset();
  member.machine.reset();
}

void SimCluster::Crash(int index, End end) {
  MemberState& member = *members_[index];
  // Nothing that is destroyed on the way may still reach the disk.
  member.fs->HaltBefore(0);
  EndProcess(member);
  member.fs->ClearFaults();
  if (end == End::kPowerLoss) {
    member.fs->Crash(&scheduler_->random());
  } else {
    member.fs->Kill();
  }
}

absl::Status SimCluster::Stop(int index) {
  MemberState& member = *members_[index];
  bool stopped = false;
  absl::Status how;
  member.replica->Stop([&](absl::Status status) {
    stopped = true;
    how = std::move(status);
  });
  CHECK(scheduler_->RunUntil([&] { return stopped; }, 20 * kSecond))
      << member.name << " does not stop";
  EndProcess(member);
  member.fs->Kill();
  return how;
}

void SimCluster::Pause(int index, int64_t nanos) {
  MemberState& member = *members_[index];
  for (SimTaskRunner* runner : {member.replica_runner.get(), member.writer_runner.get(),
                                member.background_runner.get(), member.apply_runner.get()}) {
    if (runner != nullptr) runner->PauseFor(nanos);
  }
}

void SimCluster::PauseDisk(int index, int64_t nanos) {
  if (members_[index]->writer_runner != nullptr) members_[index]->writer_runner->PauseFor(nanos);
}

void SimCluster::DamageLog(int index) {
  MemberState& member = *members_[index];
  CHECK(member.replica == nullptr) << member.name << " runs";
  const auto layout = dledger::ReadLayout(member.fs.get(), kDir);
  CHECK(layout.ok()) << layout.status();
  const auto names = member.fs->List(layout->commitlog());
  CHECK(names.ok()) << names.status();
  // Names are start positions, 20 digits; the next segment is prepared ahead and still all zeros.
  for (auto name = names->rbegin(); name != names->rend(); ++name) {
    if (name->size() != 20) continue;
    const std::string path = StrCat(layout->commitlog(), "/", *name);
    const auto bytes = ReadFile(member.fs.get(), path);
    CHECK(bytes.ok()) << bytes.status();
    size_t end = bytes->find_last_not_of('\0', static_cast<size_t>(options_.segment_size) - 1);
    if (end == std::string::npos || end < 200) continue;
    member.fs->FlipBit(path, static_cast<int64_t>(end / 2), 3);
    return;
  }
  LOG(FATAL) << member.name << ": no segment holds anything to be damaged";
}

int SimCluster::ServingLeader() const {
  int leader = -1;
  Term term;
  for (int i = 0; i < size(); ++i) {
    if (!running(i)) continue;
    const auto status = members_[i]->replica->Status();
    if (!status->serving || status->term < term) continue;
    leader = i;
    term = status->term;
  }
  return leader;
}

int SimCluster::AwaitLeader(int64_t nanos) {
  scheduler_->RunUntil([this] { return ServingLeader() >= 0; }, nanos);
  return ServingLeader();
}

void SimCluster::Isolate(const std::vector<int>& side) {
  for (const int inside : side) {
    for (int outside = 0; outside < size(); ++outside) {
      if (std::find(side.begin(), side.end(), outside) != side.end()) continue;
      network_.CutBothWays(IdOf(inside), IdOf(outside));
    }
  }
}

void SimCluster::HealNetwork() {
  network_.Restore();
  network_.ClearFaults();
}

}  // namespace raftmq::sim
