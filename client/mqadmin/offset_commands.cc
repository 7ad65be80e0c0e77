// Where groups go on: reset, skip, clone, the history of such moves and their undo.

#include <unistd.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "base/clock.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/rocketmq_flags.h"
#include "client/mqadmin/time_text.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct OffsetArguments {
  std::string group;
  std::string topic;
  std::string cluster;
  std::string broker;
  std::string source_group;
  std::string why;
  std::string time;               // of resetOffsetByTime
  std::optional<int32_t> queue;   // none: all
  std::optional<int64_t> offset;  // instead of a time
  std::optional<int64_t> number;  // of a move
};

// "user@host".
std::string Who() {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  const char* user = std::getenv("USER");
  return StrCat(user == nullptr || *user == '\0' ? StrCat("uid ", ::getuid()) : std::string(user),
                "@", host);
}

// What the command was, and why the operator says that it was.
std::string Why(const std::string& command, const OffsetArguments& args) {
  return args.why.empty() ? command : StrCat(command, ": ", args.why);
}

// Asks every broker group; a topic need not be in all of them.
void MoveAll(CommandLine* line, const OffsetArguments& args, const pb::MoveOffsetsRequest& request,
             bool numbered = false) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  if (numbered && places->size() > 1) {
    return line->Fail(absl::InvalidArgumentError(
                          StrCat("each of the ", places->size(),
                                 " broker groups numbers its moves by itself: say which by -b")),
                      kExitUsage);
  }
  Report report({"Broker", "Topic", "Queue", "Old Offset", "Offset", "Move"});
  absl::Status missing;
  for (const GroupPlace& place : *places) {
    pb::MoveOffsetsResponse response;
    const absl::Status done =
        session.Call(place, &Session::Admin::Stub::MoveOffsets, request, &response);
    if (absl::IsNotFound(done)) {
      missing = done;
      continue;
    }
    if (!done.ok()) {
      line->Fail(Annotate(done, place.broker_name), report.rows() > 0 ? kExitPartial : kExitFailed);
      continue;
    }
    const pb::OffsetMove& move = response.move();
    for (const pb::OffsetMove::Queue& queue : move.queues()) {
      report.AddRow({place.broker_name, move.topic(), int64_t{queue.queue()}, queue.from_offset(),
                     queue.to_offset(), move.number()});
    }
  }
  if (report.rows() == 0 && !missing.ok()) return line->Fail(missing);
  if (report.rows() > 0) line->Print(report);
}

pb::MoveOffsetsRequest RequestOf(const std::string& command, const OffsetArguments& args) {
  pb::MoveOffsetsRequest request;
  request.set_group(args.group);
  request.set_topic(args.topic);
  request.set_who(Who());
  request.set_why(Why(command, args));
  return request;
}

void ResetOffset(CommandLine* line, const OffsetArguments& args) {
  pb::MoveOffsetsRequest request = RequestOf("resetOffsetByTime", args);
  if (args.queue.has_value()) request.add_queues(*args.queue);
  if (args.offset.has_value()) {
    if (!args.queue.has_value()) {
      return line->Fail(absl::InvalidArgumentError("--offset needs --queue"), kExitUsage);
    }
    request.set_offset(*args.offset);
  } else if (args.time.empty()) {
    return line->Fail(absl::InvalidArgumentError("--timestamp or --offset says where to"),
                      kExitUsage);
  } else if (args.time == "now" || args.time == "end") {
    request.set_end(true);
  } else if (args.time == "begin") {
    request.set_begin(true);
  } else {
    const auto ms = ParseTime(args.time, SystemClock()->WallMillis());
    if (!ms.ok()) return line->Fail(Annotate(ms.status(), "--timestamp"), kExitUsage);
    request.set_timestamp_ms(*ms);
  }
  MoveAll(line, args, request);
}

std::string QueuesText(const pb::OffsetMove& move) {
  std::string text;
  for (const pb::OffsetMove::Queue& queue : move.queues()) {
    text += StrCat(text.empty() ? "" : " ", queue.queue(), ":", queue.from_offset(), ">",
                   queue.to_offset());
  }
  return text;
}

void OffsetHistory(CommandLine* line, const OffsetArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls(), line->read);
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  Report report(
      {"Broker", "Move", "Time", "Kind", "Topic", "Who", "Why", "Undoes", "Undone By", "Queues"});
  absl::Status missing;
  bool found = false;
  for (const GroupPlace& place : *places) {
    pb::ListOffsetMovesRequest request;
    request.set_group(args.group);
    pb::ListOffsetMovesResponse response;
    const absl::Status done =
        session.Call(place, &Session::Admin::Stub::ListOffsetMoves, request, &response);
    if (absl::IsNotFound(done)) {
      missing = done;
      continue;
    }
    if (!done.ok()) {
      line->Fail(Annotate(done, place.broker_name), kExitPartial);
      continue;
    }
    found = true;
    // An undo comes after what it undoes, and may be undone itself.
    std::map<int64_t, int64_t> undone_by;
    for (int i = response.moves_size() - 1; i >= 0; --i) {
      const pb::OffsetMove& move = response.moves(i);
      if (move.undoes() != 0 && !undone_by.contains(move.number())) {
        undone_by[move.undoes()] = move.number();
      }
    }
    for (const pb::OffsetMove& move : response.moves()) {
      if (!args.topic.empty() && move.topic() != args.topic) continue;
      const auto by = undone_by.find(move.number());
      report.AddRow({place.broker_name, move.number(), FormatTime(move.time_ms()), move.kind(),
                     move.topic(), move.who(), move.why(), move.undoes(),
                     by == undone_by.end() ? int64_t{0} : by->second, QueuesText(move)});
    }
  }
  if (!found && !missing.ok()) return line->Fail(missing);
  if (line->FailUnanswered(session.answered())) return;
  line->Print(report);
}

CLI::App* AddOffsetCommand(CLI::App* app, CommandLine* line, OffsetArguments* args,
                           const std::string& name, const std::string& description,
                           const std::string& example) {
  CLI::App* command = line->AddCommand(app, name, description, example);
  command->add_option("-b,--broker,--brokerAddr", args->broker,
                      "the group of the broker at this address");
  command->add_option("-c,--cluster,--clusterName", args->cluster,
                      "all broker groups of this cluster");
  return command;
}

CLI::App* WithGroup(CLI::App* command, OffsetArguments* args, bool topic_is_required) {
  command->add_option("-g,--group", args->group, "consumer group")->required();
  command->add_option("-t,--topic", args->topic, "topic")->required(topic_is_required);
  return command;
}

CLI::App* WithWhy(CLI::App* command, OffsetArguments* args) {
  command->add_option("--why", args->why, "a reason, for the history");
  return command;
}

// RocketMQ's false passes queues over that would go forward.
void AddForce(CLI::App* command) {
  AddOnlyBool(command, "-f,--force", true,
              "a group always goes where the command says; consumerProgress shows where it is");
}

void AddResetOffset(CLI::App* app, CommandLine* line, OffsetArguments* args) {
  CLI::App* reset = WithWhy(
      WithGroup(AddOffsetCommand(app, line, args, "resetOffsetByTime",
                                 "Sets where a group goes on, on all queues of a topic or on one",
                                 "resetOffsetByTime -g billing -t orders -s now\n  mqadmin "
                                 "resetOffsetByTime -g billing -t orders -s "
                                 "2026-11-27#10:30:00:000\n  mqadmin resetOffsetByTime -g billing "
                                 "-t orders -q 3 -o 1024"),
                args, true),
      args);
  reset->add_option("-s,--timestamp", args->time,
                    "now or end (skip what there is), begin, or a time: milliseconds since 1970 or "
                    "yyyy-MM-dd#HH:mm:ss:SSS in UTC (the first message stored then or later)");
  reset->add_option("-q,--queue", args->queue, "only this queue");
  // RocketMQ wants --timestamp with it all the same.
  reset->add_option("-o,--offset", args->offset,
                    "this offset of --queue; --timestamp is not looked at then");
  AddForce(reset);
  AddFlagWithoutEffect(reset, "--cplus", "all clients are told alike");
  reset->callback([line, args] { ResetOffset(line, *args); });
}

void AddUndo(CLI::App* app, CommandLine* line, OffsetArguments* args) {
  CLI::App* undo = WithWhy(
      WithGroup(AddOffsetCommand(app, line, args, "undoOffsetMove",
                                 "Sets a group back to where it was before such a move",
                                 "undoOffsetMove -g billing -t orders\n  mqadmin undoOffsetMove -g "
                                 "billing -i 3 -b 10.0.0.1:8081"),
                args, false),
      args);
  undo->add_option("-i,--move", args->number,
                   "the move's number, by offsetHistory; the latest that is in force if not given")
      ->check(CLI::PositiveNumber);
  undo->callback([line, args] {
    pb::MoveOffsetsRequest request = RequestOf("undoOffsetMove", *args);
    request.set_undo(args->number.value_or(0));
    MoveAll(line, *args, request, args->number.has_value());
  });
}

}  // namespace

void AddOffsetCommands(CLI::App* app, CommandLine* line) {
  static OffsetArguments args;
  AddResetOffset(app, line, &args);
  AddUndo(app, line, &args);

  CLI::App* skip =
      WithWhy(WithGroup(AddOffsetCommand(app, line, &args, "skipAccumulatedMessage",
                                         "Has a group go on after the newest message of a topic",
                                         "skipAccumulatedMessage -g billing -t orders"),
                        &args, true),
              &args);
  AddForce(skip);
  skip->callback([line] {
    pb::MoveOffsetsRequest request = RequestOf("skipAccumulatedMessage", args);
    request.set_end(true);
    MoveAll(line, args, request);
  });

  CLI::App* clone =
      WithWhy(AddOffsetCommand(app, line, &args, "cloneGroupOffset",
                               "Has a group go on where another one is, on all queues of a topic",
                               "cloneGroupOffset -s billing -d audit -t orders"),
              &args);
  clone->add_option("-s,--srcGroup", args.source_group, "where it is read from")->required();
  clone->add_option("-d,--destGroup", args.group, "which is set, and made if need be")->required();
  clone->add_option("-t,--topic", args.topic, "topic")->required();
  AddWithoutEffect(clone, "-o,--offline", "nobody need be offline");
  clone->callback([line] {
    pb::MoveOffsetsRequest request = RequestOf("cloneGroupOffset", args);
    request.set_from_group(args.source_group);
    MoveAll(line, args, request);
  });

  CLI::App* history = WithGroup(
      AddOffsetCommand(app, line, &args, "offsetHistory",
                       "Who moved a group's offsets, when, why and from where; the latest 64 moves",
                       "offsetHistory -g billing"),
      &args, false);
  line->WithRead(history)->callback([line] { OffsetHistory(line, args); });
}

}  // namespace raftmq::mqadmin
