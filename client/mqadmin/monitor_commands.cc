// startMonitoring: what an operator should know of, found by looking at all groups again and again.

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

constexpr std::string_view kDeadLetterPrefix = "%DLQ%";

struct MonitorArguments {
  std::string cluster;
  int64_t interval_ms = 60'000;
  int64_t rounds = 0;  // 0: until it is ended
  int64_t backlog = 10'000;
};

// One round's view of a consumer group, over all broker groups.
struct GroupView {
  std::map<std::string, int64_t> backlog;  // by topic
  int64_t dead_letters = 0;                // ever
  std::set<std::string> consumers;
  std::set<std::string> subscriptions;
};
using GroupViews = std::map<std::string, GroupView>;

std::string SubscriptionKey(const pb::Client& client) {
  std::set<std::string> parts;
  for (const pb::ClientSubscription& s : client.subscriptions()) {
    parts.insert(StrCat(s.topic(), "\n", s.expression_type(), "\n", s.expression()));
  }
  std::string key;
  for (const std::string& part : parts) key += StrCat(part, "\n");
  return key;
}

class Monitor {
 public:
  Monitor(CommandLine* line, const MonitorArguments& args)
      : line_(line), args_(args), session_(line->namesrv_addr, line->timeout_ms, line->tls()) {}

  void Run() {
    absl::Notification never;
    for (int64_t round = 1;; ++round) {
      GroupViews views;
      // A round that did not see all may still see what is wrong; what is missing there is told.
      Look(&views);
      Tell(views);
      std::cout.flush();
      // Nothing to tell is what mostly is there: somebody who looks should see that it is watched.
      if (round == 1 && args_.rounds != 1 && ::isatty(STDERR_FILENO) != 0) {
        std::cerr << "watching " << views.size() << " groups, every "
                  << absl::FormatDuration(absl::Milliseconds(args_.interval_ms)) << "\n";
      }
      if (args_.rounds > 0 && round >= args_.rounds) return;
      never.WaitForNotificationWithTimeout(absl::Milliseconds(args_.interval_ms));
    }
  }

 private:
  void Look(GroupViews* views) {
    auto places = session_.Groups(args_.cluster, "");
    if (!places.ok()) return line_->Fail(places.status(), kExitPartial);
    for (const GroupPlace& place : *places) {
      const absl::Status done = LookAt(place, views);
      if (!done.ok()) line_->Fail(Annotate(done, place.broker_name), kExitPartial);
    }
  }

  absl::Status LookAt(const GroupPlace& place, GroupViews* views) {
    RAFTMQ_RETURN_IF_ERROR(
        session_.ForEachGroup(place, [&](const std::string& group, const auto& progress) {
          GroupView& view = (*views)[group];
          for (const pb::QueueProgress& row : progress.rows()) {
            view.backlog[row.topic()] += row.max_offset() - row.commit_offset();
          }
        }));
    pb::ListTopicConfigsResponse topics;
    RAFTMQ_RETURN_IF_ERROR(session_.Call(place, &Session::Admin::Stub::ListTopics,
                                         pb::ListTopicConfigsRequest(), &topics));
    for (const pb::Topic& topic : topics.topics()) {
      if (!topic.name().starts_with(kDeadLetterPrefix)) continue;
      pb::TopicStatusRequest request;
      request.set_name(topic.name());
      pb::TopicStatusResponse status;
      RAFTMQ_RETURN_IF_ERROR(
          session_.Call(place, &Session::Admin::Stub::TopicStatus, request, &status));
      GroupView& view = (*views)[topic.name().substr(kDeadLetterPrefix.size())];
      for (const pb::QueueStatus& queue : status.queues()) view.dead_letters += queue.max_offset();
    }
    for (const MemberPlace& member : place.members) {
      pb::ListClientsResponse response;
      RAFTMQ_RETURN_IF_ERROR(session_.CallAt(member.address, &Session::Admin::Stub::ListClients,
                                             pb::ListClientsRequest(), &response));
      for (const pb::Client& client : response.clients()) {
        if (client.group().empty()) continue;
        GroupView& view = (*views)[client.group()];
        view.consumers.insert(client.client_id());
        const std::string subscription = SubscriptionKey(client);
        if (!subscription.empty()) view.subscriptions.insert(subscription);
      }
    }
    return absl::OkStatus();
  }

  void Tell(const GroupViews& views) {
    for (const auto& [group, view] : views) {
      for (const auto& [topic, backlog] : view.backlog) {
        if (backlog < args_.backlog) continue;
        Tell("BACKLOG", group, topic, backlog,
             StrCat(backlog, " messages wait, ", view.consumers.size(), " consumers"));
      }
      const int64_t before = dead_letters_[group];
      if (view.dead_letters > before) {
        Tell("DEAD_LETTERS", group, StrCat(kDeadLetterPrefix, group), view.dead_letters - before,
             StrCat(view.dead_letters - before,
                    before == 0 ? " messages have died" : " more messages have died",
                    "; redriveDeadLetters -g ", group, " --dryRun shows why"));
      }
      // A round that did not see all broker groups forgets none.
      dead_letters_[group] = std::max(before, view.dead_letters);
      if (view.subscriptions.size() > 1) {
        Tell("SUBSCRIPTIONS_DIFFER", group, "", static_cast<int64_t>(view.subscriptions.size()),
             StrCat("consumers subscribe in ", view.subscriptions.size(),
                    " ways; consumerStatus -g ", group, " shows them"));
      }
    }
  }

  void Tell(const std::string& kind, const std::string& group, const std::string& topic,
            int64_t count, const std::string& what) {
    const std::string time = FormatTime(SystemClock()->WallMillis());
    if (!line_->json) {
      std::cout << time << "  " << kind << "  " << group << "  " << (topic.empty() ? "-" : topic)
                << "  " << what << "\n";
      return;
    }
    const nlohmann::ordered_json object = {{"time", time},   {"kind", kind},   {"group", group},
                                           {"topic", topic}, {"count", count}, {"what", what}};
    std::cout << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
              << "\n";
  }

  CommandLine* const line_;
  const MonitorArguments& args_;
  Session session_;
  std::map<std::string, int64_t> dead_letters_;  // by group, as far as they were told
};

}  // namespace

void AddMonitorCommands(CLI::App* app, CommandLine* line) {
  static MonitorArguments args;
  CLI::App* monitor = line->AddCommand(
      app, "startMonitoring",
      "Tells again and again of backlogs, new dead letters and subscriptions that differ",
      "startMonitoring\n  mqadmin startMonitoring --backlog 1000 --rounds 1 --json");
  monitor->add_option("-c,--clusterName", args.cluster, "all broker groups of this cluster");
  monitor->add_option("--interval", args.interval_ms, "milliseconds between two rounds (60000)")
      ->check(CLI::Range(100, 86'400'000));
  monitor->add_option("--rounds", args.rounds, "end after so many; 0: go on until ended (0)")
      ->check(CLI::NonNegativeNumber);
  monitor
      ->add_option("--backlog", args.backlog,
                   "tell of a group that has so many messages of a topic to consume (10000)")
      ->check(CLI::PositiveNumber);
  monitor->callback([line] { Monitor(line, args).Run(); });
}

}  // namespace raftmq::mqadmin
