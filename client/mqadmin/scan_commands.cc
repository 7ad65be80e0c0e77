// Messages as they lie in their queues: read by offset, for no consumer group.

#include <algorithm>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "client/mqadmin/charset.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/message_body.h"
#include "client/mqadmin/rocketmq_flags.h"
#include "client/mqadmin/time_text.h"
#include "store/entry_tag.h"
#include "store/message_properties.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

constexpr int32_t kPage = 32;  // messages asked for at once

struct ScanArguments {
  std::string topic;
  std::string broker;  // address
  std::string broker_name;
  std::string charset = "UTF-8";
  std::string subscription = "*";
  std::string begin;
  std::string end;
  std::string print_messages = "true";
  std::string print_body = "true";
  std::string by_tag = "false";
  std::optional<int32_t> queue;
  std::optional<int64_t> offset;
  int64_t count = 0;  // 0: all
};

// Which messages of a topic are looked at.
struct Scan {
  std::set<std::string> tags;  // empty: all
  int64_t begin_ms = 0;
  std::optional<int64_t> end_ms;
  int64_t left = 0;  // so many yet
};

absl::Status ParseScan(const ScanArguments& args, Scan* scan) {
  if (args.subscription != "*") {
    for (const absl::string_view part : absl::StrSplit(args.subscription, "||")) {
      const std::string tag(absl::StripAsciiWhitespace(part));
      if (!tag.empty()) scan->tags.insert(tag);
    }
  }
  const int64_t now_ms = SystemClock()->WallMillis();
  if (!args.begin.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(scan->begin_ms, ParseTime(args.begin, now_ms));
  }
  if (!args.end.empty()) {
    RAFTMQ_ASSIGN_OR_RETURN(scan->end_ms, ParseTime(args.end, now_ms));
  }
  scan->left = args.count > 0 ? args.count : std::numeric_limits<int64_t>::max();
  return absl::OkStatus();
}

using OnMessage = absl::FunctionRef<void(const GroupPlace&, const pb::StoredMessage&)>;

// One queue, page by page, up to where it ended at first.
absl::Status ScanQueue(Session* session, const GroupPlace& place, const std::string& topic,
                       const pb::QueueStatus& queue, int64_t from, Scan* scan,
                       OnMessage on_message) {
  for (int64_t at = std::max(from, queue.min_offset()); at < queue.max_offset();) {
    pb::MessageByOffsetRequest request;
    request.set_topic(topic);
    request.set_queue(queue.queue());
    request.set_offset(at);
    request.set_max_messages(
        static_cast<int32_t>(std::min<int64_t>(kPage, queue.max_offset() - at)));
    pb::QueryMessagesResponse page;
    RAFTMQ_RETURN_IF_ERROR(
        session->Call(place, &Session::Admin::Stub::MessageByOffset, request, &page));
    if (page.messages().empty()) break;
    for (const pb::StoredMessage& message : page.messages()) {
      at = message.offset() + 1;
      if (scan->left == 0) return absl::OkStatus();
      if (scan->end_ms.has_value() && message.store_ms() > *scan->end_ms) return absl::OkStatus();
      if (!scan->tags.empty() && !scan->tags.contains(message.tag())) continue;
      --scan->left;
      on_message(place, message);
    }
  }
  return absl::OkStatus();
}

// All queues that the arguments name, one after the other.
void ScanAll(CommandLine* line, const ScanArguments& args, Scan scan, OnMessage on_message) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls(), line->read);
  auto places = session.Groups("", args.broker);
  if (!places.ok()) return line->Fail(places.status());
  bool any_queue = false;
  absl::Status missing;
  for (const GroupPlace& place : *places) {
    if (!args.broker_name.empty() && place.broker_name != args.broker_name) continue;
    pb::TopicStatusRequest asked;
    asked.set_name(args.topic);
    if (scan.begin_ms > 0) asked.set_since_ms(scan.begin_ms);
    pb::TopicStatusResponse status;
    absl::Status done = session.Call(place, &Session::Admin::Stub::TopicStatus, asked, &status);
    if (absl::IsNotFound(done)) {
      missing = done;
      continue;
    }
    for (int i = 0; done.ok() && i < status.queues_size(); ++i) {
      const pb::QueueStatus& queue = status.queues(i);
      if (args.queue.has_value() && queue.queue() != *args.queue) continue;
      any_queue = true;
      const int64_t from =
          args.offset.value_or(scan.begin_ms > 0 ? queue.since_offset() : queue.min_offset());
      done = ScanQueue(&session, place, args.topic, queue, from, &scan, on_message);
    }
    if (!done.ok()) line->Fail(Annotate(done, place.broker_name), kExitPartial);
  }
  if (line->FailUnanswered(session.answered())) return;
  if (any_queue || line->exit_code != kExitOk) return;
  line->Fail(missing.ok() ? absl::NotFoundError(
                                StrCat("topic ", args.topic, " has no such queue at such a broker"))
                          : missing);
}

Report MessageReport(bool with_body) {
  std::vector<std::string> columns = {"Broker", "Queue", "Offset",    "Message Id",
                                      "Tag",    "Keys",  "Store Time"};
  if (with_body) columns.push_back("Body");
  return Report(columns);
}

void AddMessage(const GroupPlace& place, const pb::StoredMessage& m, const std::string* body,
                Report* report) {
  std::string keys;
  for (const std::string& key : m.keys()) keys += (keys.empty() ? "" : " ") + key;
  std::vector<Cell> row = {
      place.broker_name,       int64_t{m.queue()}, m.offset(), m.message_id(), m.tag(), keys,
      FormatTime(m.store_ms())};
  if (body != nullptr) row.push_back(*body);
  report->AddRow(std::move(row));
}

// printMsg, printMsgByQueue and consumeMessage.
void PrintMessages(CommandLine* line, const ScanArguments& args) {
  Scan scan;
  if (const absl::Status parsed = ParseScan(args, &scan); !parsed.ok()) {
    return line->Fail(parsed, kExitUsage);
  }
  const bool with_body = args.print_body == "true";
  if (const auto known = ToUtf8("", args.charset); !known.ok()) {
    return line->Fail(Annotate(known.status(), "--charsetName"), kExitUsage);
  }
  Report report = MessageReport(with_body);
  std::map<std::string, int64_t> by_tag;
  ScanAll(line, args, scan, [&](const GroupPlace& place, const pb::StoredMessage& message) {
    ++by_tag[message.tag()];
    const std::string body = with_body ? *ToUtf8(BodyOf(message), args.charset) : std::string();
    AddMessage(place, message, with_body ? &body : nullptr, &report);
  });
  if (line->exit_code == kExitFailed) return;
  const bool print = args.print_messages == "true";
  if (print) line->Print(report);
  if (args.by_tag == "true") {
    Report counts({"Tag", "Count"});
    for (const auto& [tag, count] : by_tag) counts.AddRow({tag, count});
    if (!print) return line->Print(counts);
    // stdout is one document; the counts are for the eyes.
    if (line->json) {
      counts.PrintJson(std::cerr);
    } else {
      counts.PrintTable(std::cerr);
    }
  } else if (!print) {
    Report total({"Topic", "Messages"});
    int64_t messages = 0;
    for (const auto& [tag, count] : by_tag) messages += count;
    total.AddRow({args.topic, messages});
    line->Print(total);
  }
}

void QueryConsumeQueue(CommandLine* line, const ScanArguments& args) {
  Scan scan;
  scan.left = args.count;
  Report report(
      {"Broker", "Queue", "Offset", "Position", "Size", "Tags Code", "Tag", "Message Id"});
  ScanAll(line, args, scan, [&](const GroupPlace& place, const pb::StoredMessage& m) {
    const auto for_group = m.properties().find(std::string(store::property::kForGroup));
    const int64_t code = store::EntryTag(
        m.tag(), for_group == m.properties().end() ? std::string() : for_group->second);
    report.AddRow({place.broker_name, int64_t{m.queue()}, m.offset(), m.position(),
                   int64_t{m.size()}, code, m.tag(), m.message_id()});
  });
  if (line->exit_code != kExitFailed) line->Print(report);
}

CLI::App* AddScan(CLI::App* app, CommandLine* line, ScanArguments* args, const std::string& name,
                  const std::string& description, const std::string& example) {
  CLI::App* command = line->WithRead(line->AddCommand(app, name, description, example));
  command->add_option("-t,--topic", args->topic, "topic")->required();
  return command;
}

void AddTimes(CLI::App* command, ScanArguments* args, const std::string& begin) {
  constexpr char kTime[] =
      "now, milliseconds since 1970, or yyyy-MM-dd#HH:mm:ss:SSS in UTC: stored ";
  command->add_option(begin, args->begin, StrCat(kTime, "then or later"));
  command->add_option("-e,--endTimestamp", args->end, StrCat(kTime, "then or before"));
}

CLI::Option* AddSwitch(CLI::App* command, const std::string& name, std::string* value,
                       const std::string& description) {
  return command->add_option(name, *value, description)->check(CLI::IsMember({"true", "false"}));
}

CLI::App* WithCharset(CLI::App* command, ScanArguments* args) {
  command->add_option("-c,--charsetName", args->charset, "the bodies' character set (UTF-8)");
  return command;
}

void AddPrintByQueue(CLI::App* app, CommandLine* line, ScanArguments* args) {
  CLI::App* print =
      WithCharset(AddScan(app, line, args, "printMsgByQueue",
                          "The messages of one queue, or how many there are, also by tag",
                          "printMsgByQueue -t orders -a broker-a -i 0 -p true -d true"),
                  args);
  print->add_option("-a,--brokerName", args->broker_name, "broker name")->required();
  print->add_option("-i,--queueId", args->queue, "queue")->required();
  print->add_option("-s,--subExpression", args->subscription, "tags: 'a || b' (*)");
  AddTimes(print, args, "-b,--beginTimestamp");
  CLI::Option* messages =
      AddSwitch(print, "-p,--print", &args->print_messages, "print the messages (false)");
  CLI::Option* bodies =
      AddSwitch(print, "-d,--printBody", &args->print_body, "and their bodies (false)");
  AddSwitch(print, "-f,--calculate", &args->by_tag, "count them by tag (false)");
  print->callback([line, args, messages, bodies] {
    if (messages->count() == 0) args->print_messages = "false";
    if (bodies->count() == 0) args->print_body = "false";
    PrintMessages(line, *args);
  });
}

}  // namespace

void AddScanCommands(CLI::App* app, CommandLine* line) {
  static ScanArguments args;

  CLI::App* print = WithCharset(
      AddScan(app, line, &args, "printMsg", "The messages of a topic, queue by queue, for no group",
              "printMsg -t orders -s 'paid || sent' -b 2026-11-27#10:30:00:000"),
      &args);
  AddRefused(print, "-l,--lmqParentTopic",
             "there are no LMQs; `topicStatus -t PARENT` shows the lite topics of a topic");
  print->add_option("-s,--subExpression", args.subscription, "tags: 'a || b' (*)");
  AddTimes(print, &args, "-b,--beginTimestamp");
  AddSwitch(print, "-d,--printBody", &args.print_body, "print bodies (true)");
  print->callback([line] { PrintMessages(line, args); });

  AddPrintByQueue(app, line, &args);

  CLI::App* consume = AddScan(app, line, &args, "consumeMessage",
                              "Messages from an offset or a time on; nothing is committed",
                              "consumeMessage -t orders -b broker-a -i 0 -o 1024 -c 10");
  consume->add_option("-b,--brokerName", args.broker_name, "broker name");
  consume->add_option("-i,--queueId", args.queue, "queue");
  consume->add_option("-o,--offset", args.offset, "from this offset of each queue");
  AddWithoutEffect(consume, "-g,--consumerGroup", "it is read for no group (`consume` has one)");
  AddTimes(consume, &args, "-s,--beginTimestamp");
  consume->add_option("-c,--MessageNumber", args.count, "so many messages (128)")
      ->check(CLI::PositiveNumber);
  consume->callback([line] {
    if (args.count == 0) args.count = 128;
    PrintMessages(line, args);
  });

  CLI::App* queue = AddScan(app, line, &args, "queryCq",
                            "What a consume queue holds: where each message is in the log",
                            "queryCq -t orders -q 0 -i 1024 -c 10");
  queue->add_option("-q,--queue", args.queue, "queue")->required();
  queue->add_option("-i,--index", args.offset, "from this offset")->required();
  queue->add_option("-c,--count", args.count, "so many (10)")->check(CLI::PositiveNumber);
  queue->add_option("-b,--broker", args.broker, "ask only the group of this broker");
  AddWithoutEffect(queue, "-g,--consumer", "a queue holds no group's filter data");
  queue->callback([line] {
    if (args.count == 0) args.count = 10;
    QueryConsumeQueue(line, args);
  });
}

}  // namespace raftmq::mqadmin
