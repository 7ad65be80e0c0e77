// Who is connected: consumers of a group and what they hold, producers.

#include <map>
#include <set>

#include "client/endpoint.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/rocketmq_flags.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct ConnectionArguments {
  std::string group;
  std::string topic;
  std::string broker;
  std::string client_id;
};

// One client, as all members that it talks to know it.
struct SeenClient {
  pb::Client told;                // by the member that heard it last
  std::set<std::string> members;  // "broker-a/n0", …
  std::vector<std::string> queues;
  int64_t inflight = 0;
};
using SeenClients = std::map<std::string, SeenClient>;

void AddClients(const std::string& member, const pb::ListClientsResponse& response,
                SeenClients* clients) {
  for (const pb::Client& client : response.clients()) {
    SeenClient& seen = (*clients)[client.client_id()];
    const bool group_member = seen.told.group_member() || client.group_member();
    const bool newer =
        seen.members.empty() || client.last_heard_ms_ago() < seen.told.last_heard_ms_ago();
    if (newer) seen.told = client;
    seen.told.set_group_member(group_member);
    seen.members.insert(member);
  }
}

// Of a consumer group, or with "" all. A client is known to the members that it calls: all of them
// are asked. False: it failed, and the command line says so.
bool CollectClients(CommandLine* line, Session* session, const std::vector<GroupPlace>& places,
                    const std::string& group, SeenClients* clients) {
  pb::ListClientsRequest request;
  request.set_group(group);
  bool any = false;
  absl::Status last;
  for (const GroupPlace& place : places) {
    for (const MemberPlace& member : place.members) {
      pb::ListClientsResponse response;
      const std::string name = StrCat(place.broker_name, "/", member.name);
      const absl::Status done =
          session->CallAt(member.address, &Session::Admin::Stub::ListClients, request, &response);
      if (!done.ok()) {
        last = Annotate(done, name);
        continue;
      }
      any = true;
      AddClients(name, response, clients);
    }
  }
  if (!any) {
    line->Fail(last);
    return false;
  }
  if (!last.ok()) line->Fail(last, kExitPartial);  // its clients may be missing
  return true;
}

std::string Joined(const auto& texts) {
  std::string all;
  for (const std::string& text : texts) all += StrCat(all.empty() ? "" : " ", text);
  return all;
}

// "orders: a || b; bills: *".
std::string SubscriptionOf(const pb::Client& client) {
  std::map<std::string, std::string> sorted;
  for (const pb::ClientSubscription& s : client.subscriptions()) {
    sorted[s.topic()] =
        s.expression_type() == "SQL" ? StrCat("SQL ", s.expression()) : s.expression();
  }
  std::string all;
  for (const auto& [topic, expression] : sorted) {
    all += StrCat(all.empty() ? "" : "; ", topic, ": ", expression);
  }
  return all;
}

void ConsumerConnection(CommandLine* line, const ConnectionArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups("", args.broker);
  if (!places.ok()) return line->Fail(places.status());
  SeenClients clients;
  if (!CollectClients(line, &session, *places, args.group, &clients)) return;
  if (clients.empty()) {
    return line->Fail(
        absl::NotFoundError(StrCat("no consumer of group ", args.group, " is connected")));
  }
  Report report({"Client Id", "Client Addr", "Language", "Version", "Type", "Group Member",
                 "Members", "Last Heard Ms Ago", "Subscription"});
  for (const auto& [id, seen] : clients) {
    const pb::Client& client = seen.told;
    report.AddRow({id, client.peer(), client.language(), client.version(), client.client_type(),
                   client.group_member(), Joined(seen.members), client.last_heard_ms_ago(),
                   SubscriptionOf(client)});
  }
  line->Print(report);
}

// Adds what each client holds. What is held by one that no member knows (any more) is listed, too.
absl::Status AddHolds(Session* session, const GroupPlace& place, const std::string& group,
                      SeenClients* clients) {
  pb::ListQueueHoldsRequest request;
  request.set_group(group);
  pb::ListQueueHoldsResponse response;
  RAFTMQ_RETURN_IF_ERROR(
      session->Call(place, &Session::Admin::Stub::ListQueueHolds, request, &response));
  for (const pb::QueueHold& hold : response.holds()) {
    SeenClient& seen = (*clients)[hold.client_id()];
    seen.inflight += hold.inflight();
    if (!hold.locked()) continue;
    seen.queues.push_back(StrCat(hold.topic(), "/", place.broker_name, "/", hold.queue(),
                                 hold.revoked() ? "(revoked)" : ""));
  }
  return absl::OkStatus();
}

void ConsumerStatus(CommandLine* line, const ConnectionArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups("", args.broker);
  if (!places.ok()) return line->Fail(places.status());
  SeenClients clients;
  if (!CollectClients(line, &session, *places, args.group, &clients)) return;
  for (const GroupPlace& place : *places) {
    const absl::Status done = AddHolds(&session, place, args.group, &clients);
    if (!done.ok() && !absl::IsNotFound(done)) {
      line->Fail(Annotate(done, place.broker_name), kExitPartial);
    }
  }
  if (!args.client_id.empty()) {
    std::erase_if(clients, [&](const auto& client) { return client.first != args.client_id; });
  }
  if (clients.empty()) {
    return line->Fail(absl::NotFoundError(
        StrCat("no consumer ", args.client_id.empty() ? "" : args.client_id + " ", "of group ",
               args.group, " is connected, nor holds anything")));
  }
  Report report({"Client Id", "Version", "Type", "Connected", "Group Member", "Inflight",
                 "Locked Queues", "Subscription"});
  std::set<std::string> subscriptions;
  for (const auto& [id, seen] : clients) {
    const std::string subscription = SubscriptionOf(seen.told);
    if (!subscription.empty()) subscriptions.insert(subscription);
    report.AddRow({id, seen.told.version(), seen.told.client_type(), !seen.members.empty(),
                   seen.told.group_member(), seen.inflight, Joined(seen.queues), subscription});
  }
  line->Print(report);
  if (subscriptions.size() > 1) {
    std::fprintf(stderr, "warning: consumers of group %s have different subscriptions\n",
                 args.group.c_str());
  }
}

void PrintProducers(CommandLine* line, const SeenClients& clients, const std::string& topic) {
  Report report({"Client Id", "Client Addr", "Language", "Version", "Members", "Last Heard Ms Ago",
                 "Topics"});
  for (const auto& [id, seen] : clients) {
    const pb::Client& client = seen.told;
    if (client.client_type() != "PRODUCER") continue;
    const std::set<std::string> topics(client.topics().begin(), client.topics().end());
    if (!topic.empty() && !topics.empty() && !topics.contains(topic)) continue;
    report.AddRow({id, client.peer(), client.language(), client.version(), Joined(seen.members),
                   client.last_heard_ms_ago(), Joined(topics)});
  }
  if (report.rows() == 0 && line->exit_code == kExitOk) {
    return line->Fail(absl::NotFoundError(
        topic.empty() ? std::string("no producer is connected")
                      : StrCat("no producer of topic ", topic, " is connected")));
  }
  if (report.rows() > 0) line->Print(report);
}

void ProducerConnection(CommandLine* line, const ConnectionArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups("", args.broker);
  if (!places.ok()) return line->Fail(places.status());
  SeenClients clients;
  if (!CollectClients(line, &session, *places, "", &clients)) return;
  PrintProducers(line, clients, args.topic);
}

// Of one member alone.
void Producers(CommandLine* line, const ConnectionArguments& args) {
  auto addresses = client::ParseAddresses(args.broker, 8081);
  if (!addresses.ok()) return line->Fail(addresses.status(), kExitUsage);
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  pb::ListClientsResponse response;
  const absl::Status done = session.CallAt(addresses->front(), &Session::Admin::Stub::ListClients,
                                           pb::ListClientsRequest(), &response);
  if (!done.ok()) return line->Fail(done);
  SeenClients clients;
  AddClients(addresses->front(), response, &clients);
  PrintProducers(line, clients, "");
}

}  // namespace

void AddConnectionCommands(CLI::App* app, CommandLine* line) {
  static ConnectionArguments args;

  CLI::App* connection =
      line->AddCommand(app, "consumerConnection", "Consumers of a group that are connected",
                       "consumerConnection -g billing");
  connection->add_option("-g,--consumerGroup", args.group, "consumer group")->required();
  connection->add_option("-b,--brokerAddr", args.broker, "ask only the group of this broker");
  connection->callback([line] { ConsumerConnection(line, args); });

  CLI::App* status = line->AddCommand(
      app, "consumerStatus",
      "What each consumer of a group has: locked queues, messages in flight, its subscription",
      "consumerStatus -g billing");
  status->add_option("-g,--consumerGroup", args.group, "consumer group")->required();
  status->add_option("-i,--clientId", args.client_id, "only this one");
  status->add_option("-b,--brokerAddr", args.broker, "ask only the group of this broker");
  AddFlagWithoutEffect(status, "-s,--jstack",
                       "brokers cannot look into clients; run jstack where the consumer runs");
  status->callback([line] { ConsumerStatus(line, args); });

  CLI::App* producers = line->AddCommand(
      app, "producerConnection",
      "Producers of a topic that are connected; those that tell no topics are listed, too",
      "producerConnection -t orders");
  AddWithoutEffect(producers, "-g,--producerGroup", "producers have no groups");
  producers->add_option("-t,--topic", args.topic, "topic")->required();
  producers->add_option("-b,--brokerAddr", args.broker, "ask only the group of this broker");
  producers->callback([line] { ProducerConnection(line, args); });

  CLI::App* all = line->AddCommand(app, "producer", "Producers that are connected to one broker",
                                   "producer -b 10.0.0.1:8081");
  all->add_option("-b,--broker", args.broker, "address of the broker")->required();
  all->callback([line] { Producers(line, args); });
}

}  // namespace raftmq::mqadmin
