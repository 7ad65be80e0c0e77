// mqsim: runs the real raft, dledger and store of a group over simulated network, disks and clocks.

#include <gflags/gflags.h>
#include <glog/logging.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/random.h"
#include "base/strings.h"
#include "tests/sim/store_simulation.h"

DEFINE_uint64(seed, 0, "seed of the first run; 0: a random one");
DEFINE_int32(runs, 1, "how many runs, each with the next seed");
DEFINE_int32(members, 0, "members of the group; 0: 3, and 5 in every fourth run");
DEFINE_int32(seconds, 20, "simulated seconds of faults in each run");
DEFINE_bool(trace, false, "tell every fault on stderr");
DEFINE_bool(repeat, false, "run every seed twice and compare");

namespace {

using raftmq::sim::RunSimulation;
using raftmq::sim::SimulationOptions;
using raftmq::sim::SimulationResult;

SimulationOptions OptionsOf(uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.members = FLAGS_members != 0 ? FLAGS_members : (seed % 4 == 3 ? 5 : 3);
  options.fault_nanos = FLAGS_seconds * raftmq::sim::kSecond;
  options.trace = FLAGS_trace;
  return options;
}

bool Report(const SimulationOptions& options, const SimulationResult& result) {
  if (result.violations.empty()) return true;
  std::cerr << "\nseed " << options.seed << " (" << options.members << " members) broke:\n";
  for (const std::string& what : result.violations) std::cerr << "  " << what << "\n";
  std::cerr << "replay: mqsim --seed " << options.seed << " --runs 1 --members " << options.members
            << " --seconds " << FLAGS_seconds << " --trace\n";
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  gflags::SetUsageMessage(
      "Simulates groups of members under faults and checks what users rely on.\n\n"
      "example:\n  mqsim --seed 1 --runs 200\n  mqsim --seed 17 --trace");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  FLAGS_logtostderr = true;
  // Elections and crashes are the point here, not news.
  if (!FLAGS_trace) FLAGS_minloglevel = google::GLOG_FATAL;
  google::InitGoogleLogging(argv[0]);
  if (FLAGS_runs < 1 || FLAGS_seconds < 1 || FLAGS_members < 0 || FLAGS_members > 9) {
    std::cerr << "error: --runs and --seconds are at least 1, --members at most 9\n";
    return 2;
  }
  const uint64_t first =
      FLAGS_seed != 0 ? FLAGS_seed : raftmq::Random::FromEntropy().Below(1'000'000'000) + 1;

  int passed = 0;
  SimulationResult total;
  for (int run = 0; run < FLAGS_runs; ++run) {
    const SimulationOptions options = OptionsOf(first + static_cast<uint64_t>(run));
    const SimulationResult result = RunSimulation(options);
    bool good = Report(options, result);
    if (FLAGS_repeat && RunSimulation(options).fingerprint != result.fingerprint) {
      std::cerr << "seed " << options.seed << " did not run the same way twice\n";
      good = false;
    }
    passed += good;
    total.acknowledged += result.acknowledged;
    total.unknown += result.unknown;
    total.repeats += result.repeats;
    total.consumed += result.consumed;
    total.redelivered += result.redelivered;
    total.dead_lettered += result.dead_lettered;
    total.redriven += result.redriven;
    total.bystanders_consumed += result.bystanders_consumed;
    total.bystanders_spared += result.bystanders_spared;
    total.expired += result.expired;
    total.kept_delivered += result.kept_delivered;
    total.classic_consumed += result.classic_consumed;
    total.classic_consumed_again += result.classic_consumed_again;
    total.hand_overs += result.hand_overs;
    total.moves += result.moves;
    total.undos += result.undos;
    total.fenced += result.fenced;
    total.lite_consumed += result.lite_consumed;
    total.lite_subscriptions += result.lite_subscriptions;
    total.over_lite_quota += result.over_lite_quota;
    total.lite_deleted += result.lite_deleted;
    total.renewed += result.renewed;
    total.outlasted += result.outlasted;
    total.not_renewed += result.not_renewed;
    total.priority_consumed += result.priority_consumed;
    total.overtaken += result.overtaken;
    total.faults += result.faults;
    total.terms += result.terms;
    if (::isatty(STDERR_FILENO)) {
      std::cerr << "\r" << run + 1 << " of " << FLAGS_runs << " runs" << std::flush;
    } else if ((run + 1) % 50 == 0) {
      std::cerr << run + 1 << " of " << FLAGS_runs << " runs\n";
    }
  }
  if (::isatty(STDERR_FILENO)) std::cerr << "\n";
  std::printf(
      "seeds %llu to %llu: %zu sends acknowledged, %zu unknown, %zu repeated, %zu messages "
      "consumed, %zu deliveries repeated, %zu dead-lettered, %zu sent back (another group "
      "was given %zu, not %zu of these), %zu expired, %zu delivered after that, %zu consumed by "
      "queue (%zu of them again, %zu hand-overs), %zu moves "
      "of "
      "offsets (%zu undos, %zu commits fenced), %zu consumed of lite topics (%zu subscriptions, "
      "%zu over quota, %zu deleted), %zu renewals (%zu messages acked after their first lease, %zu "
      "refused once they were settled), %zu consumed by priority (%zu before earlier ones), %d "
      "faults, %lld terms\n",
      static_cast<unsigned long long>(first),
      static_cast<unsigned long long>(first + static_cast<uint64_t>(FLAGS_runs) - 1),
      total.acknowledged, total.unknown, total.repeats, total.consumed, total.redelivered,
      total.dead_lettered, total.redriven, total.bystanders_consumed, total.bystanders_spared,
      total.expired, total.kept_delivered, total.classic_consumed, total.classic_consumed_again,
      total.hand_overs, total.moves, total.undos, total.fenced, total.lite_consumed,
      total.lite_subscriptions, total.over_lite_quota, total.lite_deleted, total.renewed,
      total.outlasted, total.not_renewed, total.priority_consumed, total.overtaken, total.faults,
      static_cast<long long>(total.terms));
  std::printf("%d passed, %d failed\n", passed, FLAGS_runs - passed);
  return passed == FLAGS_runs ? 0 : 1;
}
