// Producer: sends messages to a RaftMQ cluster, straight to the leader of a broker group, and tries
// elsewhere when that fails (RocketMQ: DefaultMQProducer).
//
// Thread-safe. Nothing throws; every failure is a status that says what to do. What a callback
// throws is logged; a selector that throws fails its send (Internal). A failed send with
// code DeadlineExceeded, Unavailable, Unknown or Internal may have been stored: its text names the
// message id to look for. With any other code it was not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/channel_credentials.h"
#include "client/fault_strategy.h"
#include "client/message.h"
#include "client/request_reply.h"
#include "client/transaction_listener.h"

namespace raftmq::client {

// RocketMQ's names and defaults; times in milliseconds.
struct ProducerOptions {
  std::string namesrvAddr;           // NameServers or brokers: "host:port;host:port"
  int64_t sendMsgTimeout = 3'000;    // over all tries
  int retryTimesWhenSendFailed = 2;  // more tries after the first
  int retryTimesWhenSendAsyncFailed = 2;
  int64_t maxMessageSize = 4 << 20;  // bytes of one body
  // Of messages that have none of their own.
  std::optional<AckLevel> ackLevel;
  // Bodies of so many bytes or more are sent compressed (gzip, which all official clients read), if
  // that makes them smaller. Level 1: fast, 9: small.
  int64_t compressMsgBodyOverHowmuch = 4'096;
  int compressLevel = 5;
  int64_t pollNameServerInterval = 30'000;
  int64_t heartbeatBrokerInterval = 30'000;
  FaultOptions fault;  // sendLatencyFaultEnable, latencyMax, notAvailableDuration

  // Asynchronous sends that may be under way. One that finds no room is refused at once, or waits
  // for it up to sendMsgTimeout if enableBackpressureForAsyncMode is set.
  int backPressureForAsyncSendNum = 1'024;
  bool enableBackpressureForAsyncMode = false;
  // One-way sends that may be under way; further ones are refused at once.
  int clientOnewaySemaphoreValue = 65'535;
  // Bytes of the bodies of both together.
  int64_t backPressureForAsyncSendSize = 100 << 20;

  // For SendMessageInTransaction. It is asked about the transactions on `topics` from the start on,
  // also about those of producers that are gone, and about other topics' from the first send on.
  std::shared_ptr<TransactionListener> transactionListener;
  std::vector<std::string> topics;
  // Questions about transactions that may wait for the listener; further ones are asked again
  // later.
  int checkRequestHoldMax = 2'000;

  // Requests that may wait for their replies; further ones are refused at once.
  int maxRequestsUnderWay = 1'024;

  TlsClientOptions tls;  // brokers are reached by; NameServers speak plaintext only
};

class Producer {
 public:
  static absl::StatusOr<std::unique_ptr<Producer>> Start(ProducerOptions options);
  // Waits for sends under way to end (they do, within their timeouts).
  ~Producer();

  // ---- Synchronous: block; not to be called from a SendCallback

  // Returns when the message is where its ack level says, by default on a majority's disks, or with
  // what went wrong.
  absl::StatusOr<SendReceipt> Send(Message message);

  // Several messages of one topic as one entry of the log: all are stored in one queue, in order,
  // or none is.
  absl::StatusOr<std::vector<SendReceipt>> SendBatch(std::vector<Message> messages);

  // To this very queue: retries do not leave it.
  absl::StatusOr<SendReceipt> SendToQueue(Message message, const MessageQueue& queue);

  // User code picks the queue: it gets the writable queues, by broker and id, and returns an index
  // (RocketMQ: MessageQueueSelector).
  using MessageQueueSelector =
      absl::FunctionRef<size_t(const std::vector<MessageQueue>& queues, const Message& message)>;
  absl::StatusOr<SendReceipt> Send(Message message, MessageQueueSelector select);

  // The queues that take messages of the topic, by broker and id.
  absl::StatusOr<std::vector<MessageQueue>> FetchPublishMessageQueues(const std::string& topic);

  // Takes back a delayed message that was not delivered yet; returns its id. NotFound: it was
  // delivered, or recalled before.
  absl::StatusOr<std::string> Recall(const std::string& topic, const SendReceipt& receipt);

  // A transaction: the message is stored, but shown to no consumer; then the listener carries out
  // the local transaction, here; what it says commits the message, or takes it back, or leaves it
  // for later. Without an answer, because this process died or the broker could not be reached, the
  // brokers ask a producer of the topic (TransactionListener::CheckLocalTransaction). An error
  // means that the local transaction was not begun.
  absl::StatusOr<TransactionSendResult> SendMessageInTransaction(Message message);

  // ---- Request and reply

  // Sends, and waits for the reply that a consumer makes with CreateReplyMessage. DeadlineExceeded:
  // there was none in time; the request may have been consumed all the same.
  absl::StatusOr<ReceivedMessage> Request(Message message, int64_t timeout_ms);
  // `done` is called exactly once, as a SendCallback is.
  using RequestCallback = absl::AnyInvocable<void(absl::StatusOr<ReceivedMessage>)>;
  void RequestAsync(Message message, int64_t timeout_ms, RequestCallback done);
  // To whoever waits for it. Unavailable: nobody does, at no member of the broker group that the
  // request came from.
  absl::Status SendReply(const ReplyMessage& reply);

  // ---- Asynchronous

  // `done` is called exactly once, on a thread of the library or, if the send is refused at once,
  // on the caller's; it must not block. Several messages: as in SendBatch.
  using SendCallback = absl::AnyInvocable<void(absl::StatusOr<std::vector<SendReceipt>>)>;
  void SendAsync(std::vector<Message> messages, SendCallback done);
  // To this very queue, as SendToQueue.
  void SendToQueueAsync(Message message, const MessageQueue& queue, SendCallback done);
  // The queue is picked once the queues are known, here or on a thread of the library, which
  // `select` must not hold up.
  using OwnedSelector =
      absl::AnyInvocable<size_t(const std::vector<MessageQueue>& queues, const Message& message)>;
  void SendAsync(Message message, OwnedSelector select, SendCallback done);

  // One try, of which nothing more is heard: no answer, no retry. An error means that it was
  // refused here: a message that cannot be sent, or too many under way.
  absl::Status SendOneway(Message message);
  absl::Status SendToQueueOneway(Message message, const MessageQueue& queue);
  absl::Status SendOneway(Message message, OwnedSelector select);

 private:
  struct Impl;
  explicit Producer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::client
