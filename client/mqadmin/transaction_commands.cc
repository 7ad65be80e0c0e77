#include <algorithm>

#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct TransactionArguments {
  std::string topic;
  std::string cluster;
  std::string broker;
  std::string transaction_id;
  int32_t max = 32;
  bool commit = false;
  bool rollback = false;
};

void ListTransactions(CommandLine* line, const TransactionArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Topic", "Message Id", "Transaction Id", "Position", "Stored", "Checks",
                 "Next Check"});
  for (const GroupPlace& group : *groups) {
    pb::ListTransactionsRequest request;
    request.set_topic(args.topic);
    request.set_max(args.max);
    pb::ListTransactionsResponse response;
    const absl::Status done =
        session.Call(group, &Session::Admin::Stub::ListTransactions, request, &response);
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name), kExitPartial);
      continue;
    }
    for (const pb::OpenTransaction& open : response.transactions()) {
      if (open.transaction_id().empty()) {
        line->Fail(absl::DataLossError(
                       StrCat(group.broker_name, ": the half message at position ", open.position(),
                              " cannot be read: the log of the member that leads says why")),
                   kExitPartial);
      }
      report.AddRow({group.broker_name, open.topic(), open.message_id(), open.transaction_id(),
                     open.position(), FormatTime(open.stored_ms()), int64_t{open.checks()},
                     FormatTime(open.next_check_ms())});
    }
  }
  if (line->FailUnanswered(session.answered())) return;
  line->Print(report);
}

// Positions are a group's own: which group is meant must be clear.
absl::StatusOr<GroupPlace> OneGroup(Session* session, const TransactionArguments& args) {
  auto groups = session->Groups("", args.broker);
  if (!groups.ok()) return groups.status();
  if (groups->size() > 1) {
    return absl::InvalidArgumentError(
        "several broker groups: name a member of the one that has the transaction with -b");
  }
  return (*groups)[0];
}

void ResolveTransaction(CommandLine* line, const TransactionArguments& args) {
  if (args.commit == args.rollback) {
    return line->Fail(absl::InvalidArgumentError("expected either --commit or --rollback"),
                      kExitUsage);
  }
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto group = OneGroup(&session, args);
  if (!group.ok()) return line->Fail(group.status());
  pb::ResolveTransactionRequest request;
  request.set_transaction_id(args.transaction_id);
  request.set_commit(args.commit);
  pb::ResolveTransactionResponse response;
  const absl::Status done =
      session.Call(*group, &Session::Admin::Stub::ResolveTransaction, request, &response);
  if (!done.ok()) return line->Fail(done);
  Report report({"Broker", "Transaction Id", "Result"});
  report.AddRow({group->broker_name, args.transaction_id,
                 std::string(args.commit ? "committed" : "rolled back")});
  line->Print(report);
}

void CheckTransaction(CommandLine* line, const TransactionArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto group = OneGroup(&session, args);
  if (!group.ok()) return line->Fail(group.status());
  pb::CheckTransactionRequest request;
  request.set_transaction_id(args.transaction_id);
  pb::CheckTransactionResponse response;
  const absl::Status done =
      session.Call(*group, &Session::Admin::Stub::CheckTransaction, request, &response);
  if (!done.ok()) return line->Fail(done);
  Report report({"Broker", "Transaction Id", "Result"});
  report.AddRow(
      {group->broker_name, args.transaction_id, std::string("its producers are asked now")});
  line->Print(report);
}

}  // namespace

void AddTransactionCommands(CLI::App* app, CommandLine* line) {
  static TransactionArguments args;

  CLI::App* list = line->AddCommand(app, "transactionList", "Transactions that are open",
                                    "transactionList -t orders");
  list->add_option("-t,--topic", args.topic, "only of this topic");
  list->add_option("-m,--max", args.max, "rows of each broker group")->check(CLI::Range(1, 1'024));
  list->add_option("-c,--clusterName", args.cluster, "all broker groups of this cluster");
  list->add_option("-b,--brokerAddr", args.broker, "the group of the broker at this address");
  list->callback([line] { ListTransactions(line, args); });

  CLI::App* resolve = line->AddCommand(
      app, "resolveTransaction", "Commits a transaction or rolls it back, in its producer's place",
      "resolveTransaction -i AQ… --rollback");
  resolve->add_option("-i,--transactionId", args.transaction_id, "as in transactionList")
      ->required();
  resolve->add_option("-b,--brokerAddr", args.broker, "the group of the broker at this address");
  resolve->add_flag("--commit", args.commit, "the message becomes visible");
  resolve->add_flag("--rollback", args.rollback, "it never will be");
  resolve->callback([line] { ResolveTransaction(line, args); });

  CLI::App* check = line->AddCommand(
      app, "resumeCheckHalfMessage",
      "Has a transaction's producers asked now, and their checks counted from zero again",
      "resumeCheckHalfMessage -i AQ…");
  check->add_option("-i,--transactionId", args.transaction_id, "as in transactionList")->required();
  check->add_option("-b,--brokerAddr", args.broker, "the group of the broker at this address");
  check->callback([line] { CheckTransaction(line, args); });
}

}  // namespace raftmq::mqadmin
