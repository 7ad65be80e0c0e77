// WaitingClients: producers of delayed messages, some of which they recall, and of transactions,
// some of which they forget to end and are asked about. What becomes of them is the
// WaitingOracle's to judge.
//
// Single-threaded, like the simulation.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "store/log_message_store.h"
#include "tests/sim/member_calls.h"
#include "tests/sim/waiting_oracle.h"

namespace raftmq::sim {

class WaitingClients {
 public:
  struct Options {
    std::string delay_topic;
    std::string transaction_topic;
  };
  using Complain = std::function<void(std::string)>;
  // Sends it until its outcome is known; null: refused, or given up.
  using Send =
      std::function<void(store::NewMessage, std::function<void(const store::SendResult*)>)>;

  WaitingClients(Options options, MemberCalls* calls, Clock* clock, Random random,
                 WaitingOracle* oracle, Send send, Complain complain);

  void Start();
  void Drain() { draining_ = true; }

  // The broker asks about the transaction of this half message.
  void AnswerCheck(const std::string& record);

 private:
  store::NewMessage Waiting(const std::string& topic, store::TopicType type,
                            const std::string& body);
  void SendWaiting(store::NewMessage message, std::function<void(const store::SendResult*)> then);
  void Delay(int number);
  void Recall(const std::string& body, const std::string& handle);
  void Transact(int number);
  void EndTransaction(const std::string& body, const std::string& id);

  const Options options_;
  MemberCalls* const calls_;
  Clock* const clock_;
  Random random_;
  WaitingOracle* const oracle_;
  const Send send_;
  const Complain complain_;
  bool draining_ = false;
};

}  // namespace raftmq::sim
