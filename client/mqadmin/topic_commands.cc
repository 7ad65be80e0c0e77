#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/file_system.h"
#include "client/allocate_strategy.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/config_list.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/rocketmq_flags.h"

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
  std::string file;
  std::vector<std::string> members;  // of a group
  bool with_consumers = false;
};

std::string AckLevelOf(const pb::Topic& topic) {
  return topic.ack_level().empty() ? "default" : topic.ack_level();
}

// Each topic in each broker group; returns once the NameServers know of them.
void UpdateTopics(CommandLine* line, const TopicArguments& args,
                  const std::vector<pb::UpdateTopicRequest>& requests) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Topic", "Read Queues", "Write Queues", "Perm", "Type", "Ack Level"});
  std::map<std::string, Session::QueueCounts> updated;  // by topic
  for (const pb::UpdateTopicRequest& request : requests) {
    for (const GroupPlace& group : *groups) {
      pb::UpdateTopicResponse response;
      const absl::Status done =
          session.Call(group, &Session::Admin::Stub::UpdateTopic, request, &response);
      if (!done.ok()) {
        line->Fail(Annotate(done, group.broker_name),
                   report.rows() > 0 ? kExitPartial : kExitFailed);
        continue;
      }
      const pb::Topic& topic = response.topic();
      report.AddRow({group.broker_name, topic.name(), int64_t{topic.read_queues()},
                     int64_t{topic.write_queues()}, int64_t{topic.perm()},
                     pb::TopicType_Name(topic.type()), AckLevelOf(topic)});
      updated[topic.name()][group.broker_name] = {topic.read_queues(), topic.write_queues()};
    }
  }
  if (report.rows() > 0) {
    line->Print(report);
    if (line->exit_code == kExitFailed) line->exit_code = kExitPartial;
  }
  // The next command of a script finds the topics.
  for (const auto& [topic, queues] : updated) {
    const absl::Status routed = session.AwaitRoute(topic, queues);
    if (!routed.ok()) line->Fail(routed, kExitPartial);
  }
}

void UpdateTopic(CommandLine* line, const TopicArguments& args) {
  pb::UpdateTopicRequest request;
  for (const std::string& attribute : args.attributes) {
    const absl::Status applied = ApplyTopicAttribute(attribute, &request);
    if (!applied.ok()) return line->Fail(applied, kExitUsage);
  }
  request.set_name(args.topic);
  if (args.read_queues) request.set_read_queues(*args.read_queues);
  if (args.write_queues) request.set_write_queues(*args.write_queues);
  if (args.perm) request.set_perm(*args.perm);
  UpdateTopics(line, args, {request});
}

void UpdateTopicList(CommandLine* line, const TopicArguments& args) {
  const auto text = ReadFile(PosixFileSystem(), args.file);
  if (!text.ok()) return line->Fail(text.status(), kExitUsage);
  const auto requests = ParseTopicList(*text);
  if (!requests.ok()) return line->Fail(Annotate(requests.status(), args.file), kExitUsage);
  UpdateTopics(line, args, *requests);
}

// Only where the topic is: it makes none.
void UpdateTopicPerm(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Topic", "Old Perm", "Perm"});
  absl::Status missing;
  for (const GroupPlace& group : *groups) {
    pb::GetTopicRequest asked;
    asked.set_name(args.topic);
    pb::GetTopicResponse before;
    absl::Status done = session.Call(group, &Session::Admin::Stub::GetTopic, asked, &before);
    if (absl::IsNotFound(done)) {
      missing = done;
      continue;
    }
    pb::UpdateTopicRequest request;
    request.set_name(args.topic);
    request.set_perm(*args.perm);
    pb::UpdateTopicResponse response;
    if (done.ok()) {
      done = session.Call(group, &Session::Admin::Stub::UpdateTopic, request, &response);
    }
    if (!done.ok()) {
      line->Fail(Annotate(done, group.broker_name), report.rows() > 0 ? kExitPartial : kExitFailed);
      continue;
    }
    report.AddRow({group.broker_name, args.topic, int64_t{before.topic().perm()},
                   int64_t{response.topic().perm()}});
  }
  if (report.rows() == 0 && !missing.ok()) return line->Fail(missing);
  if (report.rows() > 0) line->Print(report);
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

// RocketMQ's topicList -c: each topic and each group that has a position on it; dead-letter and
// retry topics are left out.
void TopicsAndConsumers(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  std::map<std::pair<std::string, std::string>, std::set<std::string>> consumers;
  for (const GroupPlace& place : *places) {
    pb::ListTopicConfigsResponse response;
    absl::Status done = session.Call(place, &Session::Admin::Stub::ListTopics,
                                     pb::ListTopicConfigsRequest(), &response);
    for (const pb::Topic& topic : response.topics()) {
      if (topic.name().starts_with("%DLQ%") || topic.name().starts_with("%RETRY%")) continue;
      consumers[{place.cluster, topic.name()}];
    }
    if (done.ok()) {
      done = session.ForEachGroup(place, [&](const std::string& group, const auto& progress) {
        for (const pb::QueueProgress& row : progress.rows()) {
          const auto topic = consumers.find({place.cluster, row.topic()});
          if (topic != consumers.end()) topic->second.insert(group);
        }
      });
    }
    if (!done.ok()) line->Fail(Annotate(done, place.broker_name), kExitPartial);
  }
  if (line->FailUnanswered(session.answered())) return;
  Report report({"Cluster", "Topic", "Consumer Group"});
  for (const auto& [topic, groups] : consumers) {
    if (groups.empty()) report.AddRow({topic.first, topic.second, std::string()});
    for (const std::string& group : groups) report.AddRow({topic.first, topic.second, group});
  }
  line->Print(report);
}

void TopicList(CommandLine* line, const TopicArguments& args) {
  if (args.with_consumers) return TopicsAndConsumers(line, args);
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
  if (line->FailUnanswered(session.answered())) return;
  line->Print(report);
}

void TopicRoute(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto groups = session.Groups("", args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report(
      {"Cluster", "Broker", "Leader", "Members", "Read Queues", "Write Queues", "Perm", "Type"});
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
    report.AddRow({group.cluster, group.broker_name, leader, members, int64_t{topic.read_queues()},
                   int64_t{topic.write_queues()}, int64_t{topic.perm()},
                   pb::TopicType_Name(topic.type())});
  }
  if (report.rows() == 0 && line->exit_code == kExitOk) {
    return line->Fail(absl::NotFoundError(StrCat("topic ", args.topic,
                                                 " does not exist; `mqadmin updateTopic -t ",
                                                 args.topic, "` creates it")));
  }
  if (line->FailUnanswered(session.answered())) return;
  if (report.rows() > 0) line->Print(report);
}

constexpr int32_t kLiteTopicsAtOnce = 1'024;

// All lite topics of one group, of which `page` has the first ones.
absl::Status AddLiteTopics(Session& session, const GroupPlace& group, pb::TopicStatusResponse page,
                           Report* report) {
  while (page.lite_topics_size() > 0) {
    for (const pb::LiteTopicStatus& topic : page.lite_topics()) {
      report->AddRow({group.broker_name, topic.lite_topic(), topic.min_offset(), topic.max_offset(),
                      FormatTime(topic.last_store_ms()), absl::StrJoin(topic.subscribers(), " ")});
    }
    pb::TopicStatusRequest next;
    next.set_name(page.name());
    next.set_after_lite_topic(page.lite_topics(page.lite_topics_size() - 1).lite_topic());
    next.set_max_lite_topics(kLiteTopicsAtOnce);
    page.Clear();
    RAFTMQ_RETURN_IF_ERROR(session.Call(group, &Session::Admin::Stub::TopicStatus, next, &page));
  }
  return absl::OkStatus();
}

void TopicStatus(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls(), line->read);
  auto groups = session.Groups(args.cluster, args.broker);
  if (!groups.ok()) return line->Fail(groups.status());
  Report report({"Broker", "Queue", "Min Offset", "Max Offset", "Last Updated"});
  Report lite({"Broker", "Lite Topic", "Min Offset", "Max Offset", "Last Updated", "Subscribers"});
  absl::Status missing;
  for (const GroupPlace& group : *groups) {
    pb::TopicStatusRequest request;
    request.set_name(args.topic);
    request.set_max_lite_topics(kLiteTopicsAtOnce);
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
    const absl::Status listed = AddLiteTopics(session, group, response, &lite);
    if (!listed.ok()) line->Fail(Annotate(listed, group.broker_name), kExitPartial);
  }
  if (report.rows() == 0 && !missing.ok()) return line->Fail(missing);
  if (line->FailUnanswered(session.answered())) return;
  // The messages of a topic of type LITE are in these.
  line->Print(lite.rows() > 0 ? lite : report);
}

// The broker groups that have the topic, with its settings there. None, and the command line says
// so: there is no such topic, or somebody could not be asked.
std::vector<std::pair<GroupPlace, pb::Topic>> FindTopic(CommandLine* line, Session* session,
                                                        const std::string& name) {
  std::vector<std::pair<GroupPlace, pb::Topic>> found;
  auto groups = session->Groups();
  if (!groups.ok()) {
    line->Fail(groups.status());
    return found;
  }
  for (const GroupPlace& group : *groups) {
    pb::GetTopicRequest request;
    request.set_name(name);
    pb::GetTopicResponse response;
    const absl::Status done =
        session->Call(group, &Session::Admin::Stub::GetTopic, request, &response);
    if (done.ok()) {
      found.emplace_back(group, response.topic());
    } else if (!absl::IsNotFound(done)) {
      line->Fail(Annotate(done, group.broker_name), kExitPartial);
    }
  }
  if (line->FailUnanswered(session->answered())) return found;
  if (found.empty() && line->exit_code == kExitOk) {
    line->Fail(absl::NotFoundError(StrCat("topic ", name, " does not exist")));
  }
  return found;
}

void TopicClusterList(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  std::set<std::string> clusters;
  for (const auto& [group, topic] : FindTopic(line, &session, args.topic)) {
    clusters.insert(group.cluster);
  }
  Report report({"Topic", "Cluster"});
  for (const std::string& cluster : clusters) report.AddRow({args.topic, cluster});
  if (report.rows() > 0) line->Print(report);
}

// Who would get which queue, if these were the members of a group.
void AllocateQueues(CommandLine* line, const TopicArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  std::vector<client::MessageQueue> queues;
  for (const auto& [group, topic] : FindTopic(line, &session, args.topic)) {
    for (int32_t id = 0; id < topic.read_queues(); ++id) {
      queues.push_back({args.topic, group.broker_name, QueueId(id)});
    }
  }
  if (queues.empty()) return;
  std::sort(queues.begin(), queues.end(), [](const auto& a, const auto& b) {
    return std::tie(a.broker_name, a.queue) < std::tie(b.broker_name, b.queue);
  });
  const std::set<std::string> sorted(args.members.begin(), args.members.end());
  const std::vector<std::string> members(sorted.begin(), sorted.end());
  Report report({"Member", "Broker", "Queue"});
  const auto strategy = client::AllocateMessageQueueAveragely();
  for (const std::string& member : members) {
    for (const client::MessageQueue& queue : strategy->Allocate(member, queues, members)) {
      report.AddRow({member, queue.broker_name, int64_t{queue.queue.value()}});
    }
  }
  line->Print(report);
}

CLI::App* WithTopic(CLI::App* command, TopicArguments* args) {
  command->add_option("-t,--topic", args->topic, "topic")->required();
  return command;
}

CLI::App* WithPlace(CLI::App* command, TopicArguments* args) {
  command->add_option("-c,--clusterName,--cluster", args->cluster,
                      "all broker groups of this cluster");
  command->add_option("-b,--brokerAddr", args->broker, "the group of the broker at this address");
  return command;
}

void AddOtherTopicCommands(CLI::App* app, CommandLine* line, TopicArguments* args) {
  CLI::App* list = WithPlace(
      line->AddCommand(app, "updateTopicList",
                       "Creates or changes the topics that a file lists, as JSON of RocketMQ's "
                       "TopicConfig",
                       "updateTopicList -f topics.json\n  with topics.json: "
                       "[{\"topicName\":\"orders\",\"readQueueNums\":8,\"writeQueueNums\":8}]"),
      args);
  list->add_option("-f,--filename", args->file, "the file")->required();
  list->callback([line, args] { UpdateTopicList(line, *args); });

  CLI::App* perm =
      WithPlace(WithTopic(line->AddCommand(app, "updateTopicPerm", "Changes who may use a topic",
                                           "updateTopicPerm -t orders -p 4"),
                          args),
                args);
  perm->add_option("-p,--perm", args->perm, "2 write, 4 read, 6 both")
      ->required()
      ->check(CLI::IsMember({2, 4, 6}));
  perm->callback([line, args] { UpdateTopicPerm(line, *args); });

  WithTopic(line->AddCommand(app, "topicClusterList", "The clusters that have a topic",
                             "topicClusterList -t orders"),
            args)
      ->callback([line, args] { TopicClusterList(line, *args); });

  CLI::App* allocate = WithTopic(
      line->AddCommand(app, "allocateMQ", "Which queues each of these members of a group would get",
                       "allocateMQ -t orders -i 10.0.0.1,10.0.0.2"),
      args);
  allocate->add_option("-i,--ipList", args->members, "the members, separated by commas")
      ->required()
      ->delimiter(',');
  allocate->callback([line, args] { AllocateQueues(line, *args); });
}

void AddLookCommands(CLI::App* app, CommandLine* line, TopicArguments* args) {
  CLI::App* topics =
      line->AddCommand(app, "topicList", "All topics", "topicList\n  mqadmin topicList -c");
  // RocketMQ's -c has no value.
  topics->add_flag("-c,--clusterModel", args->with_consumers,
                   "each topic with its cluster and the groups that consume it");
  topics->add_option("--clusterName", args->cluster, "all broker groups of this cluster");
  topics->add_option("-b,--brokerAddr", args->broker, "the group of the broker at this address");
  topics->callback([line, args] { TopicList(line, *args); });

  CLI::App* route = WithTopic(
      line->AddCommand(app, "topicRoute", "Which groups serve a topic, and who leads them",
                       "topicRoute -t orders"),
      args);
  AddFlagWithoutEffect(route, "-l,--list", "it is always a list; --json for the other form");
  route->callback([line, args] { TopicRoute(line, *args); });

  line->WithRead(WithPlace(WithTopic(line->AddCommand(app, "topicStatus",
                                                      "Offsets of every queue of a topic",
                                                      "topicStatus -t orders"),
                                     args),
                           args))
      ->callback([line, args] { TopicStatus(line, *args); });
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
                   "when senders are answered; -ack.level: by the broker's flushDiskType; "
                   "+reserve.time=HOURS: nobody is given older messages, -reserve.time: as long as "
                   "the log keeps them; +lite.topic.expiration=MINUTES: when idle lite topics go")
      ->delimiter(',');
  AddOnlyBool(update, "-o,--order", false,
              "a topic of which all queues are always routed does not exist; messages of one group "
              "keep their order in a topic with -a +message.type=FIFO");
  AddOnlyBool(update, "-u,--unit", false, "there are no units: leave it out");
  AddOnlyBool(update, "-s,--hasUnitSub", false, "there are no units: leave it out");
  update->callback([line] { UpdateTopic(line, args); });

  WithPlace(WithTopic(line->AddCommand(app, "deleteTopic", "Deletes a topic and its messages",
                                       "deleteTopic -t orders -c DefaultCluster"),
                      &args),
            &args)
      ->callback([line] { DeleteTopic(line, args); });

  AddLookCommands(app, line, &args);
  AddOtherTopicCommands(app, line, &args);
}

}  // namespace raftmq::mqadmin
