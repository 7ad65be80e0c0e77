#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct TopicArguments {
  std::string topic;
  std::string cluster;
  std::string broker;
  std::optional<int32_t> read_queues;
  std::optional<int32_t> write_queues;
  std::optional<int32_t> perm;
  std::vector<std::string> attributes;  // "+message.type=FIFO", "+ack.level=all", "-ack.level"
};

// RocketMQ writes "+key=value" and "-key", several separated by commas.
absl::Status ApplyAttribute(const std::string& text, pb::UpdateTopicRequest* request) {
  constexpr std::string_view kType = "+message.type=";
  constexpr std::string_view kAckLevel = "+ack.level=";
  if (text.starts_with(kType)) {
    pb::TopicType type = pb::TOPIC_TYPE_UNSPECIFIED;
    if (!pb::TopicType_Parse(text.substr(kType.size()), &type) ||
        type == pb::TOPIC_TYPE_UNSPECIFIED) {
      return absl::InvalidArgumentError(
          StrCat("attribute '", text,
                 "': expected +message.type= and one of NORMAL, FIFO, DELAY, TRANSACTION, MIXED"));
    }
    request->set_type(type);
    return absl::OkStatus();
  }
  if (text == "-ack.level") {
    request->set_ack_level("");
    return absl::OkStatus();
  }
  if (text.starts_with(kAckLevel) && text.size() > kAckLevel.size()) {
    request->set_ack_level(text.substr(kAckLevel.size()));  // the broker knows which there are
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat("attribute '", text,
             "': expected +message.type=TYPE, +ack.level=leader|quorum|quorum_fsync|all, or "
             "-ack.level"));
}

std::string AckLevelOf(const pb::Topic& topic) {
  return topic.ack_level().empty() ? "default" : topic.ack_level();
}

void UpdateTopic(CommandLine* line, const TopicArguments& args) {
  pb::UpdateTopicRequest request;
  for (const std::string& attribute : args.attributes) {
    const absl::Status applied = ApplyAttribute(attribute, &request);
    if (!applied.ok()) return line->Fail(applied, kExitUsage);
  }
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());

  request.set_name(args.topic);
  if (args.read_queues) request.set_read_queues(*args.read_queues);
  if (args.write_queues) request.set_write_queues(*args.write_queues);
  if (args.perm) request.set_perm(*args.perm);
  Report report({"Broker", "Topic", "Read Queues", "Write Queues", "Perm", "Type", "Ack Level"});
  std::set<std::string> updated;
  for (const GroupPlace& group : *groups) {
    pb::UpdateTopicResponse response;
    const absl::Status done =
        session.Call(group, &Session::Admin::Stub::UpdateTopic, request, &response);
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name), report.rows() > 0 ? kExitPartial : kExitFailed);
      continue;
    }
    const pb::Topic& topic = response.topic();
    report.AddRow({group.broker_name, topic.name(), int64_t{topic.read_queues()},
                   int64_t{topic.write_queues()}, int64_t{topic.perm()},
                   pb::TopicType_Name(topic.type()), AckLevelOf(topic)});
    updated.insert(group.broker_name);
  }
  if (report.rows() > 0) line->Print(report);
  // The next command of a script finds the topic.
  const absl::Status routed = session.AwaitRoute(args.topic, updated);
  if (!routed.ok()) line->Fail(routed, kExitPartial);
}

void DeleteTopic(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Topic", "Result"});
  for (const GroupPlace& group : *groups) {
    pb::DeleteTopicRequest request;
    request.set_name(args.topic);
    pb::DeleteTopicResponse response;
    const absl::Status done =
        session.Call(group, &Session::Admin::Stub::DeleteTopic, request, &response);
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name), report.rows() > 0 ? kExitPartial : kExitFailed);
      continue;
    }
    report.AddRow({group.broker_name, args.topic, std::string("deleted")});
  }
  if (report.rows() > 0) line->Print(report);
}

void TopicList(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report(
      {"Topic", "Cluster", "Broker", "Read Queues", "Write Queues", "Perm", "Type", "Ack Level"});
  for (const GroupPlace& group : *groups) {
    pb::ListTopicConfigsResponse response;
    const absl::Status done = session.Call(group, &Session::Admin::Stub::ListTopics,
                                           pb::ListTopicConfigsRequest(), &response);
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name), kExitPartial);
      continue;
    }
    for (const pb::Topic& topic : response.topics()) {
      report.AddRow({topic.name(), group.cluster, group.broker_name, int64_t{topic.read_queues()},
                     int64_t{topic.write_queues()}, int64_t{topic.perm()},
                     pb::TopicType_Name(topic.type()), AckLevelOf(topic)});
    }
  }
  line->Print(report);
}

void TopicRoute(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups("", args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Leader", "Members", "Read Queues", "Write Queues", "Perm", "Type"});
  for (const GroupPlace& group : *groups) {
    pb::GetTopicRequest request;
    request.set_name(args.topic);
    pb::GetTopicResponse response;
    const absl::Status done =
        session.Call(group, &Session::Admin::Stub::GetTopic, request, &response);
    if (absl::IsNotFound(done)) continue;
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name), kExitPartial);
      continue;
    }
    std::string leader;
    std::string members;
    for (const MemberPlace& member : group.members) {
      if (member.leader) leader = member.address;
      members += StrCat(members.empty() ? "" : " ", member.name, "=", member.address);
    }
    const pb::Topic& topic = response.topic();
    report.AddRow({group.broker_name, leader, members, int64_t{topic.read_queues()},
                   int64_t{topic.write_queues()}, int64_t{topic.perm()},
                   pb::TopicType_Name(topic.type())});
  }
  if (report.rows() == 0 && line->exit_code == kExitOk) {
    return line->Fail(absl::NotFoundError(StrCat("topic ", args.topic,
                                                 " does not exist; `mqadmin updateTopic -t ",
                                                 args.topic, "` creates it")));
  }
  if (report.rows() > 0) line->Print(report);
}

void TopicStatus(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Queue", "Min Offset", "Max Offset", "Last Updated"});
  absl::Status missing;
  for (const GroupPlace& group : *groups) {
    pb::TopicStatusRequest request;
    request.set_name(args.topic);
    pb::TopicStatusResponse response;
    const absl::Status done =
        session.Call(group, &Session::Admin::Stub::TopicStatus, request, &response);
    if (absl::IsNotFound(done)) {
      missing = done;
      continue;
    }
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name), kExitPartial);
      continue;
    }
    for (const pb::QueueStatus& queue : response.queues()) {
      report.AddRow({group.broker_name, int64_t{queue.queue()}, queue.min_offset(),
                     queue.max_offset(), FormatTime(queue.last_store_ms())});
    }
  }
  if (report.rows() == 0 && !missing.ok()) return line->Fail(missing);
  line->Print(report);
}

CLI::App* WithTopic(CLI::App* command, TopicArguments* args) {
  command->add_option("-t,--topic", args->topic, "topic")->required();
  return command;
}

CLI::App* WithPlace(CLI::App* command, TopicArguments* args) {
  command->add_option("-c,--clusterName", args->cluster, "all broker groups of this cluster");
  command->add_option("-b,--brokerAddr", args->broker, "the group of the broker at this address");
  return command;
}

}  // namespace

void AddTopicCommands(CLI::App* app, CommandLine* line) {
  static TopicArguments args;

  CLI::App* update =
      WithPlace(WithTopic(line->AddCommand(app, "updateTopic", "Creates or changes a topic",
                                           "updateTopic -t orders -r 8 -w 8 -a +message.type=FIFO"),
                          &args),
                &args);
  update->add_option("-r,--readQueueNums", args.read_queues, "read queues (8)");
  update->add_option("-w,--writeQueueNums", args.write_queues, "write queues (8)");
  update->add_option("-p,--perm", args.perm, "2 write, 4 read, 6 both")
      ->check(CLI::IsMember({2, 4, 6}));
  update
      ->add_option("-a,--attributes", args.attributes,
                   "+message.type=NORMAL|FIFO|DELAY|…, +ack.level=leader|quorum|quorum_fsync|all: "
                   "when senders are answered; -ack.level: by the broker's flushDiskType")
      ->delimiter(',');
  update->callback([line] { UpdateTopic(line, args); });

  WithPlace(WithTopic(line->AddCommand(app, "deleteTopic", "Deletes a topic and its messages",
                                       "deleteTopic -t orders -c DefaultCluster"),
                      &args),
            &args)
      ->callback([line] { DeleteTopic(line, args); });

  WithPlace(line->AddCommand(app, "topicList", "All topics", "topicList"), &args)->callback([line] {
    TopicList(line, args);
  });

  CLI::App* route = WithTopic(
      line->AddCommand(app, "topicRoute", "Which groups serve a topic, and who leads them",
                       "topicRoute -t orders"),
      &args);
  route->callback([line] { TopicRoute(line, args); });

  WithPlace(WithTopic(line->AddCommand(app, "topicStatus", "Offsets of every queue of a topic",
                                       "topicStatus -t orders"),
                      &args),
            &args)
      ->callback([line] { TopicStatus(line, args); });
}

}  // namespace raftmq::mqadmin
