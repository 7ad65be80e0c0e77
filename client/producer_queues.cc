// What a producer sends to a queue that its caller chose, and what nobody waits for.
#include <utility>

#include "base/strings.h"
#include "client/grpc_producer.h"
#include "client/user_code.h"

namespace raftmq::client {
namespace {

std::vector<Message> One(Message message) {
  std::vector<Message> one;
  one.push_back(std::move(message));
  return one;
}

absl::Status CheckQueue(const Message& message, const MessageQueue& queue) {
  if (queue.topic != message.topic) {
    return absl::InvalidArgumentError(StrCat("a message for topic ", message.topic,
                                             " and a queue of topic ", queue.topic,
                                             ": choose one of FetchPublishMessageQueues"));
  }
  if (message.message_group.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("message group \"", message.message_group,
             "\" and a chosen queue: the broker maps a message group to its queue; give one"));
}

absl::StatusOr<std::vector<MessageQueue>> WritableQueues(const std::string& topic,
                                                         const TopicRoute& route) {
  std::vector<MessageQueue> queues;
  for (const BrokerRoute& broker : route.brokers) {
    for (const int32_t id : broker.writable_queues) {
      queues.push_back({topic, broker.name, QueueId(id)});
    }
  }
  if (!queues.empty()) return queues;
  return NoQueue(topic, "writable");
}

// Which of them the caller's selector picks.
template <typename Selector>
absl::StatusOr<MessageQueue> Select(const std::vector<MessageQueue>& queues, const Message& message,
                                    Selector& select) {
  size_t index = 0;
  const absl::Status ran = RunUserCode([&] { index = select(queues, message); });
  if (!ran.ok()) {
    return Annotate(ran, StrCat("the selector of a queue of topic ", message.topic, " failed"));
  }
  if (index < queues.size()) return queues[index];
  return absl::InvalidArgumentError(StrCat("the selector chose queue ", index, " of the ",
                                           queues.size(), " of topic ", message.topic,
                                           ": expected an index below that"));
}

}  // namespace

// ---- With somebody who waits

absl::StatusOr<SendReceipt> Producer::SendToQueue(Message message, const MessageQueue& queue) {
  RAFTMQ_RETURN_IF_ERROR(CheckQueue(message, queue));
  RAFTMQ_ASSIGN_OR_RETURN(auto receipts, impl_->SendAndWait(One(std::move(message)), queue));
  return receipts[0];
}

absl::StatusOr<SendReceipt> Producer::Send(Message message, MessageQueueSelector select) {
  RAFTMQ_ASSIGN_OR_RETURN(const auto queues, FetchPublishMessageQueues(message.topic));
  RAFTMQ_ASSIGN_OR_RETURN(const MessageQueue queue, Select(queues, message, select));
  return SendToQueue(std::move(message), queue);
}

absl::StatusOr<std::vector<MessageQueue>> Producer::FetchPublishMessageQueues(
    const std::string& topic) {
  RAFTMQ_ASSIGN_OR_RETURN(const RouteCache::Route route,
                          impl_->instance->routes()->FindBlocking(topic));
  return WritableQueues(topic, *route);
}

// ---- Without

absl::Status Producer::Impl::BeginToQueue(Mode mode, Message message, const MessageQueue& queue,
                                          SendCallback& done) {
  std::vector<Message> one = One(std::move(message));
  RAFTMQ_RETURN_IF_ERROR(Check(one));
  RAFTMQ_RETURN_IF_ERROR(CheckQueue(one[0], queue));
  RAFTMQ_RETURN_IF_ERROR(Admit(mode, static_cast<int64_t>(one[0].body.size())));
  Begin(mode, std::move(one), queue, std::move(done));
  return absl::OkStatus();
}

absl::Status Producer::Impl::BeginSelecting(Mode mode, Message message, OwnedSelector select,
                                            SendCallback& done) {
  std::vector<Message> one = One(std::move(message));
  RAFTMQ_RETURN_IF_ERROR(Check(one));
  const auto bytes = static_cast<int64_t>(one[0].body.size());
  RAFTMQ_RETURN_IF_ERROR(Admit(mode, bytes));
  const std::string topic = one[0].topic;
  instance->routes()->Find(
      topic, [this, mode, topic, bytes, one = std::move(one), select = std::move(select),
              done = std::move(done)](absl::StatusOr<RouteCache::Route> route) mutable {
        const auto queue = [&]() -> absl::StatusOr<MessageQueue> {
          RAFTMQ_RETURN_IF_ERROR(route.status());
          RAFTMQ_ASSIGN_OR_RETURN(const auto queues, WritableQueues(topic, **route));
          RAFTMQ_ASSIGN_OR_RETURN(MessageQueue chosen, Select(queues, one[0], select));
          RAFTMQ_RETURN_IF_ERROR(CheckQueue(one[0], chosen));
          return chosen;
        }();
        if (queue.ok()) return Begin(mode, std::move(one), *queue, std::move(done));
        Release(mode, bytes);
        if (mode != Mode::kOneway) done(queue.status());
      });
  return absl::OkStatus();
}

void Producer::SendAsync(std::vector<Message> messages, SendCallback done) {
  done = LogWhatItThrows("the callback of an asynchronous send", std::move(done));
  absl::Status status = impl_->Check(messages);
  if (status.ok()) {
    int64_t bytes = 0;
    for (const Message& message : messages) bytes += static_cast<int64_t>(message.body.size());
    status = impl_->Admit(Impl::Mode::kAsync, bytes);
  }
  if (!status.ok()) return done(std::move(status));
  impl_->Begin(Impl::Mode::kAsync, std::move(messages), std::nullopt, std::move(done));
}

void Producer::SendToQueueAsync(Message message, const MessageQueue& queue, SendCallback done) {
  done = LogWhatItThrows("the callback of an asynchronous send", std::move(done));
  absl::Status status = impl_->BeginToQueue(Impl::Mode::kAsync, std::move(message), queue, done);
  if (!status.ok()) done(std::move(status));
}

void Producer::SendAsync(Message message, OwnedSelector select, SendCallback done) {
  done = LogWhatItThrows("the callback of an asynchronous send", std::move(done));
  absl::Status status =
      impl_->BeginSelecting(Impl::Mode::kAsync, std::move(message), std::move(select), done);
  if (!status.ok()) done(std::move(status));
}

absl::Status Producer::SendOneway(Message message) {
  std::vector<Message> one = One(std::move(message));
  RAFTMQ_RETURN_IF_ERROR(impl_->Check(one));
  const auto bytes = static_cast<int64_t>(one[0].body.size());
  RAFTMQ_RETURN_IF_ERROR(impl_->Admit(Impl::Mode::kOneway, bytes));
  impl_->Begin(Impl::Mode::kOneway, std::move(one), std::nullopt, {});
  return absl::OkStatus();
}

absl::Status Producer::SendToQueueOneway(Message message, const MessageQueue& queue) {
  SendCallback nobody;
  return impl_->BeginToQueue(Impl::Mode::kOneway, std::move(message), queue, nobody);
}

absl::Status Producer::SendOneway(Message message, OwnedSelector select) {
  SendCallback nobody;
  return impl_->BeginSelecting(Impl::Mode::kOneway, std::move(message), std::move(select), nobody);
}

}  // namespace raftmq::client
