// sendMessage, produce and consume: messages from the command line, from stdin and to stdout.

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/strings.h"
#include "client/mqadmin/commands.h"
#include "client/mqadmin/rocketmq_flags.h"
#include "client/producer.h"
#include "client/simple_consumer.h"

namespace raftmq::mqadmin {
namespace {

using client::Message;
using client::Producer;
using client::ReceivedMessage;
using client::SendReceipt;

struct PipeArguments {
  std::string topic;
  std::string group;
  std::string body;
  std::string tag;
  std::string keys;
  std::string broker_name;
  std::optional<int32_t> queue;
  std::string subscription = "*";
  int64_t count = 0;    // 0: no limit
  int64_t idle_ms = 0;  // 0: for ever
  int64_t give_up_ms = 60'000;
  int64_t invisible_ms = 10'000;
  int in_flight = 256;
  int batch = 1;
};

// To the queue or the broker that the command line names, else wherever.
absl::StatusOr<SendReceipt> SendWhereTold(Producer* producer, const PipeArguments& args,
                                          Message message) {
  if (args.broker_name.empty()) return producer->Send(std::move(message));
  RAFTMQ_ASSIGN_OR_RETURN(const auto queues, producer->FetchPublishMessageQueues(args.topic));
  for (const client::MessageQueue& queue : queues) {
    if (queue.broker_name != args.broker_name) continue;
    if (args.queue.has_value() && queue.queue.value() != *args.queue) continue;
    return producer->SendToQueue(std::move(message), queue);
  }
  return absl::NotFoundError(StrCat(
      "topic ", args.topic, " has no ",
      args.queue.has_value() ? StrCat("queue ", *args.queue, " that takes messages")
                             : std::string("queue that takes messages"),
      " at broker ", args.broker_name, "; topicRoute -t ", args.topic, " shows where it has"));
}

void SendMessage(CommandLine* line, const PipeArguments& args) {
  auto producer = Producer::Start(line->producer_options());
  if (!producer.ok()) return line->Fail(producer.status(), kExitUsage);
  Message message;
  message.topic = args.topic;
  message.body = args.body;
  message.tag = args.tag;
  if (!args.keys.empty()) message.keys = CLI::detail::split(args.keys, ' ');
  auto receipt = SendWhereTold(producer->get(), args, std::move(message));
  if (!receipt.ok()) return line->Fail(receipt.status());
  Report report({"Broker", "Queue", "Offset", "Message Id", "Attempts", "Result"});
  report.AddRow({receipt->broker_name,
                 receipt->queue.has_value() ? int64_t{receipt->queue->value()} : int64_t{-1},
                 receipt->offset.value(), receipt->message_id, int64_t{receipt->attempts},
                 std::string("SEND_OK")});
  line->Print(report);
}

// Reads lines and keeps a bounded number of sends under way. A batch that fails is sent again until
// it is stored or `give_up_ms` have passed, so that a leader's death costs a pause, not the run. A
// retry after an unknown outcome may store a line twice; the summary says how many were retried.
class LineProducer {
 public:
  LineProducer(Producer* producer, const PipeArguments& args) : producer_(producer), args_(args) {}

  // Blocks while too much is under way.
  void Add(std::string line) {
    batch_.push_back(std::move(line));
    if (static_cast<int>(batch_.size()) >= args_.batch) Flush();
  }

  void Flush() {
    if (batch_.empty()) return;
    auto lines = std::make_shared<std::vector<std::string>>(std::exchange(batch_, {}));
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &LineProducer::HasRoom));
      ++under_way_;
    }
    Send(std::move(lines), SystemClock()->MonotonicMillis() + args_.give_up_ms);
  }

  void WaitUntilDone() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](int* n) { return *n == 0; }, &under_way_));
  }

  struct Counts {
    int64_t sent = 0;
    int64_t retried = 0;
    int64_t failed = 0;
    absl::Status first_failure;
  };
  Counts counts() {
    absl::MutexLock lock(&mu_);
    return counts_;
  }

 private:
  using Lines = std::shared_ptr<std::vector<std::string>>;

  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return under_way_ < args_.in_flight; }

  void Send(Lines lines, int64_t give_up_at) {
    std::vector<Message> messages;
    for (const std::string& line : *lines) {
      Message& message = messages.emplace_back();
      message.topic = args_.topic;
      message.body = line;
      message.tag = args_.tag;
    }
    producer_->SendAsync(std::move(messages),
                         [this, lines, give_up_at](absl::StatusOr<std::vector<SendReceipt>> r) {
                           OnDone(lines, give_up_at, r);
                         });
  }

  void OnDone(const Lines& lines, int64_t give_up_at,
              const absl::StatusOr<std::vector<SendReceipt>>& result) {
    const bool again =
        !result.ok() && IsPassing(result.status()) && SystemClock()->MonotonicMillis() < give_up_at;
    {
      absl::MutexLock lock(&mu_);
      if (result.ok()) {
        counts_.sent += static_cast<int64_t>(lines->size());
        for (const SendReceipt& receipt : *result) counts_.retried += receipt.attempts > 1;
      } else if (again) {
        counts_.retried += static_cast<int64_t>(lines->size());
      } else {
        counts_.failed += static_cast<int64_t>(lines->size());
        if (counts_.first_failure.ok()) counts_.first_failure = result.status();
      }
      if (!again) --under_way_;
    }
    // Not from the producer's callback thread, and not at once: the cluster may be electing.
    if (again)
      retries_.RunAfter(50'000'000, [this, lines, give_up_at] { Send(lines, give_up_at); });
  }

  static bool IsPassing(const absl::Status& status) {
    return !absl::IsInvalidArgument(status) && !absl::IsNotFound(status) &&
           !absl::IsPermissionDenied(status) && !absl::IsUnimplemented(status) &&
           !absl::IsUnauthenticated(status);
  }

  Producer* const producer_;
  const PipeArguments& args_;
  std::vector<std::string> batch_;
  absl::Mutex mu_;
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;
  Counts counts_ ABSL_GUARDED_BY(mu_);
  EventLoop retries_{"mq-retry"};
};

void Produce(CommandLine* line, const PipeArguments& args) {
  client::ProducerOptions options = line->producer_options();
  options.backPressureForAsyncSendNum = args.in_flight + 1;
  options.enableBackpressureForAsyncMode = true;
  auto producer = Producer::Start(options);
  if (!producer.ok()) return line->Fail(producer.status(), kExitUsage);
  const int64_t start = SystemClock()->MonotonicMillis();
  int64_t empty = 0;
  LineProducer::Counts counts;
  {
    LineProducer lines(producer->get(), args);
    const bool show_progress = ::isatty(STDERR_FILENO) != 0;
    std::string text;
    int64_t read = 0;
    while (std::getline(std::cin, text)) {
      if (text.empty()) {
        ++empty;
        continue;
      }
      lines.Add(std::move(text));
      if (++read % 10'000 == 0 && show_progress)
        std::cerr << "\r" << read << " lines" << std::flush;
    }
    lines.Flush();
    lines.WaitUntilDone();
    if (show_progress && read >= 10'000) std::cerr << "\r";
    counts = lines.counts();
  }
  const int64_t took = std::max<int64_t>(1, SystemClock()->MonotonicMillis() - start);
  Report report({"Topic", "Sent", "Retried", "Failed", "Empty Skipped", "Seconds", "Per Second"});
  report.AddRow({args.topic, counts.sent, counts.retried, counts.failed, empty,
                 static_cast<double>(took) / 1000, counts.sent * 1000 / took});
  // stdout stays free for pipelines; the summary is for the eyes.
  if (line->json) {
    report.PrintJson(std::cerr);
  } else {
    report.PrintTable(std::cerr);
  }
  if (counts.failed > 0) {
    line->Fail(Annotate(counts.first_failure, StrCat(counts.failed, " messages were not stored")),
               counts.sent > 0 ? kExitPartial : kExitFailed);
  }
}

void PrintMessage(const CommandLine& line, const ReceivedMessage& m) {
  if (!line.json) {
    std::cout << m.body << '\n';
    return;
  }
  nlohmann::ordered_json object = {{"topic", m.topic},
                                   {"broker", m.broker_name},
                                   {"queue", m.queue.value()},
                                   {"offset", m.offset.value()},
                                   {"message_id", m.message_id},
                                   {"attempt", m.delivery_attempt},
                                   {"tag", m.tag},
                                   {"keys", m.keys},
                                   {"properties", m.properties},
                                   {"born_ms", m.born_ms},
                                   {"store_ms", m.store_ms},
                                   {"body", m.body}};
  std::cout << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
            << '\n';
}

void Consume(CommandLine* line, const PipeArguments& args) {
  client::SimpleConsumerOptions options;
  options.namesrvAddr = line->namesrv_addr;
  options.tls = line->tls();
  options.consumerGroup = args.group;
  options.topic = args.topic;
  options.subExpression = args.subscription;
  options.requestTimeout = line->timeout_ms;
  options.invisibleDuration = args.invisible_ms;
  if (args.idle_ms > 0) options.awaitDuration = std::min<int64_t>(args.idle_ms, 5'000);
  auto consumer = client::SimpleConsumer::Start(options);
  if (!consumer.ok()) return line->Fail(consumer.status(), kExitUsage);

  int64_t printed = 0;
  int64_t redelivered = 0;
  int64_t failed_acks = 0;
  int64_t last_news = SystemClock()->MonotonicMillis();
  int64_t failing_since = 0;
  while (args.count == 0 || printed < args.count) {
    const int64_t now = SystemClock()->MonotonicMillis();
    if (args.idle_ms > 0 && now - last_news >= args.idle_ms) break;
    const int64_t wanted = args.count == 0 ? 32 : std::min<int64_t>(32, args.count - printed);
    auto messages = (*consumer)->Receive(static_cast<int>(wanted));
    if (!messages.ok()) {
      if (absl::IsNotFound(messages.status()) || absl::IsInvalidArgument(messages.status())) {
        return line->Fail(messages.status());
      }
      if (failing_since == 0) failing_since = now;
      if (now - failing_since >= args.give_up_ms) return line->Fail(messages.status());
      // A cluster that elects makes nobody idle.
      last_news = SystemClock()->MonotonicMillis();
      continue;
    }
    failing_since = 0;
    if (messages->empty()) continue;
    last_news = SystemClock()->MonotonicMillis();
    for (const ReceivedMessage& message : *messages) {
      PrintMessage(*line, message);
      redelivered += message.delivery_attempt > 1;
    }
    std::cout.flush();
    printed += static_cast<int64_t>(messages->size());
    // Printed first, acked then: a crash between the two prints a message twice, never loses one.
    for (const absl::Status& acked : (*consumer)->Ack(*messages)) failed_acks += !acked.ok();
  }
  Report report({"Topic", "Group", "Consumed", "Redelivered", "Failed Acks"});
  report.AddRow({args.topic, args.group, printed, redelivered, failed_acks});
  if (line->json) {
    report.PrintJson(std::cerr);
  } else {
    report.PrintTable(std::cerr);
  }
}

}  // namespace

void AddPipelineCommands(CLI::App* app, CommandLine* line) {
  static PipeArguments args;

  CLI::App* send = line->AddCommand(app, "sendMessage", "Sends one message",
                                    "sendMessage -t orders -p 'hello' -c TagA -k 'key1 key2'");
  send->add_option("-t,--topic", args.topic, "topic")->required();
  send->add_option("-p,--body", args.body, "body")->required();
  send->add_option("-c,--tags,--tag", args.tag, "tag");
  send->add_option("-k,--key", args.keys, "keys, separated by blanks");
  CLI::Option* broker =
      send->add_option("-b,--broker,--brokerName", args.broker_name, "to this broker, by its name");
  send->add_option("-i,--qid", args.queue, "to this queue of --broker")->needs(broker);
  AddWithoutEffect(send, "-m,--msgTraceEnable", "messages are not traced");
  send->callback([line] { SendMessage(line, args); });

  CLI::App* produce = line->AddCommand(app, "produce", "Sends each line of stdin as a message",
                                       "produce -t orders < orders.txt");
  produce->add_option("-t,--topic", args.topic, "topic")->required();
  produce->add_option("-c,--tag", args.tag, "tag");
  produce->add_option("--inFlight", args.in_flight, "sends under way at once (256)")
      ->check(CLI::Range(1, 10'000));
  produce->add_option("--batch", args.batch, "lines sent as one entry (1)")
      ->check(CLI::Range(1, 1024));
  produce->add_option("--giveUp", args.give_up_ms,
                      "milliseconds for which a line is tried again (60000)");
  produce->callback([line] { Produce(line, args); });

  CLI::App* consume = line->AddCommand(app, "consume", "Prints messages to stdout and acks them",
                                       "consume -t orders -g readers --count 100\n  mqadmin "
                                       "consume -t orders -g readers --idle 5000");
  consume->add_option("-t,--topic", args.topic, "topic")->required();
  consume->add_option("-g,--consumerGroup", args.group, "consumer group")->required();
  consume->add_option("-s,--subscription", args.subscription, "tags: 'a || b' (*)");
  consume->add_option("--count", args.count, "stop after so many messages");
  consume->add_option(
      "--idle", args.idle_ms,
      "stop after so many milliseconds without a message; what was on its way through "
      "a member that died comes again only after --invisible");
  consume
      ->add_option("--invisible", args.invisible_ms,
                   "milliseconds until a message that was not acked is given out again (10000)")
      ->check(CLI::Range(10'000, 43'200'000));
  consume->add_option("--giveUp", args.give_up_ms,
                      "milliseconds of failures in a row after which to stop (60000)");
  consume->callback([line] { Consume(line, args); });
}

}  // namespace raftmq::mqadmin
