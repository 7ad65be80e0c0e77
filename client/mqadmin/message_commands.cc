#include <iostream>

#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct MessageArguments {
  std::string topic;
  std::string key;
  std::string id;
  std::string broker;
  int32_t queue = 0;
  int64_t offset = 0;
  int64_t begin_ms = 0;
  int64_t end_ms = 0;
  int32_t max = 32;
};

void PrintMessages(CommandLine* line, const std::vector<pb::StoredMessage>& messages,
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
      row.push_back(m.body());
    }
    report.AddRow(std::move(row));
  }
  line->Print(report, /*as_records=*/with_body);
}

// Asks every broker group; a message lives in one of them, a key may be in several.
template <typename Request>
void Query(CommandLine* line, const std::string& broker,
           grpc::Status (Session::Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                        pb::QueryMessagesResponse*),
           const Request& request, bool with_body) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups("", broker);
  if (!groups.ok()) return line->Fail(groups.status());
  std::vector<pb::StoredMessage> found;
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
  if (found.empty()) {
    if (asked_all) line->Fail(missing);
    return;
  }
  if (!asked_all) line->exit_code = kExitPartial;
  PrintMessages(line, found, with_body);
}

void QueryByKey(CommandLine* line, const MessageArguments& args, const std::string& key,
                bool with_body) {
  pb::QueryMessagesByKeyRequest request;
  request.set_topic(args.topic);
  request.set_key(key);
  request.set_begin_ms(args.begin_ms);
  request.set_end_ms(args.end_ms);
  request.set_max_messages(args.max);
  Query(line, args.broker, &Session::Admin::Stub::QueryMessagesByKey, request, with_body);
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
  by_key->add_option("-m,--maxNum", args.max, "at most so many (32)")->check(CLI::Range(1, 64));
  by_key->callback([line] { QueryByKey(line, args, args.key, false); });

  CLI::App* by_unique = line->AddCommand(app, "queryMsgByUniqueKey",
                                         "The message with a client message id, with its body",
                                         "queryMsgByUniqueKey -t orders -i 01AB…");
  by_unique->add_option("-t,--topic", args.topic, "topic")->required();
  by_unique->add_option("-i,--msgId", args.id, "the id that the producer gave")->required();
  by_unique->callback([line] { QueryByKey(line, args, args.id, true); });

  CLI::App* by_id =
      line->AddCommand(app, "queryMsgById", "The message with an offset message id, with its body",
                       "queryMsgById -i 7F00000100001F910000000000000000");
  by_id->add_option("-i,--msgId", args.id, "offset message id: store host and position")
      ->required();
  by_id->add_option("-b,--brokerAddr", args.broker, "ask only the group of this broker");
  by_id->callback([line] {
    pb::MessageByPositionRequest request;
    request.set_offset_message_id(args.id);
    Query(line, args.broker, &Session::Admin::Stub::MessageByPosition, request, true);
  });

  CLI::App* by_offset =
      line->AddCommand(app, "queryMsgByOffset", "The message at a queue offset, with its body",
                       "queryMsgByOffset -t orders -i 0 -o 1024");
  by_offset->add_option("-t,--topic", args.topic, "topic")->required();
  by_offset->add_option("-i,--queueId", args.queue, "queue")->required();
  by_offset->add_option("-o,--offset", args.offset, "queue offset")->required();
  by_offset->add_option("-b,--brokerAddr", args.broker, "ask only the group of this broker");
  by_offset->callback([line] {
    pb::MessageByOffsetRequest request;
    request.set_topic(args.topic);
    request.set_queue(args.queue);
    request.set_offset(args.offset);
    Query(line, args.broker, &Session::Admin::Stub::MessageByOffset, request, true);
  });
}

}  // namespace raftmq::mqadmin
