// How groups keep up, how much flows, and how long sends take.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/rocketmq_flags.h"
#include "client/producer.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct StatsArguments {
  std::string topic;
  std::string broker;
  std::string broker_name;
  int64_t level = 0;
  int64_t timeout_ms = 0;
  int64_t interval_ms = 1'000;
  int64_t count = 0;
  int64_t size = 128;
  bool active_only = false;
};

// ---- Groups

void BrokerConsumeStats(CommandLine* line, const StatsArguments& args) {
  Session session(line->namesrv_addr, args.timeout_ms > 0 ? args.timeout_ms : line->timeout_ms,
                  line->tls(), line->read);
  auto places = session.Groups("", args.broker);
  if (!places.ok()) return line->Fail(places.status());
  Report report({"Topic", "Group", "Broker", "Queue", "Broker Offset", "Consumer Offset", "Diff",
                 "Last Time"});
  int64_t diff_total = 0;
  for (const GroupPlace& place : *places) {
    const absl::Status done =
        session.ForEachGroup(place, [&](const std::string& group, const auto& progress) {
          for (const pb::QueueProgress& row : progress.rows()) {
            const int64_t diff = row.max_offset() - row.commit_offset();
            if (diff < args.level) continue;
            diff_total += diff;
            report.AddRow({row.topic(), group, place.broker_name, int64_t{row.queue()},
                           row.max_offset(), row.commit_offset(), diff,
                           FormatTime(row.last_store_ms())});
          }
        });
    if (!done.ok()) return line->Fail(Annotate(done, place.broker_name));
  }
  line->Print(report);
  if (!line->json) std::printf("\nDiff Total: %lld\n", static_cast<long long>(diff_total));
}

// ---- What flows

// Offsets of a topic over all queues and broker groups, at one moment.
struct Flow {
  int64_t max = 0;
  int64_t last_day = 0;  // messages stored in the last 24 hours
  struct Group {
    int64_t commit = 0;
    int64_t accumulation = 0;
  };
  std::map<std::string, Group> groups;
};

absl::Status AddFlow(Session* session, const GroupPlace& place, const StatsArguments& args,
                     std::map<std::string, Flow>* flows) {
  pb::ListTopicConfigsResponse topics;
  RAFTMQ_RETURN_IF_ERROR(session->Call(place, &Session::Admin::Stub::ListTopics,
                                       pb::ListTopicConfigsRequest(), &topics));
  for (const pb::Topic& topic : topics.topics()) {
    if (!args.topic.empty() && topic.name() != args.topic) continue;
    pb::TopicStatusRequest request;
    request.set_name(topic.name());
    request.set_since_ms(std::max<int64_t>(0, SystemClock()->WallMillis() - 24 * 3'600'000));
    pb::TopicStatusResponse status;
    const absl::Status done =
        session->Call(place, &Session::Admin::Stub::TopicStatus, request, &status);
    if (absl::IsNotFound(done)) continue;
    RAFTMQ_RETURN_IF_ERROR(done);
    Flow& flow = (*flows)[topic.name()];
    for (const pb::QueueStatus& queue : status.queues()) {
      flow.max += queue.max_offset();
      flow.last_day += queue.max_offset() - queue.since_offset();
    }
  }
  return session->ForEachGroup(place, [&](const std::string& group, const auto& progress) {
    for (const pb::QueueProgress& row : progress.rows()) {
      const auto flow = flows->find(row.topic());
      if (flow == flows->end()) continue;
      Flow::Group& sum = flow->second.groups[group];
      sum.commit += row.commit_offset();
      sum.accumulation += row.max_offset() - row.commit_offset();
    }
  });
}

void StatsAll(CommandLine* line, const StatsArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups("", "");
  if (!places.ok()) return line->Fail(places.status());
  const auto look = [&](std::map<std::string, Flow>* flows) {
    for (const GroupPlace& place : *places) {
      const absl::Status done = AddFlow(&session, place, args, flows);
      if (!done.ok()) return Annotate(done, place.broker_name);
    }
    return absl::OkStatus();
  };
  std::map<std::string, Flow> before, after;
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  absl::Status done = look(&before);
  absl::Notification never;
  if (done.ok()) {
    never.WaitForNotificationWithTimeout(absl::Milliseconds(args.interval_ms));
    done = look(&after);
  }
  if (!done.ok()) return line->Fail(done);
  const double seconds =
      static_cast<double>(std::max<int64_t>(1, SystemClock()->MonotonicMillis() - began_ms)) / 1000;
  Report report({"Topic", "Consumer Group", "Accumulation", "In TPS", "Out TPS", "In Msg 24 Hour"});
  for (const auto& [topic, flow] : after) {
    const auto earlier = before.find(topic);
    if (earlier == before.end()) continue;
    const double in = static_cast<double>(flow.max - earlier->second.max) / seconds;
    if (args.active_only && flow.last_day == 0) continue;
    if (flow.groups.empty()) {
      report.AddRow({topic, std::string(), int64_t{0}, in, 0.0, flow.last_day});
    }
    for (const auto& [group, now] : flow.groups) {
      const auto then = earlier->second.groups.find(group);
      const int64_t moved =
          then == earlier->second.groups.end() ? 0 : now.commit - then->second.commit;
      report.AddRow({topic, group, now.accumulation, in,
                     static_cast<double>(std::max<int64_t>(0, moved)) / seconds, flow.last_day});
    }
  }
  if (report.rows() == 0 && !args.topic.empty()) {
    return line->Fail(absl::NotFoundError(StrCat("topic ", args.topic, " does not exist")));
  }
  line->Print(report);
}

// ---- Sends

// Sends `count` messages one after the other, to each queue of the topic in turn, or to those of
// one broker.
void TimeSends(CommandLine* line, const StatsArguments& args) {
  auto producer = client::Producer::Start(line->producer_options());
  if (!producer.ok()) return line->Fail(producer.status(), kExitUsage);
  Report report({"Broker", "Queue", "Send Result", "RT Ms"});
  double total_ms = 0;
  int64_t failed = 0;
  absl::Status first_failure;
  for (int64_t i = 0; i < args.count; ++i) {
    client::Message message;
    message.topic = args.topic;
    message.body = std::string(static_cast<size_t>(args.size), 'x');
    const int64_t began_ns = SystemClock()->MonotonicNanos();
    const auto sent = (*producer)->Send(
        std::move(message),
        [&](const std::vector<client::MessageQueue>& queues, const client::Message&) {
          std::vector<size_t> wanted;
          for (size_t at = 0; at < queues.size(); ++at) {
            if (args.broker_name.empty() || queues[at].broker_name == args.broker_name) {
              wanted.push_back(at);
            }
          }
          // None: one past the last, which refuses.
          return wanted.empty() ? queues.size() : wanted[static_cast<size_t>(i) % wanted.size()];
        });
    const double rt_ms = static_cast<double>(SystemClock()->MonotonicNanos() - began_ns) / 1e6;
    if (sent.ok()) {
      total_ms += rt_ms;
      report.AddRow({sent->broker_name,
                     sent->queue.has_value() ? int64_t{sent->queue->value()} : int64_t{-1},
                     std::string("SEND_OK"), rt_ms});
    } else {
      if (failed++ == 0) first_failure = sent.status();
      report.AddRow({args.broker_name, int64_t{-1}, std::string("FAILED"), rt_ms});
    }
  }
  if (failed == args.count) return line->Fail(first_failure);
  line->Print(report);
  if (!line->json) {
    std::printf("\nAvg RT: %.2f\n", total_ms / static_cast<double>(args.count - failed));
  }
  if (failed > 0) {
    line->Fail(Annotate(first_failure, StrCat(failed, " of ", args.count, " sends failed")),
               kExitPartial);
  }
}

void AddSendCommands(CLI::App* app, CommandLine* line, StatsArguments* args) {
  CLI::App* check = line->AddCommand(app, "checkMsgSendRT",
                                     "Sends messages to a topic and says how long each took",
                                     "checkMsgSendRT -t orders -a 100 -s 128");
  check->add_option("-t,--topic", args->topic, "topic")->required();
  check->add_option("-a,--amount", args->count, "how many (100)")->check(CLI::Range(1, 1'000'000));
  check->add_option("-s,--size", args->size, "bytes of each (128)")
      ->check(CLI::Range(1, 4'000'000));
  check->callback([line, args] {
    if (args->count == 0) args->count = 100;
    TimeSends(line, *args);
  });

  CLI::App* status = line->AddCommand(
      app, "sendMsgStatus", "Sends messages to one broker's queues and says how long each took",
      "sendMsgStatus -b broker-a -t orders -c 50 -s 128");
  status->add_option("-b,--brokerName", args->broker_name, "broker name")->required();
  status->add_option("-t,--topic", args->topic, "topic; brokers have none of their own here")
      ->required();
  status->add_option("-c,--count", args->count, "how many (50)")->check(CLI::Range(1, 1'000'000));
  status->add_option("-s,--messageSize", args->size, "bytes of each (128)")
      ->check(CLI::Range(1, 4'000'000));
  status->callback([line, args] {
    if (args->count == 0) args->count = 50;
    TimeSends(line, *args);
  });
}

}  // namespace

void AddStatsCommands(CLI::App* app, CommandLine* line) {
  static StatsArguments args;

  CLI::App* consume = line->WithRead(line->AddCommand(
      app, "brokerConsumeStats", "How far every group of a broker is on every queue",
      "brokerConsumeStats -b 10.0.0.1:8081 -l 1000"));
  consume->add_option("-b,--brokerAddr", args.broker, "address of the broker")->required();
  consume->add_option("-t,--timeoutMillis", args.timeout_ms, "milliseconds for each call");
  consume->add_option("-l,--level", args.level, "only queues with a backlog of so many (0)");
  AddWithoutEffect(consume, "-o,--order", "orderly groups are listed as well");
  consume->callback([line] { BrokerConsumeStats(line, args); });

  CLI::App* all = line->AddCommand(
      app, "statsAll", "For each topic and group: backlog, messages a second, messages in 24 hours",
      "statsAll -t orders --interval 5000");
  all->add_option("-t,--topic", args.topic, "only this topic");
  all->add_flag("-a,--activeTopic", args.active_only, "only topics with messages in 24 hours");
  all->add_option("--interval", args.interval_ms, "milliseconds over which is measured (1000)")
      ->check(CLI::Range(1, 60'000));
  all->callback([line] { StatsAll(line, args); });

  AddSendCommands(app, line, &args);
}

}  // namespace raftmq::mqadmin
