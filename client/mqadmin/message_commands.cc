// Messages by key, id and offset.

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_split.h"
#include "client/mqadmin/charset.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/message_body.h"
#include "client/mqadmin/rocketmq_flags.h"
#include "client/producer.h"
#include "store/message_properties.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct MessageArguments {
  std::string topic;
  std::string key;
  std::string id;
  std::string cluster;
  std::string broker;  // address
  std::string broker_name;
  std::string charset = "UTF-8";
  std::string resend;  // "true", "false"
  bool show_all = false;
  int32_t queue = 0;
  int64_t offset = 0;
  int64_t begin_ms = 0;
  int64_t end_ms = 0;
  int32_t max = 64;
};

using Messages = std::vector<pb::StoredMessage>;

void PrintMessages(CommandLine* line, const MessageArguments& args, const Messages& messages,
                   bool with_body) {
  std::vector<std::string> columns = {
      "Topic", "Queue", "Offset",    "Position",  "Size", "Message Id", "Offset Message Id",
      "Tag",   "Keys",  "Born Time", "Store Time"};
  if (with_body) {
    for (const char* more : {"Born Host", "Reconsume Times", "Properties", "Body"}) {
      columns.push_back(more);
    }
  }
  Report report(columns);
  for (const pb::StoredMessage& m : messages) {
    std::string keys;
    for (const std::string& key : m.keys()) keys += (keys.empty() ? "" : " ") + key;
    std::vector<Cell> row = {m.topic(),
                             int64_t{m.queue()},
                             m.offset(),
                             m.position(),
                             int64_t{m.size()},
                             m.message_id(),
                             m.offset_message_id(),
                             m.tag(),
                             keys,
                             FormatTime(m.born_ms()),
                             FormatTime(m.store_ms())};
    if (with_body) {
      std::map<std::string, std::string> sorted(m.properties().begin(), m.properties().end());
      std::string properties;
      for (const auto& [name, value] : sorted) {
        properties += StrCat(properties.empty() ? "" : ", ", name, "=", value);
      }
      row.push_back(m.born_host());
      row.push_back(int64_t{m.reconsume_times()});
      row.push_back(properties);
      auto body = ToUtf8(BodyOf(m), args.charset);
      if (!body.ok()) return line->Fail(Annotate(body.status(), "--bodyFormat"), kExitUsage);
      row.push_back(*std::move(body));
    }
    report.AddRow(std::move(row));
  }
  line->Print(report, /*as_records=*/with_body);
}

// Asks every broker group; a message lives in one of them, a key may be in several. Nothing: the
// command line says why.
template <typename Request>
Messages Find(CommandLine* line, const MessageArguments& args,
              grpc::Status (Session::Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                           pb::QueryMessagesResponse*),
              const Request& request) {
  Messages found;
  Session session(line->namesrv_addr, line->timeout_ms, line->tls(), line->read);
  auto groups = session.Groups(args.cluster, args.broker);
  if (groups.ok() && !args.broker_name.empty()) {
    std::erase_if(*groups, [&](const auto& g) { return g.broker_name != args.broker_name; });
    if (groups->empty()) {
      groups = absl::NotFoundError(
          StrCat("no broker group is named ", args.broker_name, "; clusterList shows their names"));
    }
  }
  if (!groups.ok()) {
    line->Fail(groups.status());
    return found;
  }
  absl::Status missing = absl::NotFoundError("no message found");
  bool asked_all = true;
  for (const GroupPlace& group : *groups) {
    pb::QueryMessagesResponse response;
    const absl::Status done = session.Call(group, method, request, &response);
    if (absl::IsNotFound(done)) {
      missing = done;
      continue;
    }
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name));
      asked_all = false;
      continue;
    }
    found.insert(found.end(), response.messages().begin(), response.messages().end());
  }
  if (found.empty() && asked_all) line->Fail(missing);
  if (!found.empty() && !asked_all) line->exit_code = kExitPartial;
  return found;
}

void QueryByKey(CommandLine* line, const MessageArguments& args) {
  pb::QueryMessagesByKeyRequest request;
  request.set_topic(args.topic);
  request.set_key(args.key);
  request.set_begin_ms(args.begin_ms);
  request.set_end_ms(args.end_ms);
  request.set_max_messages(args.max);
  const Messages found = Find(line, args, &Session::Admin::Stub::QueryMessagesByKey, request);
  if (!found.empty()) PrintMessages(line, args, found, false);
}

// A message that was sent several times has one id.
void QueryByUniqueKey(CommandLine* line, const MessageArguments& args) {
  pb::QueryMessagesByKeyRequest request;
  request.set_topic(args.topic);
  request.set_key(args.id);
  request.set_max_messages(32);
  Messages found = Find(line, args, &Session::Admin::Stub::QueryMessagesByKey, request);
  if (found.empty()) return;
  // An id is looked up like a key: what was found may be others that have it as their key.
  std::erase_if(found, [&](const auto& message) { return message.message_id() != args.id; });
  if (found.empty()) {
    return line->Fail(absl::NotFoundError(StrCat("no message of topic ", args.topic,
                                                 " has the id ", args.id,
                                                 "; queryMsgByKey shows what has it as a key")));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.store_ms() < b.store_ms(); });
  if (!args.show_all) found.resize(1);
  PrintMessages(line, args, found, true);
}

// What its producer sent; what brokers noted on it stays behind. Its group keeps the order.
client::Message CopyOf(const pb::StoredMessage& stored) {
  client::Message message;
  message.topic = stored.topic();
  message.body = BodyOf(stored);
  message.tag = stored.tag();
  message.keys.assign(stored.keys().begin(), stored.keys().end());
  for (const auto& [name, value] : stored.properties()) {
    if (name == store::property::kShardingKey) message.message_group = value;
    const bool ours = name.starts_with("__") || name.starts_with("DLQ_");
    if (!ours && !store::IsReservedProperty(name)) message.properties[name] = value;
  }
  return message;
}

void Resend(CommandLine* line, const Messages& messages) {
  auto producer = client::Producer::Start(line->producer_options());
  if (!producer.ok()) return line->Fail(producer.status(), kExitUsage);
  Report report({"Topic", "Original Message Id", "Broker", "Queue", "Message Id", "Result"});
  for (const pb::StoredMessage& stored : messages) {
    const auto sent = (*producer)->Send(CopyOf(stored));
    if (!sent.ok()) {
      line->Fail(Annotate(sent.status(), StrCat("message ", stored.message_id())),
                 report.rows() > 0 ? kExitPartial : kExitFailed);
      continue;
    }
    report.AddRow({stored.topic(), stored.message_id(), sent->broker_name,
                   sent->queue.has_value() ? int64_t{sent->queue->value()} : int64_t{-1},
                   sent->message_id, std::string("SEND_OK")});
  }
  if (report.rows() == 0) return;
  line->Print(report);
  if (line->exit_code == kExitFailed) line->exit_code = kExitPartial;
}

void QueryById(CommandLine* line, const MessageArguments& args) {
  Messages found;
  for (const absl::string_view id : absl::StrSplit(args.id, ',', absl::SkipWhitespace())) {
    pb::MessageByPositionRequest request;
    request.set_offset_message_id(std::string(absl::StripAsciiWhitespace(id)));
    for (pb::StoredMessage& message :
         Find(line, args, &Session::Admin::Stub::MessageByPosition, request)) {
      if (args.topic.empty() || message.topic() == args.topic) {
        found.push_back(std::move(message));
        continue;
      }
      line->Fail(absl::NotFoundError(StrCat("message ", std::string(id), " is of topic ",
                                            message.topic(), ", not of ", args.topic)));
    }
  }
  if (found.empty()) {
    if (line->exit_code == kExitOk) line->Fail(absl::NotFoundError("--msgId names no message"));
    return;
  }
  if (line->exit_code == kExitFailed) line->exit_code = kExitPartial;
  if (args.resend == "true") return Resend(line, found);
  PrintMessages(line, args, found, true);
}

void WithBodyFormat(CLI::App* command, MessageArguments* args) {
  command->add_option("-f,--bodyFormat", args->charset, "the bodies' character set (UTF-8)");
}

void WithCluster(CLI::App* command, MessageArguments* args) {
  command->add_option("-c,--cluster,--clusterName", args->cluster,
                      "ask only the broker groups of this cluster");
}

// RocketMQ has a broker hand a message to one consumer.
void AddPush(CLI::App* command) {
  constexpr char kInstead[] =
      "brokers cannot have one consumer take a message; `queryMsgById -s true` sends it again, "
      "`resetOffsetByTime -q -o` has a group go back to it";
  AddRefused(command, "-g,--consumerGroup", kInstead);
  AddRefused(command, "-d,--clientId", kInstead);
}

void AddQueryById(CLI::App* app, CommandLine* line, MessageArguments* args) {
  CLI::App* by_id =
      line->AddCommand(app, "queryMsgById",
                       "Messages with offset message ids, with their bodies; or sends them again",
                       "queryMsgById -t orders -i 7F00000100001F910000000000000000\n  mqadmin "
                       "queryMsgById -t orders "
                       "-i 7F00000100001F910000000000000000 -s true");
  by_id
      ->add_option("-i,--msgId", args->id,
                   "offset message ids: store host and position; separated by commas")
      ->required();
  by_id->add_option("-t,--topic", args->topic, "only if it is of this topic");
  by_id
      ->add_option("-s,--sendMessage", args->resend,
                   "true: send a copy to its topic, as a new message to all groups of it (false)")
      ->check(CLI::IsMember({"true", "false"}));
  AddPush(by_id);
  AddRefused(by_id, "-u,--unitName", "there are no units: leave it out");
  WithBodyFormat(by_id, args);
  WithCluster(by_id, args);
  by_id->add_option("-b,--brokerAddr", args->broker, "ask only the group of this broker");
  line->WithRead(by_id)->callback([line, args] { QueryById(line, *args); });
}

}  // namespace

void AddMessageCommands(CLI::App* app, CommandLine* line) {
  static MessageArguments args;

  CLI::App* by_key = line->AddCommand(app, "queryMsgByKey", "Messages with a key",
                                      "queryMsgByKey -t orders -k 17");
  by_key->add_option("-t,--topic", args.topic, "topic")->required();
  by_key->add_option("-k,--msgKey", args.key, "key")->required();
  by_key->add_option("-b,--beginTimestamp", args.begin_ms, "stored at or after, ms since 1970");
  by_key->add_option("-e,--endTimestamp", args.end_ms, "stored at or before, ms since 1970 (now)");
  by_key->add_option("-m,--maxNum", args.max, "at most so many (64)")->check(CLI::Range(1, 64));
  WithCluster(by_key, &args);
  line->WithRead(by_key)->callback([line] { QueryByKey(line, args); });

  CLI::App* by_unique = line->AddCommand(app, "queryMsgByUniqueKey",
                                         "The message with a client message id, with its body",
                                         "queryMsgByUniqueKey -t orders -i 01AB…");
  by_unique->add_option("-t,--topic", args.topic, "topic")->required();
  by_unique->add_option("-i,--msgId", args.id, "the id that the producer gave")->required();
  by_unique->add_flag("-a,--showAll", args.show_all,
                      "all that have the id, 32 at most; else the one that was stored first");
  AddPush(by_unique);
  WithCluster(by_unique, &args);
  line->WithRead(by_unique)->callback([line] { QueryByUniqueKey(line, args); });

  AddQueryById(app, line, &args);

  CLI::App* by_offset =
      line->AddCommand(app, "queryMsgByOffset", "The message at a queue offset, with its body",
                       "queryMsgByOffset -t orders -b broker-a -i 0 -o 1024");
  by_offset->add_option("-t,--topic", args.topic, "topic")->required();
  by_offset->add_option("-b,--brokerName", args.broker_name,
                        "name of the broker group; all are asked if not given");
  by_offset->add_option("-i,--queueId", args.queue, "queue")->required();
  by_offset->add_option("-o,--offset", args.offset, "queue offset")->required();
  WithBodyFormat(by_offset, &args);
  line->WithRead(by_offset)->callback([line] {
    pb::MessageByOffsetRequest request;
    request.set_topic(args.topic);
    request.set_queue(args.queue);
    request.set_offset(args.offset);
    const Messages found = Find(line, args, &Session::Admin::Stub::MessageByOffset, request);
    if (!found.empty()) PrintMessages(line, args, found, true);
  });
}

}  // namespace raftmq::mqadmin
