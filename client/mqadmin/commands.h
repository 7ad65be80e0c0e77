// The commands of mqadmin: each family adds its subcommands to the command line's parser and
// returns nothing; what ran leaves its exit code in the CommandLine.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"
#include "base/channel_credentials.h"
#include "client/mqadmin/read_flags.h"
#include "client/mqadmin/report.h"
#include "client/producer.h"

namespace raftmq::mqadmin {

// Exit codes, the same for all commands.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;   // the cluster refused, or could not be reached
inline constexpr int kExitUsage = 2;    // the command line is wrong
inline constexpr int kExitPartial = 3;  // some of it was done, some failed

// Owned by main; outlives all commands. Single-threaded.
struct CommandLine {
  std::string namesrv_addr;  // -n, else NAMESRV_ADDR, else this machine
  int64_t timeout_ms = 5'000;
  bool json = false;
  // --tls and the files that go with it.
  bool use_tls = false;
  std::string tls_trust_path;
  std::string tls_cert_path;
  std::string tls_key_path;
  ReadFlags read;  // of commands that take them
  int exit_code = kExitOk;

  // What the flags say of TLS. Ends the process with kExitUsage if a file cannot be read.
  TlsClientOptions tls() const;
  // For a producer that goes where the flags say.
  client::ProducerOptions producer_options() const;

  // Prints an error to stderr, with what to do, and sets the exit code.
  void Fail(const absl::Status& status, int code = kExitFailed);
  // For a command that reads of several broker groups, before it prints. True: calls failed and none
  // was `answered`, so that the command failed as a whole, and there is nothing to show.
  bool FailUnanswered(bool answered);
  // Prints to stdout, as --json says.
  void Print(const Report& report, bool as_records = false) const;

  // Adds a subcommand with the flags that all share (-n, --timeout, --json, --tls …).
  CLI::App* AddCommand(CLI::App* app, const std::string& name, const std::string& description,
                       const std::string& example);
  // Adds --readFrom, --linearizable and --maxLagMs to one.
  CLI::App* WithRead(CLI::App* command);
};

void AddClusterCommands(CLI::App* app, CommandLine* line);  // clusterList, brokerStatus, …
void AddTopicCommands(CLI::App* app, CommandLine* line);    // updateTopic, topicRoute, …
void AddGroupCommands(CLI::App* app, CommandLine* line);    // updateSubGroup, consumerProgress, …
void AddOffsetCommands(CLI::App* app, CommandLine* line);   // resetOffsetByTime, offsetHistory, …
void AddConnectionCommands(CLI::App* app, CommandLine* line);  // consumerConnection, producer, …
void AddStatsCommands(CLI::App* app, CommandLine* line);  // brokerConsumeStats, checkMsgSendRT, …
void AddScanCommands(CLI::App* app, CommandLine* line);   // printMsg, consumeMessage, queryCq
void AddMessageCommands(CLI::App* app, CommandLine* line);      // queryMsgByKey, …
void AddPipelineCommands(CLI::App* app, CommandLine* line);     // sendMessage, produce, consume
void AddDeadLetterCommands(CLI::App* app, CommandLine* line);   // redriveDeadLetters, …
void AddMetadataCommands(CLI::App* app, CommandLine* line);     // exportMetadata
void AddMonitorCommands(CLI::App* app, CommandLine* line);      // startMonitoring
void AddTransactionCommands(CLI::App* app, CommandLine* line);  // transactionList, …
void AddLogCommands(CLI::App* app, CommandLine* line);          // dumpLog

}  // namespace raftmq::mqadmin
