// TransactionChecks: Telemetry streams that tell the brokers which topics' transactions this
// producer can be asked about, and bring the questions; its listener's answers. For sources of
// client/ only: it includes gRPC.
//
// Thread-safe. The listener is asked on thread "mq-check". Outlives its instance's threads.
#pragma once

#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/event_loop.h"
#include "client/grpc_client_instance.h"
#include "client/grpc_group_calls.h"
#include "client/grpc_standing_streams.h"
#include "client/transaction_listener.h"

namespace raftmq::client {

class TransactionChecks {
 public:
  // At most `max_waiting` questions wait for the listener. All outlive it.
  TransactionChecks(TransactionListener* listener, int max_waiting, ClientInstance* instance,
                    GroupCalls* calls);

  // From now on this producer is asked about the topic's transactions, too.
  void Publish(const std::string& topic);

  // Ends the streams; questions that still wait are dropped. Not on a thread of the instance.
  void Close();

 private:
  void OnCommand(const std::string& address, apache::rocketmq::v2::TelemetryCommand& command);
  void Check(const ReceivedMessage& message, const std::string& transaction_id);
  apache::rocketmq::v2::TelemetryCommand Settings();

  TransactionListener* const listener_;
  const int max_waiting_;
  ClientInstance* const instance_;
  GroupCalls* const calls_;
  absl::Mutex mu_;
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> topics_ ABSL_GUARDED_BY(mu_);
  StandingStreams streams_;
  EventLoop loop_{"mq-check"};
};

}  // namespace raftmq::client
