// redriveDeadLetters: a group's dead letters go back to the topics that they came from.

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {
namespace {

namespace pb = ::raftmq::v1;

struct RedriveArguments {
  std::string cluster;
  std::string broker;
  pb::RedriveDeadLettersRequest request;
  double rate = 100;  // messages a second; 0: as fast as it goes
  int64_t count = 0;  // 0: all
  bool list = false;
};

struct RedriveCounts {
  int64_t sent = 0;  // or, in a dry run, found
  int64_t failed = 0;
  int64_t done_before = 0;
  int64_t unwanted = 0;
};

// A call that got lost is made again: what it did is not done twice.
constexpr int64_t kGiveUpMs = 30'000;
constexpr int64_t kAskAgainMs = 200;
constexpr int64_t kProgressMs = 500;
constexpr int32_t kMaxPerCall = 256;

void Wait(int64_t ms) {
  absl::Notification never;
  if (ms > 0) never.WaitForNotificationWithTimeout(absl::Milliseconds(ms));
}

class Redrive {
 public:
  Redrive(CommandLine* line, const RedriveArguments& args)
      : line_(line),
        args_(args),
        session_(line->namesrv_addr, line->timeout_ms, line->tls()),
        letters_({"Broker", "Queue", "Offset", "Message Id", "Tag", "Keys", "Origin Topic",
                  "Reason", "Attempts", "Dead Since",
                  args.request.dry_run() ? "Would Be" : "Result"}),
        summary_({"Broker", "Group", args.request.dry_run() ? "Would Be Sent" : "Sent", "Failed",
                  "Sent Before", "Not Wanted"}),
        began_ms_(SystemClock()->MonotonicMillis()),
        shows_progress_(::isatty(STDERR_FILENO) != 0) {}

  void Run() {
    auto places = session_.Groups(args_.cluster, args_.broker);
    if (!places.ok()) return line_->Fail(places.status());
    bool found = false;
    for (const GroupPlace& place : *places) {
      RedriveCounts counts;
      const absl::Status done = RedriveAt(place, &counts);
      if (absl::IsNotFound(done)) continue;  // nothing is dead there
      found = true;
      summary_.AddRow({place.broker_name, args_.request.group(), counts.sent, counts.failed,
                       counts.done_before, counts.unwanted});
      if (!done.ok()) {
        line_->Fail(Annotate(done, place.broker_name), total_ > 0 ? kExitPartial : kExitFailed);
      }
      if (counts.failed > 0) line_->exit_code = kExitPartial;
    }
    if (shows_progress_) std::cerr << "\r";
    if (!found) {
      return line_->Fail(absl::NotFoundError(StrCat("group ", args_.request.group(),
                                                    " has no dead letters: there is no topic %DLQ%",
                                                    args_.request.group())));
    }
    if (!args_.list && !args_.request.dry_run()) return line_->Print(summary_);
    line_->Print(letters_);
    // stdout is one document; the summary is for the eyes.
    if (line_->json) {
      summary_.PrintJson(std::cerr);
    } else {
      summary_.PrintTable(std::cerr);
    }
  }

 private:
  bool Enough() const { return args_.count > 0 && total_ >= args_.count; }

  absl::Status RedriveAt(const GroupPlace& place, RedriveCounts* counts) {
    pb::TopicStatusRequest asked;
    asked.set_name(StrCat("%DLQ%", args_.request.group()));
    pb::TopicStatusResponse status;
    RAFTMQ_RETURN_IF_ERROR(
        session_.Call(place, &Session::Admin::Stub::TopicStatus, asked, &status));
    for (const pb::QueueStatus& queue : status.queues()) {
      // What dies meanwhile is for the next run.
      RAFTMQ_RETURN_IF_ERROR(RedriveQueue(place, queue, counts));
    }
    return absl::OkStatus();
  }

  absl::Status RedriveQueue(const GroupPlace& place, const pb::QueueStatus& queue,
                            RedriveCounts* counts) {
    pb::RedriveDeadLettersRequest request = args_.request;
    request.set_queue(queue.queue());
    request.set_from_offset(queue.min_offset());
    while (request.from_offset() < queue.max_offset() && !Enough()) {
      request.set_max_messages(NextBatch());
      pb::RedriveDeadLettersResponse response;
      RAFTMQ_RETURN_IF_ERROR(CallPatiently(place, request, &response));
      for (const pb::DeadLetter& letter : response.messages()) {
        Note(place, queue.queue(), letter, counts);
      }
      counts->done_before += response.done_before();
      counts->unwanted += response.unwanted();
      request.set_from_offset(response.next_offset());
      ShowProgress(place, response);
      Pace();
    }
    return absl::OkStatus();
  }

  // About a quarter of a second's, so that the rate is even.
  int32_t NextBatch() const {
    int64_t batch = kMaxPerCall;
    if (args_.rate > 0 && !args_.request.dry_run()) {
      batch = std::clamp<int64_t>(static_cast<int64_t>(args_.rate / 4), 1, kMaxPerCall);
    }
    if (args_.count > 0) batch = std::min(batch, args_.count - total_);
    return static_cast<int32_t>(batch);
  }

  absl::Status CallPatiently(const GroupPlace& place, const pb::RedriveDeadLettersRequest& request,
                             pb::RedriveDeadLettersResponse* response) {
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + kGiveUpMs;
    for (;;) {
      const absl::Status done =
          session_.Call(place, &Session::Admin::Stub::RedriveDeadLetters, request, response);
      const bool passing = absl::IsUnavailable(done) || absl::IsUnknown(done) ||
                           absl::IsDeadlineExceeded(done) || absl::IsResourceExhausted(done);
      if (!passing || SystemClock()->MonotonicMillis() >= give_up_ms) return done;
      Wait(kAskAgainMs);
    }
  }

  void Note(const GroupPlace& place, int32_t queue, const pb::DeadLetter& letter,
            RedriveCounts* counts) {
    const bool ok = letter.failure().empty();
    (ok ? counts->sent : counts->failed) += 1;
    total_ += ok ? 1 : 0;
    if (!ok && !args_.request.dry_run()) {
      line_->Fail(absl::AbortedError(StrCat(place.broker_name, " queue ", queue, " offset ",
                                            letter.offset(), " stays dead: ", letter.failure())),
                  kExitPartial);
    }
    if (!args_.list && !args_.request.dry_run()) return;
    letters_.AddRow({place.broker_name, int64_t{queue}, letter.offset(), letter.message_id(),
                     letter.tag(), letter.keys(), letter.origin_topic(), letter.reason(),
                     int64_t{letter.attempts()}, FormatTime(letter.dead_ms()),
                     ok ? std::string("sent") : letter.failure()});
  }

  void ShowProgress(const GroupPlace& place, const pb::RedriveDeadLettersResponse& response) {
    const int64_t now_ms = SystemClock()->MonotonicMillis();
    if (!shows_progress_ || now_ms - shown_ms_ < kProgressMs) return;
    shown_ms_ = now_ms;
    std::cerr << "\r" << place.broker_name << ": " << response.next_offset() << " of "
              << response.end_offset() << " looked at, " << total_
              << (args_.request.dry_run() ? " found " : " sent ") << std::flush;
  }

  // As many as there would be at the rate.
  void Pace() const {
    if (args_.rate <= 0 || args_.request.dry_run()) return;
    const auto due_ms =
        began_ms_ + static_cast<int64_t>(static_cast<double>(total_) * 1'000 / args_.rate);
    Wait(due_ms - SystemClock()->MonotonicMillis());
  }

  CommandLine* const line_;
  const RedriveArguments& args_;
  Session session_;
  Report letters_;
  Report summary_;
  const int64_t began_ms_;
  const bool shows_progress_;
  int64_t shown_ms_ = 0;
  int64_t total_ = 0;
};

}  // namespace

void AddDeadLetterCommands(CLI::App* app, CommandLine* line) {
  static RedriveArguments args;
  static std::string group, topic, key, tag, sql;
  static int64_t begin_ms = 0, end_ms = 0;
  static bool dry_run = false;
  CLI::App* redrive = line->AddCommand(
      app, "redriveDeadLetters", "Sends a group's dead letters back to their topics, each once",
      "redriveDeadLetters -g billing --dryRun\n  mqadmin redriveDeadLetters -g billing -t orders "
      "--rate 50\n  mqadmin redriveDeadLetters -g billing --sql \"amount > 100\"");
  redrive->add_option("-g,--consumerGroup", group, "the group that failed to consume them")
      ->required();
  redrive->add_option("-t,--topic", topic, "only those that came from this topic");
  redrive->add_option("-k,--msgKey", key, "only those with this key or message id");
  CLI::Option* by_tag = redrive->add_option("--tag", tag, "only those with a tag: 'a || b'");
  redrive->add_option("--sql", sql, "only those whose properties fit this SQL92 expression")
      ->excludes(by_tag);
  redrive->add_option("--beginTimestamp", begin_ms, "dead at or after, ms since 1970");
  redrive->add_option("--endTimestamp", end_ms, "dead at or before, ms since 1970");
  redrive->add_option("--rate", args.rate, "messages a second (100); 0: as fast as it goes");
  redrive->add_option("--count", args.count, "stop after so many");
  redrive->add_flag("--dryRun", dry_run, "only show what would be sent");
  redrive->add_flag("--list", args.list, "show each message that was sent");
  redrive->add_option("-c,--clusterName", args.cluster, "all broker groups of this cluster");
  redrive->add_option("-b,--brokerAddr", args.broker, "the group of the broker at this address");
  redrive->callback([line] {
    args.request.set_group(group);
    args.request.set_origin_topic(topic);
    args.request.set_key(key);
    args.request.set_tag_expression(tag);
    args.request.set_sql_expression(sql);
    args.request.set_begin_ms(begin_ms);
    args.request.set_end_ms(end_ms);
    args.request.set_dry_run(dry_run);
    Redrive(line, args).Run();
  });
}

}  // namespace raftmq::mqadmin
