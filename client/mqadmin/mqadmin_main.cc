// mqadmin: looks at a RaftMQ cluster and changes it, with RocketMQ's command names and flags.

#include <glog/logging.h>

#include <cstdlib>
#include <iostream>

#include "base/file_system.h"
#include "base/strings.h"
#include "client/mqadmin/commands.h"

namespace raftmq::mqadmin {

void CommandLine::Fail(const absl::Status& status, int code) {
  std::cerr << "error: " << Message(status) << "\n";
  exit_code = code;
}

bool CommandLine::FailUnanswered(bool answered) {
  if (exit_code != kExitPartial || answered) return false;
  exit_code = kExitFailed;
  return true;
}

void CommandLine::Print(const Report& report, bool as_records) const {
  if (json) {
    report.PrintJson(std::cout);
  } else if (as_records) {
    report.PrintRecords(std::cout);
  } else {
    report.PrintTable(std::cout);
  }
}

TlsClientOptions CommandLine::tls() const {
  if (!use_tls) return {};
  auto options =
      ReadTlsClientOptions(PosixFileSystem(), tls_trust_path, tls_cert_path, tls_key_path);
  if (options.ok()) return *std::move(options);
  std::cerr << "error: " << Message(options.status()) << "\n";
  std::exit(kExitUsage);
}

client::ProducerOptions CommandLine::producer_options() const {
  client::ProducerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.tls = tls();
  options.sendMsgTimeout = timeout_ms;
  return options;
}

CLI::App* CommandLine::AddCommand(CLI::App* app, const std::string& name,
                                  const std::string& description, const std::string& example) {
  CLI::App* command = app->add_subcommand(name, description);
  command->footer(StrCat("\nexample:\n  mqadmin ", example));
  command->add_option("-n,--namesrvAddr", namesrv_addr,
                      "NameServers, or brokers: host:port;host:port (else NAMESRV_ADDR, else "
                      "127.0.0.1:9876)");
  command->add_option("--timeout", timeout_ms, "milliseconds for each call")
      ->check(CLI::Range(1, 3'600'000));
  command->add_flag("--tls", use_tls, "connect to brokers by TLS; -n must name brokers then");
  command->add_option("--tlsTrustCertPath", tls_trust_path,
                      "PEM file the broker's certificate is checked against; else not checked");
  command->add_option("--tlsClientCertPath", tls_cert_path, "PEM file shown to the broker");
  command->add_option("--tlsClientKeyPath", tls_key_path, "its key");
  command->add_flag("--json", json, "print JSON for scripts");
  return command;
}

CLI::App* CommandLine::WithRead(CLI::App* command) {
  command->add_option("--readFrom", read.address,
                      "the member (host:port) that answers, a follower perhaps; else the leader, "
                      "or another one while there is none");
  CLI::Option* linearizable =
      command->add_flag("--linearizable", read.linearizable,
                        "as of now: with all that was acknowledged before the call");
  command
      ->add_option("--maxLagMs", read.max_lag_ms,
                   "with all that was acknowledged so many milliseconds before the call")
      ->check(CLI::Range(int64_t{0}, int64_t{86'400'000}))
      ->excludes(linearizable);
  return command;
}

}  // namespace raftmq::mqadmin

int main(int argc, char** argv) {
  FLAGS_minloglevel = google::GLOG_ERROR;
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);

  raftmq::mqadmin::CommandLine line;
  const char* from_environment = std::getenv("NAMESRV_ADDR");
  line.namesrv_addr = from_environment != nullptr ? from_environment : "127.0.0.1:9876";

  CLI::App app{"Looks at a RaftMQ cluster and changes it.", "mqadmin"};
  app.footer(
      "\nexample:\n  mqadmin updateTopic -n host:9876 -t orders -r 8 -w 8\n"
      "  mqadmin clusterList --json");
  app.require_subcommand(1);
  raftmq::mqadmin::AddClusterCommands(&app, &line);
  raftmq::mqadmin::AddTopicCommands(&app, &line);
  raftmq::mqadmin::AddGroupCommands(&app, &line);
  raftmq::mqadmin::AddOffsetCommands(&app, &line);
  raftmq::mqadmin::AddConnectionCommands(&app, &line);
  raftmq::mqadmin::AddStatsCommands(&app, &line);
  raftmq::mqadmin::AddMetadataCommands(&app, &line);
  raftmq::mqadmin::AddMonitorCommands(&app, &line);
  raftmq::mqadmin::AddScanCommands(&app, &line);
  raftmq::mqadmin::AddMessageCommands(&app, &line);
  raftmq::mqadmin::AddPipelineCommands(&app, &line);
  raftmq::mqadmin::AddTransactionCommands(&app, &line);
  raftmq::mqadmin::AddDeadLetterCommands(&app, &line);
  raftmq::mqadmin::AddLogCommands(&app, &line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? raftmq::mqadmin::kExitOk : raftmq::mqadmin::kExitUsage;
  }
  return line.exit_code;
}
