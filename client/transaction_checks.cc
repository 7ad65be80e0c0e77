#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "client/grpc_transaction_checks.h"
#include "client/message_conversion.h"
#include "client/user_code.h"
#include "glog/logging.h"

namespace raftmq::client {

namespace v2 = ::apache::rocketmq::v2;

TransactionChecks::TransactionChecks(TransactionListener* listener, int max_waiting,
                                     ClientInstance* instance, GroupCalls* calls)
    : listener_(listener),
      max_waiting_(max_waiting),
      instance_(instance),
      calls_(calls),
      streams_(instance, [this](const std::string& address, grpc::ClientContext* context,
                                StandingStreams::Ended ended) {
        CallQueue* const calls = instance_->calls();
        calls->StartBidi<v2::TelemetryCommand, v2::TelemetryCommand>(
            instance_->StubAt(address)->PrepareAsyncTelemetry(context, calls->queue()), Settings(),
            [this, address](v2::TelemetryCommand& command) { OnCommand(address, command); },
            std::move(ended));
      }) {}

void TransactionChecks::Publish(const std::string& topic) {
  {
    absl::MutexLock lock(&mu_);
    if (!topics_.insert(topic).second) return;
  }
  streams_.Reopen();
  streams_.Add(topic);
}

void TransactionChecks::Close() {
  streams_.Close();
  loop_.Stop();
}

v2::TelemetryCommand TransactionChecks::Settings() {
  v2::TelemetryCommand command;
  v2::Settings* const settings = command.mutable_settings();
  settings->set_client_type(v2::PRODUCER);
  settings->mutable_user_agent()->set_version("1");
  absl::MutexLock lock(&mu_);
  for (const std::string& topic : topics_) {
    settings->mutable_publishing()->add_topics()->set_name(topic);
  }
  return command;
}

void TransactionChecks::OnCommand(const std::string& address, v2::TelemetryCommand& command) {
  if (!command.has_recover_orphaned_transaction_command()) return;
  v2::RecoverOrphanedTransactionCommand& recover =
      *command.mutable_recover_orphaned_transaction_command();
  // Which group asks: its answer goes there.
  std::string broker_name;
  for (const RouteCache::Route& route : instance_->routes()->All()) {
    for (const BrokerRoute& broker : route->brokers) {
      if (std::find(broker.addresses.begin(), broker.addresses.end(), address) !=
          broker.addresses.end()) {
        broker_name = broker.name;
      }
    }
  }
  ReceivedMessage message =
      ToReceivedMessage(std::move(*recover.mutable_message()), broker_name, address);
  {
    absl::MutexLock lock(&mu_);
    if (broker_name.empty() || waiting_ >= max_waiting_) {
      LOG_EVERY_N(WARNING, 100) << "a broker asked about the transaction of message "
                                << message.message_id << " of topic " << message.topic
                                << ": not looked at now, it asks again; " << waiting_
                                << " questions wait (checkRequestHoldMax)";
      return;
    }
    ++waiting_;
  }
  loop_.Post([this, message = std::move(message), id = recover.transaction_id()] {
    Check(message, id);
    absl::MutexLock lock(&mu_);
    --waiting_;
  });
}

void TransactionChecks::Check(const ReceivedMessage& message, const std::string& transaction_id) {
  LocalTransactionState state = LocalTransactionState::kUnknow;
  const absl::Status ran = RunUserCode([&] { state = listener_->CheckLocalTransaction(message); });
  LOG_IF(ERROR, !ran.ok()) << "CheckLocalTransaction failed on message " << message.message_id
                           << " of topic " << message.topic
                           << ", the broker asks again: " << raftmq::Message(ran);
  if (state == LocalTransactionState::kUnknow) return;  // asked again
  GroupCalls::TransactionEnd end;
  end.message_id = message.message_id;
  end.transaction_id = transaction_id;
  end.commit = state == LocalTransactionState::kCommitMessage;
  end.asked = true;
  calls_->EndTransaction(message.topic, message.broker_name, end,
                         [message](const absl::Status& ended) {
                           LOG_IF(WARNING, !ended.ok())
                               << "the transaction of message " << message.message_id
                               << " of topic " << message.topic << " was not ended: " << ended;
                         });
}

}  // namespace raftmq::client
