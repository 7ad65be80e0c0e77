// mqbroker: one member of a broker group; with --standalone the whole group, and its NameServer.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/strings.h"
#include "broker/broker.h"
#include "broker/broker_config.h"
#include "broker/member_directory.h"
#include "glog/logging.h"
#include "namesrv/namesrv_service.h"

namespace raftmq::broker {
namespace {

enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kReplicaStopped = 3 };

constexpr char kUsageText[] = R"(mqbroker: one member of a RaftMQ broker group

  mqbroker --standalone                     a broker of one member, in ./store, and a NameServer
  mqbroker format -c broker.conf            makes the data directory, once
  mqbroker -c broker.conf                   runs the member
  mqbroker repair --accept-loss-after-damage -c broker.conf
                                            the only member of a group, whose log is damaged and has
                                            no backup: cuts the log at the damage, for good

Settings are lines key=value of broker.conf, or arguments --key=value, which win.
A group of three on three hosts, on each of them with its own dLegerSelfId and brokerIP1:

  brokerName=broker-a
  dLegerGroup=broker-a
  dLegerSelfId=n0
  dLegerPeers=n0-mq0:40911;n1-mq1:40911;n2-mq2:40911
  storePathRootDir=/var/lib/raftmq/store
  brokerIP1=mq0

then `mqadmin bootstrap -b mq0:8081 -b mq1:8081 -b mq2:8081`, once.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 could not start or stop, 2 wrong arguments or
configuration, 3 the member stopped itself because of an error of its disk or its log.

Settings and their defaults:
)";

struct Arguments {
  bool format = false;
  bool repair = false;
  bool accept_loss = false;
  bool standalone = false;
  bool help = false;
  BrokerConfig config;
};

// The value of an option given as --name=value or as --name value.
absl::StatusOr<std::string> TakeValue(const std::vector<std::string>& args, size_t* i) {
  const std::string& arg = args[*i];
  if (const size_t equals = arg.find('='); equals != std::string::npos) {
    return arg.substr(equals + 1);
  }
  if (*i + 1 >= args.size()) return absl::InvalidArgumentError(StrCat(arg, " needs a value"));
  return args[++*i];
}

absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& args) {
  Arguments result;
  std::vector<std::pair<std::string, std::string>> overrides;
  std::string config_file;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "format" && i == 0) {
      result.format = true;
    } else if (arg == "repair" && i == 0) {
      result.repair = true;
    } else if (arg == "--accept-loss-after-damage") {
      result.accept_loss = true;
    } else if (arg == "--help" || arg == "-h") {
      result.help = true;
    } else if (arg == "--standalone") {
      result.standalone = true;
    } else if (arg == "-c" || arg == "--config" || arg.rfind("--config=", 0) == 0) {
      RAFTMQ_ASSIGN_OR_RETURN(config_file, TakeValue(args, &i));
    } else if (arg.rfind("--", 0) == 0) {
      const std::string name = arg.substr(2, arg.find('=') - 2);
      RAFTMQ_ASSIGN_OR_RETURN(std::string value, TakeValue(args, &i));
      overrides.emplace_back(name, std::move(value));
    } else {
      return absl::InvalidArgumentError(StrCat("unexpected argument \"", arg, "\""));
    }
  }
  if (result.standalone) {
    // Small and of this machine, unless it is said otherwise.
    result.config.mappedFileSizeCommitLog = 64 << 20;
    result.config.brokerIP1 = "127.0.0.1";
  }
  if (!config_file.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(PosixFileSystem(), config_file));
    RAFTMQ_RETURN_IF_ERROR(result.config.SetFromText(text, config_file));
  }
  for (const auto& [name, value] : overrides) {
    RAFTMQ_RETURN_IF_ERROR(result.config.Set(name, value));
  }
  if (!result.help && !result.standalone && config_file.empty()) {
    return absl::InvalidArgumentError("neither -c nor --standalone is given");
  }
  if (result.repair != result.accept_loss) {
    return absl::InvalidArgumentError(
        "repair gives up everything from the first damaged entry of the log on, messages and "
        "progress of consumers alike; it is done only with --accept-loss-after-damage, which "
        "nothing "
        "else takes");
  }
  return result;
}

std::atomic<int> wake_fd{-1};

// SIGTERM, SIGINT, or the replica's end: one byte on a pipe that main waits for.
void Wake(char why) {
  const int fd = wake_fd.load();
  if (fd >= 0 && write(fd, &why, 1) != 1) _exit(kFailed);
}

void StartLogging(const BrokerConfig& config, const char* program) {
  FLAGS_logtostderr = config.logDir.empty();
  FLAGS_alsologtostderr = !config.logDir.empty();
  FLAGS_log_dir = config.logDir;
  google::InitGoogleLogging(program);
}

// The NameServer of --standalone, which the broker then registers with. Null if namesrvAddr names
// others.
absl::StatusOr<std::unique_ptr<namesrv::NameServer>> StartNameServer(BrokerConfig* config) {
  if (!config->namesrvAddr.empty()) return nullptr;
  const std::string& host = config->listenAddress;
  const bool v6 = host.find(':') != std::string::npos;
  namesrv::NameServerOptions options;
  options.listen_address = StrCat(v6 ? "[" : "", host, v6 ? "]:" : ":", config->namesrvListenPort);
  auto server = namesrv::NameServer::Start(std::move(options), SystemClock());
  if (!server.ok()) {
    return Annotate(server.status(), "the NameServer of --standalone (--namesrvListenPort)");
  }
  const std::string reached = host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host;
  RAFTMQ_RETURN_IF_ERROR(config->Set(
      "namesrvAddr", StrCat(v6 ? "[" : "", reached, v6 ? "]:" : ":", (*server)->port())));
  LOG(INFO) << "serves as a NameServer at port " << (*server)->port();
  return server;
}

int Run(Arguments arguments) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) return kFailed;
  wake_fd.store(pipe_fds[1]);
  static std::atomic<bool> stop_requested{false};
  struct sigaction action {};
  action.sa_handler = [](int) {
    stop_requested.store(true);
    Wake('s');
  };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);

  // Outlives the broker, which registers with it.
  std::unique_ptr<namesrv::NameServer> name_server;
  if (arguments.standalone) {
    const absl::Status ready = PrepareStandaloneMember(arguments.config, PosixFileSystem());
    if (!ready.ok()) {
      LOG(ERROR) << "cannot prepare " << arguments.config.storePathRootDir << ": " << ready;
      return kFailed;
    }
    absl::StatusOr<std::unique_ptr<namesrv::NameServer>> started =
        StartNameServer(&arguments.config);
    if (!started.ok()) {
      LOG(ERROR) << "cannot start: " << started.status();
      return kFailed;
    }
    name_server = *std::move(started);
  }
  BrokerDeps deps;
  deps.fs = PosixFileSystem();
  deps.clock = SystemClock();
  deps.on_fatal = [](const absl::Status&) { Wake('f'); };
  deps.stop_requested = [] { return stop_requested.load(); };
  absl::StatusOr<std::unique_ptr<Broker>> broker =
      Broker::Start(std::move(arguments.config), std::move(deps));
  if (absl::IsCancelled(broker.status())) return kOk;
  if (!broker.ok()) {
    LOG(ERROR) << "cannot start: " << broker.status();
    return kFailed;
  }
  char why = 0;
  while (read(pipe_fds[0], &why, 1) != 1) {
  }
  const absl::Status stopped = (*broker)->Stop();
  if (why == 'f') return kReplicaStopped;
  if (!stopped.ok()) {
    LOG(ERROR) << "stopped with an error: " << stopped;
    return kFailed;
  }
  LOG(INFO) << "stopped";
  return kOk;
}

int Format(const BrokerConfig& config) {
  const absl::Status formatted = FormatMember(config, PosixFileSystem());
  if (!formatted.ok()) {
    std::cerr << "mqbroker format: " << Message(formatted) << "\n";
    return kFailed;
  }
  std::cout << "formatted " << config.storePathRootDir << " for member " << config.dLegerSelfId
            << " of group " << config.group() << "\n";
  return kOk;
}

int Repair(const BrokerConfig& config) {
  const auto repaired = RepairMember(config, PosixFileSystem());
  if (!repaired.ok()) {
    std::cerr << "mqbroker repair: " << Message(repaired.status()) << "\n";
    return kFailed;
  }
  if (!repaired->was_damaged) {
    std::cout << config.storePathRootDir << ": the log is whole; nothing was changed\n";
    return kOk;
  }
  std::cout << "damage: " << repaired->damage << "\n"
            << "the log now ends after entry " << repaired->last_index
            << "; what was cut is kept in quarantine/ beside it\n";
  return kOk;
}

int Main(int argc, char** argv) {
  absl::StatusOr<Arguments> arguments =
      ParseArguments(std::vector<std::string>(argv + 1, argv + argc));
  if (!arguments.ok()) {
    std::cerr << "mqbroker: " << Message(arguments.status()) << "\nmqbroker --help says more.\n";
    return kUsage;
  }
  if (arguments->help) {
    std::cout << kUsageText << DescribeSettings();
    return kOk;
  }
  if (const absl::Status valid = arguments->config.Validate(); !valid.ok()) {
    std::cerr << "mqbroker: " << Message(valid) << "\n";
    return kUsage;
  }
  StartLogging(arguments->config, argv[0]);
  if (arguments->format) return Format(arguments->config);
  if (arguments->repair) return Repair(arguments->config);
  return Run(*std::move(arguments));
}

}  // namespace
}  // namespace raftmq::broker

int main(int argc, char** argv) { return raftmq::broker::Main(argc, argv); }
