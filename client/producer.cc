#include "client/producer.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/strings.h"
#include "client/await_answer.h"
#include "client/grpc_producer.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;

// Pause before a try that follows an overloaded or leaderless broker.
constexpr int64_t kBusyPauseNanos = 20'000'000;
// Of all bodies of one send; a broker takes calls of 32 MiB.
constexpr int64_t kMaxBatchBytes = 28 << 20;
// Says which queue was chosen; the public protocol has no field that brokers honour.
constexpr char kQueueIdHeader[] = "x-raftmq-queue-id";
constexpr char kAckLevelHeader[] = "x-raftmq-ack-level";

std::string NameOf(AckLevel level) {
  for (const auto& [known, name] : kAckLevelNames) {
    if (known == level) return std::string(name);
  }
  return "";
}

std::vector<Message> One(Message message) {
  std::vector<Message> one;
  one.push_back(std::move(message));
  return one;
}

// RocketMQ's rule; a NameServer would only say that it knows no such topic.
absl::Status CheckTopicName(const std::string& topic) {
  if (topic.empty())
    return absl::InvalidArgumentError("a message without a topic: set Message::topic");
  const bool of_a_group = topic[0] == '%';  // %RETRY%…, %DLQ%…
  const size_t max_length = of_a_group ? 255 : 127;
  const bool legal = std::all_of(topic.begin(), topic.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '%' || c == '|';
  });
  if (legal && topic.size() <= max_length) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("topic \"", topic.substr(0, 300), "\": expected 1 to ",
                                           max_length, " letters, digits, '_', '-', '%' and '|'"));
}

// Whether a broker may have stored the message although it did not say so.
bool MayBeStored(const absl::Status& status) {
  return IsRetriable(status) && !absl::IsResourceExhausted(status);
}

// Of a group's addresses the leader's, which is first, unless that is the one that has just failed:
// then another member, which forwards or waits for a new leader.
const std::string& AddressFor(const BrokerRoute& broker, const std::string& failed, int attempts) {
  const std::vector<std::string>& all = broker.addresses;
  if (all[0] != failed) return all[0];
  size_t i = static_cast<size_t>(attempts) % all.size();
  if (all[i] == failed) i = (i + 1) % all.size();
  return all[i];
}

// What the answer says in its headers, if it differs from what goes without saying: the level that
// was reached, and the queues, if a try before was stored in others.
void ReadHeaders(const grpc::ClientContext& context, std::vector<SendReceipt>* receipts) {
  const auto& headers = context.GetServerInitialMetadata();
  if (const auto level = headers.find(kAckLevelHeader); level != headers.end()) {
    const std::string_view text(level->second.data(), level->second.size());
    for (const auto& [known, name] : kAckLevelNames) {
      if (name != text) continue;
      for (SendReceipt& receipt : *receipts) receipt.ack_level = known;
    }
  }
  const auto queues = headers.find(kQueueIdHeader);
  if (queues == headers.end()) return;
  const std::vector<std::string> ids =
      absl::StrSplit(absl::string_view(queues->second.data(), queues->second.size()), ',');
  for (size_t i = 0; i < ids.size() && i < receipts->size(); ++i) {
    int32_t id = 0;
    if (absl::SimpleAtoi(ids[i], &id)) (*receipts)[i].queue = QueueId(id);
  }
}

}  // namespace

absl::Status Producer::Impl::Check(const std::vector<Message>& messages) const {
  if (messages.empty())
    return absl::InvalidArgumentError("no message to send: expected one at least");
  int64_t bytes = 0;
  for (const Message& message : messages) {
    RAFTMQ_RETURN_IF_ERROR(CheckTopicName(message.topic));
    if (message.ack_level != messages[0].ack_level) {
      return absl::InvalidArgumentError(
          StrCat("messages of one batch for topic ", message.topic,
                 " have different ack levels: give all the same, or send them apart"));
    }
    if (message.topic != messages[0].topic || message.message_group != messages[0].message_group) {
      return absl::InvalidArgumentError(
          StrCat("a batch of topics ", messages[0].topic, " and ", message.topic,
                 ", message groups \"", messages[0].message_group, "\" and \"",
                 message.message_group, "\": a batch is of one topic and one message group"));
    }
    if (message.delay_level < 0 || (message.delay_level > 0 && message.deliver_ms.has_value())) {
      return absl::InvalidArgumentError(
          StrCat("a message of topic ", message.topic, " has delay level ", message.delay_level,
                 message.deliver_ms.has_value() ? " and a time of delivery: give one of them"
                                                : ": expected a level of the brokers' "
                                                  "messageDelayLevel, or 0 for none"));
    }
    const auto size = static_cast<int64_t>(message.body.size());
    if (size > options.maxMessageSize) {
      return absl::InvalidArgumentError(
          StrCat("a message of topic ", message.topic, " has a body of ", size, " bytes, at most ",
                 options.maxMessageSize,
                 " are allowed: split it, or raise maxMessageSize here and at the brokers"));
    }
    bytes += size;
  }
  if (bytes > kMaxBatchBytes) {
    return absl::InvalidArgumentError(StrCat("a batch for topic ", messages[0].topic, " has ",
                                             bytes, " bytes of bodies, at most ", kMaxBatchBytes,
                                             " are allowed: split it"));
  }
  return absl::OkStatus();
}

bool Producer::Impl::HasRoom(Mode mode, int64_t body_bytes) const {
  const bool count_fits = mode == Mode::kOneway
                              ? oneway_under_way < options.clientOnewaySemaphoreValue
                              : async_under_way < options.backPressureForAsyncSendNum;
  // One that is larger than the whole bound goes alone.
  return count_fits && (unwaited_bytes == 0 ||
                        unwaited_bytes + body_bytes <= options.backPressureForAsyncSendSize);
}

absl::Status Producer::Impl::Admit(Mode mode, int64_t body_bytes) {
  absl::MutexLock lock(&mu);
  if (mode != Mode::kSync) {
    const auto has_room = [this, mode, body_bytes]()
                              ABSL_NO_THREAD_SAFETY_ANALYSIS { return HasRoom(mode, body_bytes); };
    const bool wait = mode == Mode::kAsync && options.enableBackpressureForAsyncMode;
    const bool admitted = wait ? mu.AwaitWithTimeout(absl::Condition(&has_room),
                                                     absl::Milliseconds(options.sendMsgTimeout))
                               : HasRoom(mode, body_bytes);
    if (!admitted) {
      return absl::ResourceExhaustedError(StrCat(
          async_under_way, " asynchronous and ", oneway_under_way, " one-way sends of ",
          unwaited_bytes, " bytes are under way: wait for some to end, or raise ",
          mode == Mode::kOneway ? "clientOnewaySemaphoreValue" : "backPressureForAsyncSendNum",
          " or backPressureForAsyncSendSize"));
    }
    ++(mode == Mode::kOneway ? oneway_under_way : async_under_way);
    unwaited_bytes += body_bytes;
  }
  ++under_way;
  return absl::OkStatus();
}

void Producer::Impl::Begin(Mode mode, std::vector<Message> messages,
                           std::optional<MessageQueue> queue, SendCallback done, bool half) {
  auto call = std::make_shared<Call>();
  call->mode = mode;
  call->tries = 1 + std::max(0, mode == Mode::kSync    ? options.retryTimesWhenSendFailed
                                : mode == Mode::kAsync ? options.retryTimesWhenSendAsyncFailed
                                                       : 0);
  call->topic = messages[0].topic;
  call->message_group = messages[0].message_group;
  call->has_priority = messages[0].priority.has_value();
  call->fixed_queue = std::move(queue);
  call->ack_level = messages[0].ack_level ? messages[0].ack_level : options.ackLevel;
  call->deadline_ms = SystemClock()->MonotonicMillis() + options.sendMsgTimeout;
  call->done = std::move(done);
  const int64_t now = SystemClock()->WallMillis();
  for (Message& message : messages) {
    call->body_bytes += static_cast<int64_t>(message.body.size());
    v2::Message* const out = call->request.add_messages();
    FillMessage(std::move(message), ids.Next(), now,
                {options.compressMsgBodyOverHowmuch, options.compressLevel}, out);
    if (half) out->mutable_system_properties()->set_message_type(v2::TRANSACTION);
  }
  Try(std::move(call));
}

void Producer::Impl::Try(CallPtr call) {
  // Copied: the call may be gone before Find has returned.
  const std::string topic = call->topic;
  instance->routes()->Find(
      topic, [this, call = std::move(call)](absl::StatusOr<RouteCache::Route> route) mutable {
        if (!route.ok()) return RetryOrFail(std::move(call), route.status());
        SendTo(std::move(call), **route);
      });
}

std::optional<QueueChoice::Chosen> Producer::Impl::Choose(const Call& call,
                                                          const TopicRoute& route) {
  if (call.fixed_queue) {
    const BrokerRoute* broker = route.Find(call.fixed_queue->broker_name);
    if (broker == nullptr || broker->addresses.empty()) return std::nullopt;
    return QueueChoice::Chosen{broker, call.fixed_queue->queue.value()};
  }
  if (!call.message_group.empty()) return QueueChoice::ForMessageGroup(route, call.message_group);
  return choice.Next(route, call.broker_name);
}

void Producer::Impl::SendTo(CallPtr call, const TopicRoute& route) {
  const int64_t now_ms = SystemClock()->MonotonicMillis();
  const int64_t left_ms = call->deadline_ms - now_ms;
  if (left_ms <= 0) {
    return Finish(*call, Explain(*call, absl::DeadlineExceededError(StrCat(
                                            "not answered within ", options.sendMsgTimeout,
                                            " ms over ", call->attempts,
                                            " tries: look whether the brokers serve (mqadmin "
                                            "clusterList), or raise sendMsgTimeout"))));
  }
  const auto chosen = Choose(*call, route);
  if (!chosen) {
    return RetryOrFail(
        std::move(call),
        call->fixed_queue
            ? absl::UnavailableError(
                  StrCat("broker ", call->fixed_queue->broker_name,
                         " is not in the topic's route: it is down, or does not serve the topic "
                         "any more; ask FetchPublishMessageQueues again"))
            : NoQueue(call->topic, "writable"));
  }
  const BrokerRoute& broker = *chosen->broker;
  call->address = AddressFor(broker, call->failed_address, call->attempts);
  call->broker_name = broker.name;
  call->queue = call->has_priority ? std::nullopt : chosen->queue;
  call->try_began_ms = now_ms;
  ++call->attempts;

  call->response.Clear();
  call->context = std::make_unique<grpc::ClientContext>();
  // A later try must still fit in the time that is left.
  const int tries_left = std::max(1, call->tries + 1 - call->attempts);
  instance->Prepare(call->context.get(), std::max<int64_t>(left_ms / tries_left, 1));
  if (call->queue) call->context->AddMetadata(kQueueIdHeader, absl::StrCat(*call->queue));
  if (call->ack_level) {
    call->context->AddMetadata(kAckLevelHeader, NameOf(*call->ack_level));
  }
  Call& c = *call;
  CallQueue* const calls = instance->calls();
  calls->Start(instance->StubAt(c.address)->PrepareAsyncSendMessage(c.context.get(), c.request,
                                                                    calls->queue()),
               &c.response, [this, call](const grpc::Status& status) { OnAnswer(call, status); });
}

void Producer::Impl::OnAnswer(CallPtr call, const grpc::Status& status) {
  const v2::Status& said = call->response.status();
  absl::Status outcome = status.ok() ? FromV2(said) : FromGrpc(status, call->address);
  // The topic has fewer queues now than the route said.
  if (status.ok() && said.code() == v2::NOT_FOUND && call->queue && !call->fixed_queue) {
    outcome = absl::ResourceExhaustedError(said.message());
  }
  if (outcome.ok() && call->response.entries_size() != call->request.messages_size()) {
    outcome = absl::InternalError(StrCat(call->address, " answered ", call->response.entries_size(),
                                         " of ", call->request.messages_size(),
                                         " messages: expected one answer each"));
  }
  for (const v2::SendResultEntry& entry : call->response.entries()) {
    if (outcome.ok()) outcome = FromV2(entry.status());
  }
  if (!outcome.ok()) return RetryOrFail(std::move(call), std::move(outcome));
  faults.OnAnswer(call->broker_name, SystemClock()->MonotonicMillis() - call->try_began_ms);
  std::vector<SendReceipt> receipts;
  receipts.reserve(call->response.entries_size());
  for (const v2::SendResultEntry& entry : call->response.entries()) {
    SendReceipt& receipt = receipts.emplace_back();
    receipt.message_id = entry.message_id();
    receipt.broker_name = call->broker_name;
    if (call->queue) receipt.queue = QueueId(*call->queue);
    receipt.offset = QueueOffset(entry.offset());
    receipt.attempts = call->attempts;
    receipt.recall_handle = entry.recall_handle();
    receipt.transaction_id = entry.transaction_id();
  }
  ReadHeaders(*call->context, &receipts);
  Finish(*call, std::move(receipts));
}

void Producer::Impl::RetryOrFail(CallPtr call, absl::Status failure) {
  if (IsRetriable(failure)) {
    if (!call->address.empty()) {
      faults.OnFailure(call->broker_name);
      call->may_be_stored = call->may_be_stored || MayBeStored(failure);
    }
    instance->routes()->Doubt(call->topic);
  }
  // A route that could not be had was a try too.
  if (call->address.empty()) ++call->attempts;
  const int64_t left_ms = call->deadline_ms - SystemClock()->MonotonicMillis();
  if (!IsRetriable(failure) || call->attempts >= call->tries ||
      left_ms * 1'000'000 <= kBusyPauseNanos) {
    return Finish(*call, Explain(*call, failure));
  }
  if (!call->address.empty()) call->failed_address = std::exchange(call->address, {});
  instance->timers()->RunAfter(kBusyPauseNanos, [this, call]() mutable { Try(std::move(call)); });
}

absl::Status Producer::Impl::Explain(const Call& call, const absl::Status& failure) const {
  const std::string& id = call.request.messages(0).system_properties().message_id();
  std::string text = StrCat("message ", id,
                            call.request.messages_size() > 1
                                ? StrCat(" and ", call.request.messages_size() - 1, " more")
                                : std::string(),
                            " of topic ", call.topic, ": ", raftmq::Message(failure));
  absl::StatusCode code = failure.code();
  if (call.may_be_stored) {
    text += StrCat(
        "; an earlier answer is missing, so it may have been stored: mqadmin "
        "queryMsgByUniqueKey -t ",
        call.topic, " -i ", id, " tells");
    if (!MayBeStored(failure)) code = absl::StatusCode::kUnknown;
  } else if (absl::IsNotFound(failure) && !call.fixed_queue) {
    text += StrCat("; mqadmin updateTopic -t ", call.topic, " creates it");
  }
  return absl::Status(code, text);
}

void Producer::Impl::Finish(Call& call, absl::StatusOr<std::vector<SendReceipt>> result) {
  SendCallback done = std::move(call.done);
  const bool oneway = call.mode == Mode::kOneway;
  // Before `done`, which may well send the next message at once.
  Release(call.mode, call.body_bytes);
  if (!oneway) done(std::move(result));
}

// Nothing of the producer is used after this: its destructor may be waiting for it.
void Producer::Impl::Release(Mode mode, int64_t body_bytes) {
  absl::MutexLock lock(&mu);
  --under_way;
  if (mode == Mode::kSync) return;
  --(mode == Mode::kOneway ? oneway_under_way : async_under_way);
  unwaited_bytes -= body_bytes;
}

absl::StatusOr<std::vector<SendReceipt>> Producer::Impl::SendAndWait(
    std::vector<Message> messages, std::optional<MessageQueue> queue, bool half) {
  RAFTMQ_RETURN_IF_ERROR(Check(messages));
  RAFTMQ_RETURN_IF_ERROR(Admit(Mode::kSync, 0));
  return AwaitAnswer<absl::StatusOr<std::vector<SendReceipt>>>([&](auto done) {
    Begin(Mode::kSync, std::move(messages), std::move(queue), std::move(done), half);
  });
}

absl::StatusOr<std::unique_ptr<Producer>> Producer::Start(ProducerOptions options) {
  ClientInstanceOptions client;
  client.namesrvAddr = options.namesrvAddr;
  client.tls = options.tls;
  client.pollNameServerInterval = options.pollNameServerInterval;
  client.heartbeatBrokerInterval = options.heartbeatBrokerInterval;
  client.type = v2::PRODUCER;
  if (options.sendMsgTimeout < 1) {
    return absl::InvalidArgumentError(
        StrCat("sendMsgTimeout ", options.sendMsgTimeout, ": expected milliseconds, 1 at least"));
  }
  if (options.compressLevel < 1 || options.compressLevel > 9 || options.checkRequestHoldMax < 1 ||
      options.maxRequestsUnderWay < 1) {
    return absl::InvalidArgumentError(
        StrCat("compressLevel ", options.compressLevel, ", checkRequestHoldMax ",
               options.checkRequestHoldMax, ", maxRequestsUnderWay ", options.maxRequestsUnderWay,
               ": expected 1 to 9 for the first, 1 at least for the others"));
  }
  if (!options.topics.empty() && options.transactionListener == nullptr) {
    return absl::InvalidArgumentError(
        StrCat("topics names ", options.topics[0],
               ", whose transactions this producer is to be asked about, but there is no "
               "transactionListener: set both or none"));
  }
  RAFTMQ_ASSIGN_OR_RETURN(auto instance, ClientInstance::Start(std::move(client)));
  auto impl = std::make_unique<Impl>(std::move(options), std::move(instance));
  if (impl->transactions != nullptr) {
    for (const std::string& topic : impl->options.topics) impl->transactions->Publish(topic);
  }
  return std::unique_ptr<Producer>(new Producer(std::move(impl)));
}

Producer::Producer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Producer::~Producer() = default;

Producer::Impl::Impl(ProducerOptions o, std::unique_ptr<ClientInstance> client)
    : options(std::move(o)),
      owned_instance(std::move(client)),
      instance(owned_instance.get()),
      faults(options.fault, SystemClock()),
      choice(&faults, static_cast<uint32_t>(Random::FromEntropy().Next())),
      ids(MessageIdGenerator::ForThisProcess(SystemClock())),
      calls(instance, "", options.sendMsgTimeout),
      requests(options.maxRequestsUnderWay, instance) {
  if (options.transactionListener != nullptr) {
    transactions = std::make_unique<TransactionChecks>(
        options.transactionListener.get(), options.checkRequestHoldMax, instance, &calls);
  }
}

Producer::Impl::~Impl() {
  // What waits for a reply first: it may be about to send.
  requests.Close();
  {
    absl::MutexLock lock(&mu);
    mu.Await(absl::Condition(
        +[](int* n) { return *n == 0; }, &under_way));
  }
  if (transactions != nullptr) transactions->Close();
  calls.Close();
  owned_instance.reset();  // no task or answer comes after this
}

absl::StatusOr<SendReceipt> Producer::Send(Message message) {
  RAFTMQ_ASSIGN_OR_RETURN(auto receipts, SendBatch(One(std::move(message))));
  return receipts[0];
}

absl::StatusOr<std::vector<SendReceipt>> Producer::SendBatch(std::vector<Message> messages) {
  return impl_->SendAndWait(std::move(messages), std::nullopt);
}

}  // namespace raftmq::client
