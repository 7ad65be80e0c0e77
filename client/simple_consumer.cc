#include "client/simple_consumer.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/strings.h"
#include "client/grpc_client_instance.h"
#include "client/message_conversion.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;
using google::protobuf::util::TimeUtil;

// How long one of several broker groups is waited for before the next is asked.
constexpr int64_t kAwaitOneOfManyMs = 500;

}  // namespace

struct SimpleConsumer::Impl {
  Impl(SimpleConsumerOptions o, std::unique_ptr<ClientInstance> client)
      : options(std::move(o)), instance(std::move(client)) {}

  // Where to ask next.
  struct Target {
    std::string broker;
    std::string address;
    bool only = true;  // no other broker group has the topic
  };
  absl::StatusOr<Target> NextTarget();
  absl::StatusOr<std::vector<ReceivedMessage>> ReceiveFrom(const Target& target, int max_messages,
                                                           int64_t await_ms);
  // Where a message came from first, then the members of its group as the route has them.
  std::vector<std::string> AddressesFor(const ReceivedMessage& message);
  absl::Status AckAt(const std::string& address,
                     const std::vector<const ReceivedMessage*>& messages,
                     std::vector<absl::Status>* results);

  const SimpleConsumerOptions options;
  const std::unique_ptr<ClientInstance> instance;
  absl::Mutex mu;
  size_t group_turn ABSL_GUARDED_BY(mu) = 0;
  std::map<std::string, size_t> failures ABSL_GUARDED_BY(mu);  // by broker group
};

absl::StatusOr<SimpleConsumer::Impl::Target> SimpleConsumer::Impl::NextTarget() {
  RAFTMQ_ASSIGN_OR_RETURN(const RouteCache::Route route,
                          instance->routes()->FindBlocking(options.topic));
  std::vector<const BrokerRoute*> readable;
  for (const BrokerRoute& b : route->brokers) {
    if (!b.readable_queues.empty() && !b.addresses.empty()) readable.push_back(&b);
  }
  if (readable.empty()) {
    return NoQueue(options.topic, "readable");
  }
  absl::MutexLock lock(&mu);
  const BrokerRoute& chosen = *readable[group_turn++ % readable.size()];
  return Target{chosen.name, chosen.addresses[failures[chosen.name] % chosen.addresses.size()],
                readable.size() == 1};
}

absl::StatusOr<std::unique_ptr<SimpleConsumer>> SimpleConsumer::Start(
    SimpleConsumerOptions options) {
  if (options.consumerGroup.empty())
    return absl::InvalidArgumentError("no consumer group given: set consumerGroup");
  if (options.topic.empty()) return absl::InvalidArgumentError("no topic given: set topic");
  ClientInstanceOptions client;
  client.namesrvAddr = options.namesrvAddr;
  client.tls = options.tls;
  client.pollNameServerInterval = options.pollNameServerInterval;
  client.heartbeatBrokerInterval = options.heartbeatBrokerInterval;
  client.type = v2::SIMPLE_CONSUMER;
  client.consumerGroup = options.consumerGroup;
  RAFTMQ_ASSIGN_OR_RETURN(auto instance, ClientInstance::Start(std::move(client)));
  return std::unique_ptr<SimpleConsumer>(
      new SimpleConsumer(std::make_unique<Impl>(std::move(options), std::move(instance))));
}

SimpleConsumer::SimpleConsumer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SimpleConsumer::~SimpleConsumer() = default;

absl::StatusOr<std::vector<ReceivedMessage>> SimpleConsumer::Receive(int max_messages) {
  const int64_t give_up_ms = SystemClock()->MonotonicMillis() + impl_->options.awaitDuration;
  for (;;) {
    RAFTMQ_ASSIGN_OR_RETURN(const Impl::Target target, impl_->NextTarget());
    const int64_t left_ms = std::max<int64_t>(0, give_up_ms - SystemClock()->MonotonicMillis());
    // One group waits as long as it may; of several each waits shortly, or messages of one would
    // lie while another is asked.
    const int64_t await_ms = target.only ? left_ms : std::min(left_ms, kAwaitOneOfManyMs);
    RAFTMQ_ASSIGN_OR_RETURN(auto messages, impl_->ReceiveFrom(target, max_messages, await_ms));
    if (!messages.empty() || SystemClock()->MonotonicMillis() >= give_up_ms) return messages;
  }
}

absl::StatusOr<std::vector<ReceivedMessage>> SimpleConsumer::Impl::ReceiveFrom(const Target& target,
                                                                               int max_messages,
                                                                               int64_t await_ms) {
  v2::ReceiveMessageRequest request;
  request.mutable_group()->set_name(options.consumerGroup);
  v2::MessageQueue* queue = request.mutable_message_queue();
  queue->mutable_topic()->set_name(options.topic);
  queue->set_id(-1);
  queue->mutable_broker()->set_name(target.broker);
  *request.mutable_filter_expression() = ToFilterExpression(options.subExpression);
  request.set_batch_size(max_messages);
  *request.mutable_invisible_duration() =
      TimeUtil::MillisecondsToDuration(options.invisibleDuration);
  *request.mutable_long_polling_timeout() = TimeUtil::MillisecondsToDuration(await_ms);

  grpc::ClientContext context;
  instance->Prepare(&context, await_ms + options.requestTimeout);
  auto stream = instance->StubAt(target.address)->ReceiveMessage(&context, request);
  std::vector<ReceivedMessage> messages;
  absl::Status outcome = absl::InternalError(StrCat(
      target.address, " ended a receive without a status: it may be stopping; receive again"));
  v2::ReceiveMessageResponse response;
  while (stream->Read(&response)) {
    if (response.has_status()) {
      outcome = response.status().code() == v2::MESSAGE_NOT_FOUND ? absl::OkStatus()
                                                                  : FromV2(response.status());
    } else if (response.has_message()) {
      messages.push_back(
          ToReceivedMessage(std::move(*response.mutable_message()), target.broker, target.address));
    }
  }
  const grpc::Status end = stream->Finish();
  if (!end.ok()) outcome = FromGrpc(end, target.address);
  // What arrived is leased to us: it is handed out even if the stream broke after it.
  if (!messages.empty() || outcome.ok()) return messages;
  instance->routes()->Doubt(options.topic);
  {
    absl::MutexLock lock(&mu);
    ++failures[target.broker];
  }
  return outcome;
}

std::vector<std::string> SimpleConsumer::Impl::AddressesFor(const ReceivedMessage& message) {
  std::vector<std::string> addresses = {message.endpoint};
  if (auto route = instance->routes()->FindBlocking(options.topic); route.ok()) {
    if (const BrokerRoute* broker = (*route)->Find(message.broker_name); broker != nullptr) {
      for (const std::string& address : broker->addresses) {
        if (address != message.endpoint) addresses.push_back(address);
      }
    }
  }
  return addresses;
}

absl::Status SimpleConsumer::Impl::AckAt(const std::string& address,
                                         const std::vector<const ReceivedMessage*>& messages,
                                         std::vector<absl::Status>* results) {
  v2::AckMessageRequest request;
  request.mutable_group()->set_name(options.consumerGroup);
  request.mutable_topic()->set_name(options.topic);
  for (const ReceivedMessage* message : messages) {
    v2::AckMessageEntry* entry = request.add_entries();
    entry->set_message_id(message->message_id);
    entry->set_receipt_handle(message->receipt_handle);
  }
  grpc::ClientContext context;
  instance->Prepare(&context, options.requestTimeout);
  v2::AckMessageResponse response;
  const grpc::Status status = instance->StubAt(address)->AckMessage(&context, request, &response);
  if (!status.ok()) return FromGrpc(status, address);
  if (response.entries_size() != request.entries_size()) {
    absl::Status refused = FromV2(response.status());
    if (!refused.ok()) return refused;
    return absl::InternalError(
        StrCat(address, " answered ", response.entries_size(), " of ", request.entries_size(),
               " acks: expected one answer each; what is not acked comes again"));
  }
  for (const v2::AckMessageResultEntry& entry : response.entries()) {
    results->push_back(FromV2(entry.status()));
  }
  return absl::OkStatus();
}

std::vector<absl::Status> SimpleConsumer::Ack(const std::vector<ReceivedMessage>& messages) {
  std::vector<absl::Status> results(messages.size());
  // One call for each broker group; each message belongs to the group it came from.
  std::map<std::string, std::vector<size_t>> by_broker;
  for (size_t i = 0; i < messages.size(); ++i) by_broker[messages[i].broker_name].push_back(i);
  for (const auto& [broker, indexes] : by_broker) {
    std::vector<const ReceivedMessage*> part;
    for (size_t i : indexes) part.push_back(&messages[i]);
    std::vector<absl::Status> answers;
    absl::Status failure;
    for (const std::string& address : impl_->AddressesFor(*part[0])) {
      answers.clear();
      failure = impl_->AckAt(address, part, &answers);
      if (failure.ok() || !IsRetriable(failure)) break;
      impl_->instance->routes()->Doubt(impl_->options.topic);
    }
    for (size_t i = 0; i < indexes.size(); ++i) {
      results[indexes[i]] = failure.ok() ? answers[i] : failure;
    }
  }
  return results;
}

absl::Status SimpleConsumer::ChangeInvisibleDuration(ReceivedMessage* message,
                                                     int64_t invisible_ms) {
  v2::ChangeInvisibleDurationRequest request;
  request.mutable_group()->set_name(impl_->options.consumerGroup);
  request.mutable_topic()->set_name(impl_->options.topic);
  request.set_receipt_handle(message->receipt_handle);
  request.set_message_id(message->message_id);
  *request.mutable_invisible_duration() = TimeUtil::MillisecondsToDuration(invisible_ms);
  absl::Status failure;
  for (const std::string& address : impl_->AddressesFor(*message)) {
    grpc::ClientContext context;
    impl_->instance->Prepare(&context, impl_->options.requestTimeout);
    v2::ChangeInvisibleDurationResponse response;
    const grpc::Status status =
        impl_->instance->StubAt(address)->ChangeInvisibleDuration(&context, request, &response);
    failure = status.ok() ? FromV2(response.status()) : FromGrpc(status, address);
    if (failure.ok()) {
      message->receipt_handle = response.receipt_handle();
      return failure;
    }
    if (!IsRetriable(failure)) return failure;
    impl_->instance->routes()->Doubt(impl_->options.topic);
  }
  return failure;
}

}  // namespace raftmq::client
