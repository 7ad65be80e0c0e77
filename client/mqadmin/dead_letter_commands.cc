// A group's dead letters: back to the topics that they came from, or out to other programs.

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "client/mqadmin/charset.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/grpc_dead_letter_filter.h"
#include "client/mqadmin/grpc_session.h"
#include "client/mqadmin/letter_text.h"
#include "client/mqadmin/message_body.h"
#include "client/mqadmin/send_rate.h"

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

constexpr int64_t kProgressMs = 500;
constexpr int32_t kMaxPerCall = 256;

void Wait(int64_t nanos) {
  absl::Notification never;
  if (nanos > 0) never.WaitForNotificationWithTimeout(absl::Nanoseconds(nanos));
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
        send_rate_(args.request.dry_run() ? 0 : args.rate, SystemClock()),
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
      summary_.AddRow({place.broker_name, OfTransactions() ? Topic() : args_.request.group(),
                       counts.sent, counts.failed, counts.done_before, counts.unwanted});
      if (!done.ok()) {
        line_->Fail(Annotate(done, place.broker_name), total_ > 0 ? kExitPartial : kExitFailed);
      }
      if (counts.failed > 0) line_->exit_code = kExitPartial;
    }
    if (shows_progress_) std::cerr << "\r";
    if (!found) {
      return line_->Fail(absl::NotFoundError(
          StrCat(OfTransactions() ? std::string("no transaction was given up")
                                  : StrCat("group ", args_.request.group(), " has no dead letters"),
                 ": there is no topic ", Topic())));
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
  bool OfTransactions() const { return args_.request.group().empty(); }
  std::string Topic() const {
    return OfTransactions() ? "TRANS_CHECK_MAX_TIME_TOPIC" : StrCat("%DLQ%", args_.request.group());
  }

  bool Enough() const { return args_.count > 0 && total_ >= args_.count; }

  absl::Status RedriveAt(const GroupPlace& place, RedriveCounts* counts) {
    pb::TopicStatusRequest asked;
    asked.set_name(Topic());
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
      const int64_t sent_before = total_;
      pb::RedriveDeadLettersResponse response;
      RAFTMQ_RETURN_IF_ERROR(CallPatiently(&session_, place, request, &response));
      for (const pb::DeadLetter& letter : response.messages()) {
        Note(place, queue.queue(), letter, counts);
      }
      counts->done_before += response.done_before();
      counts->unwanted += response.unwanted();
      request.set_from_offset(response.next_offset());
      ShowProgress(place, response);
      Wait(send_rate_.EndBatch(total_ - sent_before));
    }
    return absl::OkStatus();
  }

  int32_t NextBatch() {
    int64_t batch = send_rate_.BeginBatch(kMaxPerCall);
    if (args_.count > 0) batch = std::min(batch, args_.count - total_);
    return static_cast<int32_t>(batch);
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

  CommandLine* const line_;
  const RedriveArguments& args_;
  Session session_;
  Report letters_;
  Report summary_;
  SendRate send_rate_;
  const bool shows_progress_;
  int64_t shown_ms_ = 0;
  int64_t total_ = 0;
};

struct ExportArguments {
  std::string cluster;
  std::string broker;
  pb::RedriveDeadLettersRequest request;
  std::string file;             // "": stdout
  std::string format = "json";  // a line for each
  std::string body = "auto";
};

// Writes the letters that a dry run of redriveDeadLetters would send, with their bodies.
class Export {
 public:
  Export(CommandLine* line, const ExportArguments& args)
      : line_(line), args_(args), session_(line->namesrv_addr, line->timeout_ms, line->tls()) {}

  void Run() {
    auto places = session_.Groups(args_.cluster, args_.broker);
    if (!places.ok()) return line_->Fail(places.status());
    absl::Status missing;
    bool found = false;
    for (const GroupPlace& place : *places) {
      const absl::Status done = ExportFrom(place);
      if (absl::IsNotFound(done)) {
        missing = done;  // nothing is dead there
        continue;
      }
      found = true;
      if (!done.ok()) {
        line_->Fail(Annotate(done, place.broker_name), written_ > 0 ? kExitPartial : kExitFailed);
      }
    }
    if (!found) return line_->Fail(missing);
    if (const absl::Status ended = End(); !ended.ok()) return line_->Fail(ended, kExitPartial);
    std::cerr << written_ << " dead letters of group " << args_.request.group();
    if (unreadable_ > 0) std::cerr << "; " << unreadable_ << " cannot be read";
    std::cerr << "\n";
  }

 private:
  // The file stays as it is until it is known that there is something to write.
  absl::Status Begin() {
    if (begun_) return absl::OkStatus();
    begun_ = true;
    if (!args_.file.empty()) {
      RAFTMQ_ASSIGN_OR_RETURN(file_, PosixFileSystem()->Open(args_.file, OpenMode::kCreate));
      RAFTMQ_RETURN_IF_ERROR(file_->Truncate(0));
    }
    return args_.format == "csv" ? Put(CsvHeading()) : absl::OkStatus();
  }

  absl::Status Put(const std::string& text) {
    if (file_ != nullptr) {
      RAFTMQ_RETURN_IF_ERROR(file_->PWrite(file_bytes_, text));
      file_bytes_ += static_cast<int64_t>(text.size());
      return absl::OkStatus();
    }
    if (std::cout << text) return absl::OkStatus();
    return absl::AbortedError(StrCat("stdout takes no more after ", written_, " dead letters"));
  }

  absl::Status End() {
    if (file_ != nullptr) return file_->DataSync();
    if (std::cout.flush()) return absl::OkStatus();
    return absl::AbortedError(
        StrCat("stdout takes no more; not all of ", written_, " dead letters were written"));
  }

  absl::Status ExportFrom(const GroupPlace& place) {
    pb::TopicStatusRequest asked;
    asked.set_name(StrCat("%DLQ%", args_.request.group()));
    pb::TopicStatusResponse status;
    RAFTMQ_RETURN_IF_ERROR(
        session_.Call(place, &Session::Admin::Stub::TopicStatus, asked, &status));
    RAFTMQ_RETURN_IF_ERROR(Begin());
    for (const pb::QueueStatus& queue : status.queues()) {
      const absl::Status done = ExportQueue(place, asked.name(), queue);
      // Not that the group has no dead letters.
      if (absl::IsNotFound(done)) return absl::AbortedError(done.message());
      RAFTMQ_RETURN_IF_ERROR(done);
    }
    return absl::OkStatus();
  }

  absl::Status ExportQueue(const GroupPlace& place, const std::string& topic,
                           const pb::QueueStatus& queue) {
    pb::RedriveDeadLettersRequest request = args_.request;
    request.set_queue(queue.queue());
    request.set_from_offset(queue.min_offset());
    request.set_dry_run(true);
    request.set_max_messages(kMaxPerCall);
    while (request.from_offset() < queue.max_offset()) {
      pb::RedriveDeadLettersResponse response;
      RAFTMQ_RETURN_IF_ERROR(CallPatiently(&session_, place, request, &response));
      for (const pb::DeadLetter& letter : response.messages()) {
        if (letter.dead_ms() == 0) {
          NoteUnreadable(place, queue.queue(), letter);
          continue;
        }
        RAFTMQ_RETURN_IF_ERROR(Write(place, topic, queue.queue(), letter));
      }
      request.set_from_offset(response.next_offset());
    }
    return absl::OkStatus();
  }

  // It does not keep back those behind it.
  void NoteUnreadable(const GroupPlace& place, int32_t queue, const pb::DeadLetter& letter) {
    ++unreadable_;
    line_->Fail(absl::DataLossError(StrCat(place.broker_name, " queue ", queue, " offset ",
                                           letter.offset(), " is left out: ", letter.failure())),
                kExitPartial);
  }

  // The message itself, from a page of those at and after it.
  absl::StatusOr<const pb::StoredMessage*> Read(const GroupPlace& place, const std::string& topic,
                                                int32_t queue, int64_t offset) {
    for (const pb::StoredMessage& message : page_.messages()) {
      const bool same_queue = page_broker_ == place.broker_name && message.queue() == queue;
      if (same_queue && message.offset() == offset) return &message;
    }
    pb::MessageByOffsetRequest request;
    request.set_topic(topic);
    request.set_queue(queue);
    request.set_offset(offset);
    request.set_max_messages(kPage);
    page_broker_ = place.broker_name;
    RAFTMQ_RETURN_IF_ERROR(
        session_.Call(place, &Session::Admin::Stub::MessageByOffset, request, &page_));
    if (page_.messages().empty() || page_.messages(0).offset() != offset) {
      return absl::AbortedError(StrCat("queue ", queue, " offset ", offset, " of ", topic,
                                       " has expired meanwhile: export again"));
    }
    return &page_.messages(0);
  }

  absl::Status Write(const GroupPlace& place, const std::string& topic, int32_t queue,
                     const pb::DeadLetter& letter) {
    RAFTMQ_ASSIGN_OR_RETURN(const pb::StoredMessage* message,
                            Read(place, topic, queue, letter.offset()));
    ExportedLetter text;
    text.group = args_.request.group();
    text.broker = place.broker_name;
    text.queue = queue;
    text.offset = letter.offset();
    text.message_id = letter.message_id();
    text.origin_topic = letter.origin_topic();
    text.reason = letter.reason();
    text.attempts = letter.attempts();
    text.born_ms = message->born_ms();
    text.dead_ms = letter.dead_ms();
    text.tag = letter.tag();
    text.keys = letter.keys();
    text.properties.insert(message->properties().begin(), message->properties().end());
    text.body = BodyOf(*message);
    RAFTMQ_ASSIGN_OR_RETURN(const std::string readable, ToUtf8(text.body, "UTF-8"));
    text.body_is_base64 = args_.body == "base64" || (args_.body == "auto" && readable != text.body);
    text.body = text.body_is_base64 ? absl::Base64Escape(text.body) : readable;
    RAFTMQ_RETURN_IF_ERROR(Put(args_.format == "csv" ? CsvLine(text) : JsonLine(text)));
    ++written_;
    return absl::OkStatus();
  }

  static constexpr int32_t kPage = 32;

  CommandLine* const line_;
  const ExportArguments& args_;
  Session session_;
  std::unique_ptr<File> file_;  // none: stdout
  int64_t file_bytes_ = 0;
  pb::QueryMessagesResponse page_;
  std::string page_broker_;
  bool begun_ = false;
  int64_t written_ = 0;
  int64_t unreadable_ = 0;
};

void AddExport(CLI::App* app, CommandLine* line) {
  static ExportArguments args;
  CLI::App* command = line->AddCommand(
      app, "exportDeadLetters",
      "Writes a group's dead letters, with their bodies, for other programs",
      "exportDeadLetters -g billing > dead.jsonl\n  mqadmin exportDeadLetters -g billing -t orders "
      "--format csv -f dead.csv");
  AddDeadLetterFilter(command, &args.request);
  command->add_option("-f,--file", args.file, "a file, which is overwritten; stdout if not given");
  command->add_option("--format", args.format, "json: an object on each line; or csv (json)")
      ->check(CLI::IsMember({"json", "csv"}));
  command
      ->add_option("--body", args.body,
                   "text, base64, or auto: as text if it is UTF-8, else as base64 (auto)")
      ->check(CLI::IsMember({"auto", "text", "base64"}));
  command->add_option("-c,--clusterName,--cluster", args.cluster,
                      "all broker groups of this cluster");
  command->add_option("-b,--brokerAddr", args.broker, "the group of the broker at this address");
  command->callback([line] {
    if (line->json && args.format == "csv") {
      return line->Fail(absl::InvalidArgumentError("--json and --format csv: expected one"),
                        kExitUsage);
    }
    Export(line, args).Run();
  });
}

void AddRedriveOptions(CLI::App* redrive, RedriveArguments* args, bool* dry_run) {
  redrive->add_option("--rate", args->rate, "messages a second (100); 0: as fast as it goes");
  redrive->add_option("--count", args->count, "stop after so many");
  redrive->add_flag("--dryRun", *dry_run, "only show what would be sent");
  redrive->add_flag("--list", args->list, "show each message that was sent");
  redrive->add_option("-c,--clusterName,--cluster", args->cluster,
                      "all broker groups of this cluster");
  redrive->add_option("-b,--brokerAddr", args->broker, "the group of the broker at this address");
}

void AddResume(CLI::App* app, CommandLine* line) {
  static RedriveArguments args;
  static bool dry_run = false;
  CLI::App* resume = line->AddCommand(
      app, "resumeTransactions",
      "Has the producers of transactions that were given up asked again, each once",
      "resumeTransactions --dryRun\n  mqadmin resumeTransactions -t orders --rate 50");
  AddLetterFilter(resume, &args.request);
  AddRedriveOptions(resume, &args, &dry_run);
  resume->callback([line] {
    args.request.set_dry_run(dry_run);
    Redrive(line, args).Run();
  });
}

void AddRedrive(CLI::App* app, CommandLine* line) {
  static RedriveArguments args;
  static bool dry_run = false;
  CLI::App* redrive = line->AddCommand(
      app, "redriveDeadLetters", "Sends a group's dead letters back to their topics, each once",
      "redriveDeadLetters -g billing --dryRun\n  mqadmin redriveDeadLetters -g billing -t orders "
      "--rate 50\n  mqadmin redriveDeadLetters -g billing --sql \"amount > 100\"");
  AddDeadLetterFilter(redrive, &args.request);
  AddRedriveOptions(redrive, &args, &dry_run);
  redrive->callback([line] {
    args.request.set_dry_run(dry_run);
    Redrive(line, args).Run();
  });
}

}  // namespace

void AddDeadLetterCommands(CLI::App* app, CommandLine* line) {
  AddRedrive(app, line);
  AddExport(app, line);
  AddResume(app, line);
}

}  // namespace raftmq::mqadmin
