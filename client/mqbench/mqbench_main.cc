// mqbench: how fast a RaftMQ cluster is, and how fast this machine lets it be.

#include <glog/logging.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "base/strings.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqbench/consume.h"
#include "client/mqbench/echo_server.h"
#include "client/mqbench/load.h"
#include "client/mqbench/pull.h"

namespace raftmq::mqbench {
namespace {

struct Arguments {
  LoadOptions load;
  ConsumeOptions consume;
  PullOptions pull;
  std::string read_from = "leader";
  int32_t queues = 8;
};

int Fail(const absl::Status& status, int code = 1) {
  std::cerr << "error: " << Message(status) << "\n";
  return code;
}

// The server is a child made before gRPC starts any thread in this process.
int Echo(Arguments& args) {
  args.load.title = "echo";
  if (args.load.count == 0 && args.load.seconds == 0) args.load.seconds = 10;
  int port_pipe[2];
  int stop_pipe[2];
  if (::pipe(port_pipe) != 0 || ::pipe(stop_pipe) != 0) {
    return Fail(absl::InternalError("pipe failed"));
  }
  const pid_t child = ::fork();
  if (child < 0) return Fail(absl::InternalError("fork failed"));
  if (child == 0) {
    ::close(port_pipe[0]);
    ::close(stop_pipe[1]);
    ::_exit(RunEchoServer(port_pipe[1], stop_pipe[0]));
  }
  ::close(port_pipe[1]);
  ::close(stop_pipe[0]);
  std::string port;
  char c;
  while (::read(port_pipe[0], &c, 1) == 1 && c != '\n') port += c;
  if (port.empty()) return Fail(absl::UnavailableError("the echo server did not start"));
  args.load.namesrv_addr = "127.0.0.1:" + port;
  args.load.topic = "echo";
  LoadResult result;
  const absl::Status status = RunLoad(args.load, &result);
  ::close(stop_pipe[1]);
  ::waitpid(child, nullptr, 0);
  if (!status.ok()) return Fail(status);
  PrintResult(args.load, result);
  return result.failed > 0 ? Fail(result.first_failure) : 0;
}

int Consume(const Arguments& args) {
  ConsumeResult result;
  const absl::Status status = RunConsume(args.consume, &result);
  if (!status.ok()) return Fail(status, 2);
  if (result.failed > 0) {
    return Fail(Annotate(result.first_failure, StrCat(result.failed, " calls failed, first")));
  }
  if (result.early > 0) {
    return Fail(absl::InternalError(StrCat(result.early, " messages came before they were due")));
  }
  return 0;
}

int Pull(Arguments& args) {
  args.pull.namesrv_addr = args.load.namesrv_addr;
  args.pull.read.from = args.read_from == "any"        ? client::ReadFrom::kAny
                        : args.read_from == "follower" ? client::ReadFrom::kFollower
                                                       : client::ReadFrom::kLeader;
  if (args.pull.count == 0 && args.pull.seconds == 0) args.pull.seconds = 10;
  PullResult result;
  const absl::Status status = RunPull(args.pull, &result);
  if (!status.ok()) return Fail(status, 2);
  if (result.failed > 0) {
    return Fail(Annotate(result.first_failure, StrCat(result.failed, " pulls failed, first")));
  }
  return 0;
}

// Beside this program, or where the build puts it.
int Log(const std::vector<std::string>& rest) {
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<std::string> words = {"mqlogbench"};
  words.insert(words.end(), rest.begin(), rest.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  for (const char* place : {"mqlogbench", "../../tests/bench/mqlogbench"}) {
    ::execv((here / place).c_str(), argv.data());  // returns only if there is no such program
  }
  return Fail(
      absl::NotFoundError(StrCat("the program mqlogbench is not beside ", here.string(),
                                 "/mqbench; bazel build -c opt //client/mqbench makes both")));
}

// Creates the topic in every broker group if none has it.
absl::Status EnsureTopic(const Arguments& args) {
  namespace pb = ::raftmq::v1;
  mqadmin::Session session(args.load.namesrv_addr, args.load.timeout_ms);
  RAFTMQ_ASSIGN_OR_RETURN(const auto groups, session.Groups("", ""));
  pb::GetTopicRequest get;
  get.set_name(args.load.topic);
  for (const mqadmin::GroupPlace& group : groups) {
    pb::GetTopicResponse found;
    const absl::Status status =
        session.Call(group, &mqadmin::Session::Admin::Stub::GetTopic, get, &found);
    if (status.ok()) return status;
    if (!absl::IsNotFound(status)) return Annotate(status, group.broker_name);
  }
  pb::UpdateTopicRequest create;
  create.set_name(args.load.topic);
  create.set_read_queues(args.queues);
  create.set_write_queues(args.queues);
  if (args.load.due_in_seconds > 0) create.set_type(pb::DELAY);
  for (const mqadmin::GroupPlace& group : groups) {
    pb::UpdateTopicResponse created;
    RAFTMQ_RETURN_IF_ERROR(
        Annotate(session.Call(group, &mqadmin::Session::Admin::Stub::UpdateTopic, create, &created),
                 StrCat("creating topic ", args.load.topic, " in ", group.broker_name)));
  }
  return absl::OkStatus();
}

int Produce(Arguments& args) {
  args.load.title = "producer";
  if (args.load.count == 0 && args.load.seconds == 0) args.load.seconds = 10;
  if (absl::Status status = EnsureTopic(args); !status.ok()) return Fail(status, 2);
  LoadResult result;
  if (absl::Status status = RunLoad(args.load, &result); !status.ok()) return Fail(status, 2);
  PrintResult(args.load, result);
  if (result.failed > 0) {
    return Fail(Annotate(result.first_failure, StrCat(result.failed, " sends failed, first")));
  }
  return 0;
}

void AddLoadOptions(CLI::App* command, Arguments* args) {
  command
      ->add_option("-a,-w,--threads", args->load.threads,
                   "threads that send, wait for the answer, send again (64)")
      ->check(CLI::Range(1, 10'000));
  command->add_flag("--async", args->load.async,
                    "asynchronous sends: so many under way, without threads of their own");
  command->add_option("-s,--size", args->load.size, "bytes of a message body (128)")
      ->check(CLI::Range(1, 4 << 20));
  command->add_option("-c,-q,--count", args->load.count, "messages in all");
  command->add_option("--seconds", args->load.seconds,
                      "stop after so long (10 if no count is given)");
  command->add_option("--batch", args->load.batch, "messages in one call (1)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--report", args->load.report_seconds, "seconds between reports (10)")
      ->check(CLI::Range(1, 3600));
  command->add_flag("--json", args->load.json, "one JSON object at the end");
}

void AddConsumeOptions(CLI::App* command, Arguments* args) {
  ConsumeOptions* consume = &args->consume;
  command->add_option("-n,--namesrvAddr", args->load.namesrv_addr, "NameServers or brokers");
  command->add_option("-t,--topic", consume->topic, "topic")->required();
  command->add_option("-g,--group", consume->group, "consumer group")->required();
  command->add_option("-a,-w,--threads", consume->threads, "receivers (1)")
      ->check(CLI::Range(1, 1'000));
  command
      ->add_option(
          "--work-us", consume->work_us,
          "microseconds that a receiver waits for each message before it acks: the work on "
          "it (0)")
      ->check(CLI::Range(0, 10'000'000));
  command->add_option("-c,-q,--count", consume->count, "stop after so many messages");
  command->add_option("--seconds", consume->seconds, "stop after so long");
  command->add_option("--idle", consume->idle_seconds,
                      "stop after so many seconds without any (10)");
  command->add_option("--report", consume->report_seconds, "seconds between reports (10)")
      ->check(CLI::Range(1, 3600));
  command->add_flag("--json", consume->json, "one JSON object at the end");
}

void AddPullOptions(CLI::App* command, Arguments* args) {
  PullOptions* pull = &args->pull;
  command->add_option("-n,--namesrvAddr", args->load.namesrv_addr, "NameServers or brokers");
  command->add_option("-t,--topic", pull->topic, "topic")->required();
  pull->group = "mqbench";
  command->add_option("-g,--group", pull->group, "consumer group; nothing is committed (mqbench)");
  command->add_option("-a,-w,--threads", pull->threads, "threads that pull (1)")
      ->check(CLI::Range(1, 1'000));
  command
      ->add_option("--read-from", args->read_from,
                   "who is asked first: leader, follower, any (leader)")
      ->check(CLI::IsMember({"leader", "follower", "any"}));
  command
      ->add_option("--max-lag-ms", pull->read.maxLagMillis,
                   "with all that was acknowledged so long before the pull; 0: linearizable; what "
                   "the member has if not given")
      ->check(CLI::Range(0, 86'400'000));
  command->add_option("-c,-q,--count", pull->count, "stop after so many messages");
  command->add_option("--seconds", pull->seconds, "stop after so long (10 if no count is given)");
  command->add_flag("--json", pull->json, "one JSON object at the end");
}

}  // namespace
}  // namespace raftmq::mqbench

int main(int argc, char** argv) {
  FLAGS_minloglevel = google::GLOG_ERROR;
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);

  using namespace raftmq::mqbench;
  Arguments args;
  const char* from_environment = std::getenv("NAMESRV_ADDR");
  args.load.namesrv_addr = from_environment != nullptr ? from_environment : "127.0.0.1:9876";
  int exit_code = 0;

  CLI::App app{"Measures a RaftMQ cluster.", "mqbench"};
  app.footer(
      "\nexample:\n  mqbench producer -t bench -a 32 -s 1000 -c 1000000\n"
      "  mqbench consumer -t bench -g readers\n  mqbench pull -t bench --read-from any\n  mqbench "
      "echo -s 1024\n"
      "  mqbench log --modes 1x1 32x32\n"
      "\nExit codes: 0 done, 1 some calls failed, 2 it could not start.");
  app.require_subcommand(1);

  CLI::App* producer = app.add_subcommand("producer", "Sends messages and measures each send");
  AddLoadOptions(producer, &args);
  producer->add_option("-n,--namesrvAddr", args.load.namesrv_addr, "NameServers or brokers");
  producer->add_option("-t,--topic", args.load.topic, "topic")->required();
  producer->add_option("--queues", args.queues, "of the topic, if it has to be created (8)")
      ->check(CLI::Range(1, 10'000));
  producer
      ->add_option("--ack", args.load.ack_level,
                   "when a send is answered: leader, quorum, quorum_fsync, all (the topic's)")
      ->check(CLI::IsMember({"leader", "quorum", "quorum_fsync", "all"}));
  producer
      ->add_option("--due-in", args.load.due_in_seconds,
                   "delayed messages, all due within the second that begins so many seconds from "
                   "now; mqbench consumer then measures how late they come")
      ->check(CLI::Range(1, 86'400));
  producer->add_option("--timeout", args.load.timeout_ms, "milliseconds for a send (3000)");
  producer->callback([&] { exit_code = Produce(args); });

  CLI::App* echo = app.add_subcommand(
      "echo", "The gRPC floor of this machine: the same client against a server that only answers");
  AddLoadOptions(echo, &args);
  echo->callback([&] { exit_code = Echo(args); });

  CLI::App* consumer = app.add_subcommand(
      "consumer", "Receives and acks as fast as it can; measures from birth to consumption");
  AddConsumeOptions(consumer, &args);
  consumer->callback([&] {
    args.consume.namesrv_addr = args.load.namesrv_addr;
    exit_code = Consume(args);
  });

  CLI::App* pull = app.add_subcommand(
      "pull", "Reads queues from end to end, again and again, and tells which members answered");
  AddPullOptions(pull, &args);
  pull->callback([&] { exit_code = Pull(args); });

  CLI::App* log = app.add_subcommand(
      "log",
      "The replication core alone, without gRPC: three members on this machine, with fsync.\n"
      "Runs the program mqlogbench, which gets all further arguments: mqbench log --help");
  log->prefix_command();
  log->set_help_flag();
  log->callback([&] { exit_code = Log(log->remaining()); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return exit_code;
}
