// The application's half of transactional messages (RocketMQ: TransactionListener).
//
// Implemented by the application, shared with the producer. What it throws counts as kUnknow.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/message.h"

namespace raftmq::client {

enum class LocalTransactionState {
  kCommitMessage,    // consumers get the message
  kRollbackMessage,  // nobody ever does
  kUnknow,           // not known yet: ask again later (RocketMQ's spelling)
};

class TransactionListener {
 public:
  virtual ~TransactionListener() = default;

  // Carries out the local transaction of a message that is stored, and not shown to anybody yet. On
  // the thread that called SendMessageInTransaction.
  virtual LocalTransactionState ExecuteLocalTransaction(const Message& message,
                                                        const std::string& transaction_id) = 0;

  // What became of the local transaction? It may have been another process's, on this topic. On
  // thread "mq-check", one call at a time. A broker asks transactionCheckMax times (15), then the
  // message goes to TRANS_CHECK_MAX_TIME_TOPIC.
  virtual LocalTransactionState CheckLocalTransaction(const ReceivedMessage& message) = 0;
};

struct TransactionSendResult {
  SendReceipt receipt;
  LocalTransactionState state = LocalTransactionState::kUnknow;  // what the listener said
  absl::Status local;  // Internal: the listener threw this; the broker asks it again
  // Whether the broker heard it. If not it asks the listener again: nothing is lost.
  absl::Status ended;
};

}  // namespace raftmq::client
