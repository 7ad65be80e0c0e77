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

using raftmq::sim::kSimulationCounts;
using raftmq::sim::RunSimulation;
using raftmq::sim::SimulationCount;
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
    for (const SimulationCount& count : kSimulationCounts) total.*count.of += result.*count.of;
    if (::isatty(STDERR_FILENO)) {
      std::cerr << "\r" << run + 1 << " of " << FLAGS_runs << " runs" << std::flush;
    } else if ((run + 1) % 50 == 0) {
      std::cerr << run + 1 << " of " << FLAGS_runs << " runs\n";
    }
  }
  if (::isatty(STDERR_FILENO)) std::cerr << "\n";
  std::printf("seeds %llu to %llu\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + static_cast<uint64_t>(FLAGS_runs) - 1));
  for (const SimulationCount& count : kSimulationCounts) {
    std::printf("  %9zu  %s\n", total.*count.of, count.what);
  }
  std::printf("%d passed, %d failed\n", passed, FLAGS_runs - passed);
  return passed == FLAGS_runs ? 0 : 1;
}
