// exportMetadata: the settings of topics and groups as a file that updateTopicList and
// updateSubGroupList read.

#include <iostream>
#include <map>

#include "base/clock.h"
#include "base/file_system.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/config_list.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct MetadataArguments {
  std::string cluster;
  std::string broker;
  std::string folder;  // "": stdout
  bool only_topics = false;
  bool only_groups = false;
  bool special_topics = false;
};

struct Metadata {
  std::map<std::string, pb::Topic> topics;
  std::map<std::string, pb::Group> groups;
};

// Keeps what the first broker group says. A broker group that says something else could not be made
// again from the export: that is told.
template <typename Config>
void Keep(CommandLine* line, const std::string& broker, const std::string& kind, Config config,
          std::map<std::string, Config>* kept) {
  config.clear_created_ms();
  config.clear_created_index();
  const auto [at, added] = kept->emplace(config.name(), config);
  if (added || at->second.SerializeAsString() == config.SerializeAsString()) return;
  line->Fail(absl::AbortedError(StrCat(kind, " ", config.name(), " is another one at ", broker,
                                       " than at a broker group before; the earlier one is "
                                       "exported: export each with -b")),
             kExitPartial);
}

absl::Status Collect(CommandLine* line, const MetadataArguments& args, Session* session,
                     const GroupPlace& place, Metadata* metadata) {
  pb::ListTopicConfigsResponse topics;
  RAFTMQ_RETURN_IF_ERROR(session->Call(place, &Session::Admin::Stub::ListTopics,
                                       pb::ListTopicConfigsRequest(), &topics));
  for (const pb::Topic& topic : topics.topics()) {
    if (!args.special_topics && topic.name().starts_with("%DLQ%")) continue;
    Keep(line, place.broker_name, "topic", topic, &metadata->topics);
  }
  pb::ListGroupsResponse groups;
  RAFTMQ_RETURN_IF_ERROR(
      session->Call(place, &Session::Admin::Stub::ListGroups, pb::ListGroupsRequest(), &groups));
  for (const pb::Group& group : groups.groups()) {
    Keep(line, place.broker_name, "group", group, &metadata->groups);
  }
  return absl::OkStatus();
}

void ExportMetadata(CommandLine* line, const MetadataArguments& args) {
  Session session(line->namesrv_addr, line->timeout_ms, line->tls());
  auto places = session.Groups(args.cluster, args.broker);
  if (!places.ok()) return line->Fail(places.status());
  Metadata metadata;
  for (const GroupPlace& place : *places) {
    // Half an export would be taken for all there is.
    const absl::Status done = Collect(line, args, &session, place, &metadata);
    if (!done.ok()) return line->Fail(Annotate(done, place.broker_name));
  }
  const std::string text =
      MetadataJson(args.only_groups ? nullptr : &metadata.topics,
                   args.only_topics ? nullptr : &metadata.groups, SystemClock()->WallMillis());
  if (args.folder.empty()) {
    std::cout << text;
    return;
  }
  const std::string path = StrCat(args.folder, args.only_topics   ? "/topic.json"
                                               : args.only_groups ? "/subscriptionGroup.json"
                                                                  : "/metadata.json");
  absl::Status written = PosixFileSystem()->CreateDirs(args.folder);
  if (written.ok()) written = WriteFileAtomically(PosixFileSystem(), path, text);
  if (!written.ok()) return line->Fail(written);
  Report report({"File", "Topics", "Groups"});
  report.AddRow({path, static_cast<int64_t>(args.only_groups ? 0 : metadata.topics.size()),
                 static_cast<int64_t>(args.only_topics ? 0 : metadata.groups.size())});
  line->Print(report);
}

}  // namespace

void AddMetadataCommands(CLI::App* app, CommandLine* line) {
  static MetadataArguments args;
  CLI::App* command = line->AddCommand(
      app, "exportMetadata",
      "The settings of topics and groups, as updateTopicList and updateSubGroupList read them",
      "exportMetadata -c DefaultCluster > metadata.json\n  mqadmin updateTopicList -f "
      "metadata.json");
  command->add_option("-c,--clusterName", args.cluster, "all broker groups of this cluster");
  command->add_option("-b,--brokerAddr", args.broker, "the group of the broker at this address");
  command->add_option("-f,--filePath", args.folder,
                      "into metadata.json, topic.json or subscriptionGroup.json of this folder; "
                      "stdout if not given");
  CLI::Option* topics = command->add_flag("-t,--topic", args.only_topics, "only topics");
  command->add_flag("-g,--subscriptionGroup", args.only_groups, "only groups")->excludes(topics);
  command->add_flag("-s,--specialTopic", args.special_topics, "dead-letter topics, too");
  command->callback([line] { ExportMetadata(line, args); });
}

}  // namespace raftmq::mqadmin
