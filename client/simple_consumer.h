// SimpleConsumer: takes messages under leases and acks them, one call at a time (RocketMQ 5:
// SimpleConsumer). The broker keeps who has what; a message not acked in time goes to another.
//
// Thread-safe; calls block. Nothing throws; every failure is a status that says what to do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/channel_credentials.h"
#include "client/message.h"

namespace raftmq::client {

// RocketMQ's names and defaults where it has one; times in milliseconds.
struct SimpleConsumerOptions {
  std::string namesrvAddr;  // NameServers or brokers: "host:port;host:port"
  std::string consumerGroup;
  std::string topic;
  MessageSelector subExpression;       // "a || b", or MessageSelector::BySql(…)
  int64_t awaitDuration = 5'000;       // how long a receive waits for a message
  int64_t invisibleDuration = 60'000;  // of a received message, until another gets it
  int64_t requestTimeout = 3'000;
  int64_t pollNameServerInterval = 30'000;
  int64_t heartbeatBrokerInterval = 30'000;
  TlsClientOptions tls;  // brokers are reached by; NameServers speak plaintext only
};

class SimpleConsumer {
 public:
  static absl::StatusOr<std::unique_ptr<SimpleConsumer>> Start(SimpleConsumerOptions options);
  ~SimpleConsumer();

  // Up to max_messages of one broker group; empty after awaitDuration without any. Asks the groups
  // in turn. An error means that this try failed; the next goes to another group or member.
  absl::StatusOr<std::vector<ReceivedMessage>> Receive(int max_messages);

  // One status for each message, in order. Tries all members within requestTimeout.
  std::vector<absl::Status> Ack(const std::vector<ReceivedMessage>& messages);

  // Makes a message visible to others `invisible_ms` from now (0: at once) instead of at the end of
  // its lease, and gives it the receipt handle to use from then on. Tries all members.
  absl::Status ChangeInvisibleDuration(ReceivedMessage* message, int64_t invisible_ms);

 private:
  struct Impl;
  explicit SimpleConsumer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::client
