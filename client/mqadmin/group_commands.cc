#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "absl/strings/str_join.h"
#include "base/file_system.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/config_list.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/retry_policy_text.h"
#include "client/mqadmin/rocketmq_flags.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct GroupArguments {
  std::string group;
  std::string topic;
  std::string cluster;
  std::string broker;
  std::optional<bool> consume_enable;
  std::optional<bool> from_min;
  std::optional<bool> orderly;
  std::optional<int32_t> retry_max_times;
  std::string retry_policy;
  std::string consume_from;
  std::optional<int64_t> consume_timestamp;
  std::string file;
  bool show_clients = false;
  std::vector<std::string> attributes;  // "+lite.sub.model=Exclusive", "+lite.sub.client.quota=10"
};

std::string ConsumeFromText(const pb::Group& group) {
  switch (group.consume_from()) {
    case pb::CONSUME_FROM_FIRST:
      return "first";
    case pb::CONSUME_FROM_LAST:
      return "last";
    case pb::CONSUME_FROM_TIMESTAMP:
      return FormatTime(group.consume_timestamp_ms());
    default:
      return "";
  }
}

std::vector<std::string> GroupColumns() {
  return {"Broker",          "Group",        "Consume Enable", "Orderly",
          "Retry Max Times", "Consume From", "Retry Policy"};
}

void AddGroupRow(const GroupPlace& place, const pb::Group& group, Report* report) {
  report->AddRow({place.broker_name, group.name(), group.consume_enable(), group.orderly(),
                  int64_t{group.retry_max_times()}, ConsumeFromText(group),
                  RetryPolicyText(group.retry_policy())});
}

void SubGroupList(CommandLine* line, const GroupArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  Report report(GroupColumns());
  for (const GroupPlace& place : *places) {
    pb::ListGroupsResponse response;
    const absl::Status done =
        session.Call(place, &Session::Admin::Stub::ListGroups, pb::ListGroupsRequest(), &response);
    if (!done.ok()) {
      line->Fail(Annotate(done, place.broker_name), kExitPartial);
      continue;
    }
    for (const pb::Group& group : response.groups()) AddGroupRow(place, group, &report);
  }
  if (line->FailUnanswered(session.answered())) return;
  line->Print(report);
}

// Each group in each broker group.
void UpdateGroups(CommandLine* line, const GroupArguments& args,
                  const std::vector<pb::UpdateGroupRequest>& requests) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  Report report(GroupColumns());
  for (const pb::UpdateGroupRequest& request : requests) {
    for (const GroupPlace& place : *places) {
      pb::UpdateGroupResponse response;
      const absl::Status done =
          session.Call(place, &Session::Admin::Stub::UpdateGroup, request, &response);
      if (!done.ok()) {
        line->Fail(Annotate(done, place.broker_name),
                   report.rows() > 0 ? kExitPartial : kExitFailed);
        continue;
      }
      AddGroupRow(place, response.group(), &report);
    }
  }
  if (report.rows() == 0) return;
  line->Print(report);
  if (line->exit_code == kExitFailed) line->exit_code = kExitPartial;
}

void UpdateSubGroup(CommandLine* line, const GroupArguments& args) {
  static const std::map<std::string, pb::ConsumeFrom> kFrom = {
      {"", pb::CONSUME_FROM_UNSPECIFIED},
      {"first", pb::CONSUME_FROM_FIRST},
      {"last", pb::CONSUME_FROM_LAST},
      {"timestamp", pb::CONSUME_FROM_TIMESTAMP}};
  pb::UpdateGroupRequest request;
  request.set_name(args.group);
  if (args.consume_enable) request.set_consume_enable(*args.consume_enable);
  if (args.orderly) request.set_orderly(*args.orderly);
  if (args.retry_max_times) request.set_retry_max_times(*args.retry_max_times);
  request.set_consume_from(kFrom.at(args.consume_from));
  if (args.from_min.value_or(false)) request.set_consume_from(pb::CONSUME_FROM_FIRST);
  if (args.consume_timestamp) request.set_consume_timestamp_ms(*args.consume_timestamp);
  if (!args.retry_policy.empty()) {
    const absl::Status parsed = ParseRetryPolicy(args.retry_policy, request.mutable_retry_policy());
    if (!parsed.ok()) return line->Fail(parsed, kExitUsage);
  }
  for (const std::string& attribute : args.attributes) {
    const absl::Status applied = ApplyGroupAttribute(attribute, &request);
    if (!applied.ok()) return line->Fail(applied, kExitUsage);
  }
  UpdateGroups(line, args, {request});
}

void UpdateSubGroupList(CommandLine* line, const GroupArguments& args) {
  const auto text = ReadFile(PosixFileSystem(), args.file);
  if (!text.ok()) return line->Fail(text.status(), kExitUsage);
  const auto requests = ParseGroupList(*text);
  if (!requests.ok()) return line->Fail(Annotate(requests.status(), args.file), kExitUsage);
  UpdateGroups(line, args, *requests);
}

void GetConsumerConfig(CommandLine* line, const GroupArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  Report report(GroupColumns());
  absl::Status missing;
  for (const GroupPlace& place : *places) {
    pb::GetGroupRequest request;
    request.set_name(args.group);
    pb::GetGroupResponse response;
    const absl::Status done =
        session.Call(place, &Session::Admin::Stub::GetGroup, request, &response);
    if (done.ok()) {
      AddGroupRow(place, response.group(), &report);
    } else if (absl::IsNotFound(done)) {
      missing = done;
    } else {
      line->Fail(Annotate(done, place.broker_name), kExitPartial);
    }
  }
  if (report.rows() == 0 && !missing.ok()) return line->Fail(missing);
  if (line->FailUnanswered(session.answered())) return;
  if (report.rows() > 0) line->Print(report, /*as_records=*/true);
}

void DeleteSubGroup(CommandLine* line, const GroupArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Group", "Result"});
  for (const GroupPlace& place : *groups) {
    pb::DeleteGroupRequest request;
    request.set_name(args.group);
    pb::DeleteGroupResponse response;
    const absl::Status done =
        session.Call(place, &Session::Admin::Stub::DeleteGroup, request, &response);
    if (!done.ok()) {
      line->Fail(Annotate(done, place.broker_name), report.rows() > 0 ? kExitPartial : kExitFailed);
      continue;
    }
    report.AddRow({place.broker_name, args.group, std::string("deleted")});
  }
  if (report.rows() > 0) line->Print(report);
}

// All groups with their backlog in one line each.
void AllProgress(CommandLine* line, Session* session, const std::vector<GroupPlace>& places) {
  struct Sum {
    int64_t diff = 0;
    int64_t inflight = 0;
  };
  std::map<std::string, Sum> sums;
  for (const GroupPlace& place : places) {
    pb::ListGroupsResponse names;
    absl::Status done =
        session->Call(place, &Session::Admin::Stub::ListGroups, pb::ListGroupsRequest(), &names);
    for (int i = 0; done.ok() && i < names.groups_size(); ++i) {
      pb::GroupProgressRequest request;
      request.set_name(names.groups(i).name());
      pb::GroupProgressResponse progress;
      Sum& sum = sums[request.name()];
      done = session->Call(place, &Session::Admin::Stub::GroupProgress, request, &progress);
      for (const pb::QueueProgress& row : progress.rows()) {
        sum.diff += row.max_offset() - row.commit_offset();
        sum.inflight += row.inflight();
      }
    }
    if (!done.ok()) line->Fail(Annotate(done, place.broker_name), kExitPartial);
  }
  if (line->FailUnanswered(session->answered())) return;
  Report report({"Group", "Diff Total", "Inflight Total"});
  for (const auto& [name, sum] : sums) report.AddRow({name, sum.diff, sum.inflight});
  line->Print(report);
}

// Who has a queue: the address that the broker sees the client at, or its id if no member knows it
// any more.
using QueueKey = std::tuple<std::string, std::string, int32_t>;  // topic, broker, queue
using QueueClients = std::map<QueueKey, std::set<std::string>>;

absl::Status AddQueueClients(Session* session, const GroupPlace& place, const std::string& group,
                             QueueClients* clients) {
  std::map<std::string, std::string> peers;
  for (const MemberPlace& member : place.members) {
    pb::ListClientsRequest request;
    request.set_group(group);
    pb::ListClientsResponse response;
    // What a member that is down knew is the others' to tell, or shown by id.
    const absl::Status done =
        session->CallAt(member.address, &Session::Admin::Stub::ListClients, request, &response);
    if (!done.ok() && !absl::IsUnavailable(done)) return done;
    for (const pb::Client& client : response.clients()) peers[client.client_id()] = client.peer();
  }
  pb::ListQueueHoldsRequest request;
  request.set_group(group);
  pb::ListQueueHoldsResponse response;
  RAFTMQ_RETURN_IF_ERROR(
      session->Call(place, &Session::Admin::Stub::ListQueueHolds, request, &response));
  for (const pb::QueueHold& hold : response.holds()) {
    const auto peer = peers.find(hold.client_id());
    (*clients)[{hold.topic(), place.broker_name, hold.queue()}].insert(
        peer == peers.end() ? hold.client_id() : peer->second);
  }
  return absl::OkStatus();
}

// The queues of one group, and their sums.
struct GroupRows {
  Report report;
  int64_t diff_total = 0;
  int64_t inflight_total = 0;
};

void AddProgressRows(const GroupArguments& args, const GroupPlace& place,
                     const pb::GroupProgressResponse& progress, const QueueClients& clients,
                     GroupRows* rows) {
  for (const pb::QueueProgress& row : progress.rows()) {
    if (!args.topic.empty() && row.topic() != args.topic) continue;
    const int64_t diff = row.max_offset() - row.commit_offset();
    rows->diff_total += diff;
    rows->inflight_total += row.inflight();
    std::vector<Cell> cells = {row.topic(),          place.broker_name,
                               int64_t{row.queue()}, row.max_offset(),
                               row.commit_offset(),  diff,
                               row.inflight(),       FormatTime(row.last_store_ms())};
    if (args.show_clients) {
      const auto held = clients.find({row.topic(), place.broker_name, row.queue()});
      cells.insert(cells.begin() + 5,
                   held == clients.end() ? std::string() : absl::StrJoin(held->second, " "));
    }
    rows->report.AddRow(std::move(cells));
  }
}

void ConsumerProgress(CommandLine* line, const GroupArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls(), line->read);
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  if (args.group.empty()) return AllProgress(line, &session, *places);

  std::vector<std::string> columns = {"Topic",           "Broker", "Queue",    "Broker Offset",
                                      "Consumer Offset", "Diff",   "Inflight", "Last Time"};
  if (args.show_clients) columns.insert(columns.begin() + 5, "Client IP");
  GroupRows rows{Report(columns)};
  absl::Status missing;
  for (const GroupPlace& place : *places) {
    pb::GroupProgressRequest request;
    request.set_name(args.group);
    pb::GroupProgressResponse progress;
    absl::Status done =
        session.Call(place, &Session::Admin::Stub::GroupProgress, request, &progress);
    if (absl::IsNotFound(done)) {
      missing = done;
      continue;
    }
    QueueClients clients;
    if (done.ok() && args.show_clients) {
      done = AddQueueClients(&session, place, args.group, &clients);
    }
    if (!done.ok()) line->Fail(Annotate(done, place.broker_name), kExitPartial);
    AddProgressRows(args, place, progress, clients, &rows);
  }
  if (rows.report.rows() == 0 && !missing.ok()) return line->Fail(missing);
  if (line->FailUnanswered(session.answered())) return;
  if (rows.report.rows() == 0 && !args.topic.empty() && line->exit_code == kExitOk) {
    return line->Fail(absl::NotFoundError(
        StrCat("group ", args.group, " has no position on topic ", args.topic)));
  }
  line->Print(rows.report);
  if (!line->json) {
    std::printf("\nDiff Total: %lld\nInflight Total: %lld\n",
                static_cast<long long>(rows.diff_total),
                static_cast<long long>(rows.inflight_total));
  }
}

CLI::App* WithPlace(CLI::App* command, GroupArguments* args) {
  command->add_option("-c,--clusterName,--cluster", args->cluster,
                      "all broker groups of this cluster");
  command->add_option("-b,--brokerAddr", args->broker, "the group of the broker at this address");
  return command;
}

void AddNeedlessGroupFlags(CLI::App* update) {
  AddWithoutEffect(update, "-d,--consumeBroadcastEnable", "any group may consume by broadcast");
  AddWithoutEffect(update, "-q,--retryQueueNums",
                   "there are no retry topics: what failed comes again from its own queue");
  AddWithoutEffect(update, "-i,--brokerId", "consumers find the member that serves them");
  AddWithoutEffect(update, "-w,--whichBrokerWhenConsumeSlowly",
                   "consumers find the member that serves them");
  AddOnlyBool(update, "-a,--notifyConsumerIdsChanged", true,
              "members of a group always hear of each other; attributes are --attributes");
}

void AddProgress(CLI::App* app, CommandLine* line, GroupArguments* args) {
  CLI::App* progress = WithPlace(
      line->AddCommand(app, "consumerProgress", "How far a group, or every group, has consumed",
                       "consumerProgress -g billing\n  mqadmin consumerProgress -g billing -t "
                       "orders -s true\n  mqadmin consumerProgress -g billing --readFrom "
                       "10.0.0.2:8081 --linearizable"),
      args);
  line->WithRead(progress);
  CLI::Option* group =
      progress->add_option("-g,--groupName", args->group, "consumer group; all if not given");
  progress->add_option("-t,--topicName", args->topic, "only on this topic")->needs(group);
  progress
      ->add_option("-s,--showClientIP", args->show_clients,
                   "true: by which clients each queue is locked, or has messages in flight")
      ->needs(group);
  progress->callback([line, args] { ConsumerProgress(line, *args); });
}

void AddOtherGroupCommands(CLI::App* app, CommandLine* line, GroupArguments* args) {
  CLI::App* list = WithPlace(
      line->AddCommand(app, "updateSubGroupList",
                       "Creates or changes the groups that a file lists, as JSON of RocketMQ's "
                       "SubscriptionGroupConfig",
                       "updateSubGroupList -f groups.json\n  with groups.json: "
                       "[{\"groupName\":\"billing\",\"consumeMessageOrderly\":true}]"),
      args);
  list->add_option("-f,--filename", args->file, "the file")->required();
  list->callback([line, args] { UpdateSubGroupList(line, *args); });

  CLI::App* config = WithPlace(line->AddCommand(app, "getConsumerConfig", "The settings of a group",
                                                "getConsumerConfig -g billing"),
                               args);
  config->add_option("-g,--groupName", args->group, "consumer group")->required();
  config->callback([line, args] { GetConsumerConfig(line, *args); });
}

}  // namespace

void AddGroupCommands(CLI::App* app, CommandLine* line) {
  static GroupArguments args;

  CLI::App* update =
      WithPlace(line->AddCommand(app, "updateSubGroup", "Creates or changes a consumer group",
                                 "updateSubGroup -g billing -o true -r 16"),
                &args);
  update->add_option("-g,--groupName", args.group, "consumer group")->required();
  update->add_option("-s,--consumeEnable", args.consume_enable, "whether it may consume (true)");
  update->add_option("-o,--consumeMessageOrderly", args.orderly, "orderly (false)");
  update->add_option("-r,--retryMaxTimes", args.retry_max_times,
                     "how often a message that fails comes again before it is dead-lettered (16)");
  update->add_option(
      "-p,--groupRetryPolicy", args.retry_policy,
      "how long it waits, in ms: '{\"type\":\"CUSTOMIZED\",\"customizedRetryPolicy\":"
      "{\"next\":[1000,5000]}}' or '{\"type\":\"EXPONENTIAL\","
      "\"exponentialRetryPolicy\":{\"initial\":5000,\"max\":7200000,"
      "\"multiplier\":2}}'; DEFAULT for the default");
  update->add_option("--consumeFrom", args.consume_from, "where a new group begins")
      ->check(CLI::IsMember({"first", "last", "timestamp"}))
      ->excludes(update->add_option("-m,--consumeFromMinEnable", args.from_min,
                                    "true is --consumeFrom first; false changes nothing"));
  update->add_option("--consumeTimestamp", args.consume_timestamp,
                     "milliseconds since 1970, with --consumeFrom timestamp");
  update
      ->add_option("--attributes", args.attributes,
                   "+lite.sub.model=Exclusive: a lite topic has one subscriber in the group, the "
                   "latest (Shared); +lite.sub.client.quota=N: lite topics of one client (2000)")
      ->delimiter(',');
  AddNeedlessGroupFlags(update);
  update->callback([line] { UpdateSubGroup(line, args); });

  CLI::App* remove = WithPlace(
      line->AddCommand(app, "deleteSubGroup", "Deletes a consumer group and its positions",
                       "deleteSubGroup -g billing"),
      &args);
  remove->add_option("-g,--groupName", args.group, "consumer group")->required();
  AddOnlyBool(remove, "-r,--removeOffset", true,
              "a group's offsets go with it; cloneGroupOffset copies them to another group before");
  remove->callback([line] { DeleteSubGroup(line, args); });

  AddProgress(app, line, &args);

  CLI::App* list = WithPlace(
      line->AddCommand(app, "subGroupList", "All consumer groups", "subGroupList -n host:9876"),
      &args);
  list->callback([line] { SubGroupList(line, args); });

  AddOtherGroupCommands(app, line, &args);
}

}  // namespace raftmq::mqadmin
