// mqlogbench: the replicated log alone, without gRPC and without the broker's state: three members
// in three processes on this machine, over loopback, with fsync; against what the machine's disk
// and loopback give in the same run.

#include <glog/logging.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/testing/reserved_ports.h"
#include "dledger/open.h"
#include "tests/bench/floors.h"
#include "tests/bench/log_member.h"

namespace raftmq::bench {
namespace {

constexpr int kMembers = 3;
constexpr int64_t kFlushBytes = 256 << 10;  // of the floor of throughput
constexpr int64_t kServingNanos = 20'000'000'000;

struct Arguments {
  std::string dir = "/tmp/mqlogbench";
  int64_t seconds = 3;  // for each mode
  int32_t record_size = 1024;
  int64_t segment_mb = 64;
  std::vector<std::string> modes;  // "RECORDSxOUTSTANDING"
  bool json = false;
  bool keep = false;
  bool print_pids = false;
};

struct Mode {
  int32_t records;
  int32_t outstanding;
};

struct Floors {
  SyncFloor one_record;  // three processes
  SyncFloor flush;       // three processes, kFlushBytes
  RoundTripFloor round_trip;

  double commit_us() const { return static_cast<double>(one_record.p50_us + round_trip.p50_us); }
};

struct Result {
  Mode mode;
  LogAnswer answer;
  double messages_per_second = 0;
  double cpu_us = 0;  // for each message, all processes
  int64_t rolls = 0;
};

// The three processes; killed at the end, whatever that is.
class Group {
 public:
  ~Group() {
    for (const Member& member : members_) {
      ::kill(member.pid, SIGKILL);
      ::close(member.socket);
      ::waitpid(member.pid, nullptr, 0);
    }
  }

  absl::Status Start(const Arguments& args);
  absl::Status AwaitLeader();
  absl::StatusOr<Result> Run(const Mode& mode, const Arguments& args);
  void PrintPids() const {
    std::fprintf(stderr, "leader %d\n", members_[leader_].pid);
    for (const Member& member : members_) std::fprintf(stderr, "member %d\n", member.pid);
  }

 private:
  struct Member {
    pid_t pid = -1;
    int socket = -1;
  };

  absl::StatusOr<LogAnswer> Ask(size_t i, const LogOrder& order);
  absl::StatusOr<int64_t> CpuNanos();

  std::vector<Member> members_;
  size_t leader_ = 0;
};

absl::Status Group::Start(const Arguments& args) {
  std::vector<dledger::LocalMember> locals;
  for (const std::string& address : ReserveAddresses(kMembers)) {
    locals.push_back({StrCat(args.dir, "/n", locals.size()), address});
  }
  Random random = Random::FromEntropy();
  RAFTMQ_RETURN_IF_ERROR(dledger::PrepareLocalGroup(PosixFileSystem(), "bench", "broker-a",
                                                    args.segment_mb << 20, locals, random));
  for (const dledger::LocalMember& local : locals) {
    int sockets[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) != 0) {
      return absl::InternalError("socketpair failed");
    }
    const pid_t pid = ::fork();
    if (pid < 0) return absl::InternalError("fork failed");
    if (pid == 0) {
      ::close(sockets[0]);
      for (const Member& other : members_) ::close(other.socket);
      ::_exit(RunLogMember(local.dir, local.peer_address, sockets[1]));
    }
    ::close(sockets[1]);
    members_.push_back({pid, sockets[0]});
  }
  return AwaitLeader();
}

absl::StatusOr<LogAnswer> Group::Ask(size_t i, const LogOrder& order) {
  LogAnswer answer;
  const int socket = members_[i].socket;
  if (::send(socket, &order, sizeof(order), MSG_NOSIGNAL) != sizeof(order) ||
      ::recv(socket, &answer, sizeof(answer), 0) != sizeof(answer)) {
    return absl::UnavailableError(StrCat("member ", i, " has ended; see its message above"));
  }
  return answer;
}

absl::Status Group::AwaitLeader() {
  const int64_t deadline = SystemClock()->MonotonicNanos() + kServingNanos;
  while (SystemClock()->MonotonicNanos() < deadline) {
    for (leader_ = 0; leader_ < members_.size(); ++leader_) {
      RAFTMQ_ASSIGN_OR_RETURN(const LogAnswer answer, Ask(leader_, {}));
      if (answer.serving) return absl::OkStatus();
    }
  }
  return absl::DeadlineExceededError("no member became leader within 20 s");
}

absl::StatusOr<int64_t> Group::CpuNanos() {
  int64_t sum = 0;
  for (size_t i = 0; i < members_.size(); ++i) {
    RAFTMQ_ASSIGN_OR_RETURN(const LogAnswer answer, Ask(i, {LogOrder::Kind::kUsage}));
    sum += answer.cpu_nanos;
  }
  return sum;
}

absl::StatusOr<Result> Group::Run(const Mode& mode, const Arguments& args) {
  RAFTMQ_RETURN_IF_ERROR(AwaitLeader());
  RAFTMQ_ASSIGN_OR_RETURN(const LogAnswer before, Ask(leader_, {}));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t cpu_before, CpuNanos());
  const LogOrder order{LogOrder::Kind::kLoad, mode.outstanding, mode.records, args.record_size,
                       args.seconds * 1'000};
  Result result;
  result.mode = mode;
  RAFTMQ_ASSIGN_OR_RETURN(result.answer, Ask(leader_, order));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t cpu_after, CpuNanos());
  const int64_t segment = args.segment_mb << 20;
  result.rolls = result.answer.log_end / segment - before.log_end / segment;
  const auto records = static_cast<double>(std::max<int64_t>(1, result.answer.records));
  result.messages_per_second = records * 1e9 / static_cast<double>(result.answer.nanos);
  result.cpu_us = static_cast<double>(cpu_after - cpu_before) / 1e3 / records;
  return result;
}

absl::StatusOr<Floors> MeasureFloors(const Arguments& args) {
  Floors floors;
  const int64_t millis = std::max<int64_t>(500, args.seconds * 500);
  RAFTMQ_ASSIGN_OR_RETURN(floors.one_record,
                          MeasureSync(args.dir, kMembers, args.record_size, millis));
  RAFTMQ_ASSIGN_OR_RETURN(floors.flush, MeasureSync(args.dir, kMembers, kFlushBytes, millis));
  RAFTMQ_ASSIGN_OR_RETURN(floors.round_trip, MeasureRoundTrip(args.record_size, millis));
  return floors;
}

double FloorRate(const Floors& floors, const Arguments& args) {
  return floors.flush.syncs_per_second * static_cast<double>(kFlushBytes) / args.record_size;
}

void PrintText(const Floors& floors, const std::vector<Result>& results, const Arguments& args) {
  std::printf("floors of this machine, three processes at once\n");
  std::printf("  write + fdatasync of %d bytes, zeroed file   p50 %lld us  p99 %lld us\n",
              args.record_size, static_cast<long long>(floors.one_record.p50_us),
              static_cast<long long>(floors.one_record.p99_us));
  std::printf("  write + fdatasync of 256 KiB, zeroed file    %.0f msg/s each, %.2f CPU us/msg\n",
              FloorRate(floors, args),
              kMembers * floors.flush.cpu_us * args.record_size / static_cast<double>(kFlushBytes));
  std::printf("  loopback TCP round trip                      p50 %lld us  p99 %lld us\n\n",
              static_cast<long long>(floors.round_trip.p50_us),
              static_cast<long long>(floors.round_trip.p99_us));
  std::printf("%8s %11s %10s %8s %8s %8s %8s %7s %6s %10s %10s %6s\n", "records", "outstanding",
              "msg/s", "MB/s", "p50 us", "p99 us", "max us", "CPU us", "rolls", "rate/floor",
              "p50/floor", "failed");
  for (const Result& r : results) {
    std::printf("%8d %11d %10.0f %8.1f %8lld %8lld %8lld %7.2f %6lld %10.2f %10.2f %6lld\n",
                r.mode.records, r.mode.outstanding, r.messages_per_second,
                r.messages_per_second * args.record_size / 1e6,
                static_cast<long long>(r.answer.p50_us), static_cast<long long>(r.answer.p99_us),
                static_cast<long long>(r.answer.max_us), r.cpu_us, static_cast<long long>(r.rolls),
                r.messages_per_second / FloorRate(floors, args),
                static_cast<double>(r.answer.p50_us) / floors.commit_us(),
                static_cast<long long>(r.answer.failed));
  }
}

void PrintJson(const Floors& floors, const std::vector<Result>& results, const Arguments& args) {
  nlohmann::ordered_json modes = nlohmann::ordered_json::array();
  for (const Result& r : results) {
    modes.push_back({{"records", r.mode.records},
                     {"outstanding", r.mode.outstanding},
                     {"messages_per_second", r.messages_per_second},
                     {"p50_us", r.answer.p50_us},
                     {"p99_us", r.answer.p99_us},
                     {"max_us", r.answer.max_us},
                     {"cpu_us_per_message", r.cpu_us},
                     {"segment_rolls", r.rolls},
                     {"rate_to_floor", r.messages_per_second / FloorRate(floors, args)},
                     {"p50_to_floor", static_cast<double>(r.answer.p50_us) / floors.commit_us()},
                     {"failed", r.answer.failed}});
  }
  const nlohmann::ordered_json out = {{"title", "log"},
                                      {"record_size", args.record_size},
                                      {"floor_sync_p50_us", floors.one_record.p50_us},
                                      {"floor_round_trip_p50_us", floors.round_trip.p50_us},
                                      {"floor_messages_per_second", FloorRate(floors, args)},
                                      {"modes", modes}};
  std::cout << out.dump() << "\n";
}

absl::StatusOr<std::vector<Mode>> ParseModes(const Arguments& args) {
  std::vector<Mode> modes;
  for (const std::string& text : args.modes) {
    Mode mode{};
    char end = 0;
    if (std::sscanf(text.c_str(), "%dx%d%c", &mode.records, &mode.outstanding, &end) != 2 ||
        mode.records < 1 || mode.outstanding < 1) {
      return absl::InvalidArgumentError(
          StrCat("mode '", text, "': expected RECORDSxOUTSTANDING, 32x32 say"));
    }
    modes.push_back(mode);
  }
  return modes;
}

absl::Status Bench(const Arguments& args) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<Mode> modes, ParseModes(args));
  RAFTMQ_RETURN_IF_ERROR(PosixFileSystem()->RemoveAll(args.dir));
  RAFTMQ_RETURN_IF_ERROR(PosixFileSystem()->CreateDirs(args.dir));
  RAFTMQ_ASSIGN_OR_RETURN(const Floors floors, MeasureFloors(args));
  std::vector<Result> results;
  {
    Group group;
    RAFTMQ_RETURN_IF_ERROR(group.Start(args));
    if (args.print_pids) group.PrintPids();
    for (const Mode& mode : modes) {
      RAFTMQ_ASSIGN_OR_RETURN(Result result, group.Run(mode, args));
      results.push_back(result);
    }
  }
  if (args.json) {
    PrintJson(floors, results, args);
  } else {
    PrintText(floors, results, args);
  }
  return args.keep ? absl::OkStatus() : PosixFileSystem()->RemoveAll(args.dir);
}

}  // namespace
}  // namespace raftmq::bench

int main(int argc, char** argv) {
  FLAGS_minloglevel = google::GLOG_ERROR;
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);

  raftmq::bench::Arguments args;
  args.modes = {"1x1", "1x64", "32x1", "32x64"};
  CLI::App app{"Measures the replicated log alone: three members, loopback, fsync.", "mqlogbench"};
  app.add_option("--dir", args.dir, "where; emptied and removed (/tmp/mqlogbench)");
  app.add_option("--seconds", args.seconds, "for each mode (3)")->check(CLI::Range(1, 60));
  app.add_option("-s,--size", args.record_size, "bytes of a record (1024)")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--segment-mb", args.segment_mb, "MiB of a segment (64)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--modes", args.modes, "RECORDSxOUTSTANDING, several (1x1 1x64 32x1 32x64)");
  app.add_flag("--json", args.json, "one JSON object at the end");
  app.add_flag("--keep", args.keep, "leave the directory");
  app.add_flag("--pids", args.print_pids, "print the processes, for a profiler");
  CLI11_PARSE(app, argc, argv);

  const absl::Status status = raftmq::bench::Bench(args);
  if (status.ok()) return 0;
  std::cerr << "error: " << raftmq::Message(status) << "\n";
  return 1;
}
