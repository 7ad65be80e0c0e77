// What a producer sends that is not done with its being stored: delayed messages that are recalled,
// transactions, requests and replies.
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "client/await_answer.h"
#include "client/grpc_producer.h"
#include "client/user_code.h"

namespace raftmq::client {

absl::StatusOr<std::string> Producer::Recall(const std::string& topic, const SendReceipt& receipt) {
  if (receipt.recall_handle.empty()) {
    return absl::InvalidArgumentError(StrCat(
        "message ", receipt.message_id, " of topic ", topic,
        " is not delayed: only one with a delay level or a time of delivery can be recalled"));
  }
  return AwaitAnswer<absl::StatusOr<std::string>>([&](auto done) {
    impl_->calls.Recall(topic, receipt.broker_name, receipt.recall_handle, std::move(done));
  });
}

absl::StatusOr<TransactionSendResult> Producer::SendMessageInTransaction(Message message) {
  if (impl_->transactions == nullptr) {
    return absl::FailedPreconditionError(
        StrCat("a transaction of topic ", message.topic,
               " needs a listener: set ProducerOptions::transactionListener"));
  }
  if (message.delay_level != 0 || message.deliver_ms.has_value() || message.priority.has_value() ||
      !message.message_group.empty()) {
    return absl::InvalidArgumentError(StrCat(
        "a transactional message of topic ", message.topic,
        " is delayed, ordered or has a priority: a transactional one can have none of these"));
  }
  std::vector<Message> half;
  half.push_back(message);
  RAFTMQ_RETURN_IF_ERROR(impl_->Check(half));
  impl_->transactions->Publish(message.topic);
  RAFTMQ_ASSIGN_OR_RETURN(auto receipts,
                          impl_->SendAndWait(std::move(half), std::nullopt, /*half=*/true));
  TransactionSendResult result;
  result.receipt = std::move(receipts[0]);
  const SendReceipt& receipt = result.receipt;
  result.local = RunUserCode([&] {
    result.state = impl_->options.transactionListener->ExecuteLocalTransaction(
        message, receipt.transaction_id);
  });
  if (result.state == LocalTransactionState::kUnknow) return result;
  GroupCalls::TransactionEnd end;
  end.message_id = receipt.message_id;
  end.transaction_id = receipt.transaction_id;
  end.commit = result.state == LocalTransactionState::kCommitMessage;
  result.ended = AwaitAnswer<absl::Status>([&](auto done) {
    impl_->calls.EndTransaction(message.topic, receipt.broker_name, end, std::move(done));
  });
  return result;
}

void Producer::RequestAsync(Message message, int64_t timeout_ms, RequestCallback done) {
  done = LogWhatItThrows("the callback of a request", std::move(done));
  std::vector<Message> one;
  one.push_back(std::move(message));
  absl::Status status = impl_->Check(one);
  if (status.ok() && timeout_ms < 1) {
    status = absl::InvalidArgumentError(StrCat("a request of topic ", one[0].topic, " waits ",
                                               timeout_ms, " ms: expected 1 at least"));
  }
  if (!status.ok()) return done(std::move(status));
  const std::string topic = one[0].topic;
  const std::string id = impl_->ids.Next();
  auto& properties = one[0].properties;
  properties[std::string(kCorrelationId)] = id;
  properties[std::string(kReplyToClient)] = impl_->instance->client_id();
  properties[std::string(kTtl)] = StrCat(timeout_ms);
  impl_->requests.Await(
      topic, id, timeout_ms,
      [impl = impl_.get(), id, one = std::move(one)]() mutable {
        // How many wait for replies is bounded: these sends need no bound of their own.
        absl::Status admitted = impl->Admit(Impl::Mode::kSync, 0);
        if (!admitted.ok()) return impl->requests.Fail(id, admitted);
        impl->Begin(Impl::Mode::kSync, std::move(one), std::nullopt,
                    [impl, id](const absl::StatusOr<std::vector<SendReceipt>>& sent) {
                      if (!sent.ok()) impl->requests.Fail(id, sent.status());
                    });
      },
      std::move(done));
}

absl::StatusOr<ReceivedMessage> Producer::Request(Message message, int64_t timeout_ms) {
  return AwaitAnswer<absl::StatusOr<ReceivedMessage>>(
      [&](auto done) { RequestAsync(std::move(message), timeout_ms, std::move(done)); });
}

absl::Status Producer::SendReply(const ReplyMessage& reply) {
  if (static_cast<int64_t>(reply.body.size()) > impl_->options.maxMessageSize) {
    return absl::InvalidArgumentError(
        StrCat("the reply to request ", reply.correlation_id, " has a body of ", reply.body.size(),
               " bytes, at most ", impl_->options.maxMessageSize,
               " are allowed: make it smaller, or raise maxMessageSize"));
  }
  ::raftmq::v1::SendReplyRequest request;
  request.set_client_id(reply.reply_to_client);
  request.mutable_reply()->set_correlation_id(reply.correlation_id);
  request.mutable_reply()->set_body(reply.body);
  for (const auto& [name, value] : reply.properties) {
    (*request.mutable_reply()->mutable_properties())[name] = value;
  }
  const absl::Status sent = AwaitAnswer<absl::Status>([&](auto done) {
    impl_->calls.SendReply(reply.topic, reply.broker_name, std::move(request), std::move(done));
  });
  return Annotate(sent, StrCat("the reply to request ", reply.correlation_id, " of client ",
                               reply.reply_to_client));
}

}  // namespace raftmq::client
