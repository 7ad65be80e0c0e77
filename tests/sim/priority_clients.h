// PriorityClients: producers and consumers of a topic of type PRIORITY. What they are held to:
//   - a message's priority is its queue, up to the last;
//   - an answer has higher priorities first, and of one priority what comes again before what is
//     new;
//   - no message is given out while one of a higher priority is certainly available: one that the
//     member had applied when it was asked, that has not expired and was never granted, or that
//     came back to be given out at once before it was asked, and was not granted since;
//   - in the end all is acked.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "store/commands.h"
#include "store/log_message_store.h"
#include "tests/sim/member_calls.h"
#include "tests/sim/move_operator.h"

namespace raftmq::sim {

class PriorityClients {
 public:
  struct Options {
    std::string group;
    std::string topic;
    int queues = 0;
    int consumers = 2;
  };
  using Complain = std::function<void(std::string)>;
  // Sends it until its outcome is known; null: refused, or given up.
  using Send =
      std::function<void(store::NewMessage, std::function<void(const store::SendResult*)>)>;

  PriorityClients(Options options, MemberCalls* calls, Clock* clock, Random random, Send send,
                  Complain complain);

  void Start();
  // They ack at once what they get.
  void Drain() { draining_ = true; }

  // In the order of the log, each once.
  void OnMessage(LogIndex index, const std::string& topic, QueueId queue, QueueOffset offset,
                 const std::string& body);
  void OnGrant(LogPlace at, const store::Grant& grant);
  void OnRetain(LogPlace at, const store::Retain& retain);

  // All was acked, by what the leader says.
  bool Drained(const store::LogMessageStore& leader) const;
  // Once, when all of the log was seen.
  void CheckLog();

  size_t consumed() const { return consumed_; }
  // Answers with a message that was behind others when it was sent.
  size_t overtaken() const { return overtaken_; }

 private:
  using Place = std::pair<QueueId, QueueOffset>;
  struct Granted {
    LogPlace at;
    uint64_t lease_id = 0;
  };
  struct Stored {
    LogIndex index;
    std::string body;
    std::vector<Granted> grants;
  };
  struct Answer {
    LogIndex applied;                                // by the member when it was asked
    size_t returned = 0;                             // how many of returned_ there were then
    std::vector<std::pair<Place, uint64_t>> places;  // with their leases
  };

  void SendTurn();
  void SendOne();
  void ReceiveTurn();
  void OnAnswer(Answer answer, const std::vector<store::Delivery>& deliveries);
  void SettleNow(const store::Delivery& delivery, bool ack);
  bool WasAvailable(const Place& place, const Stored& message, const Answer& answer,
                    LogPlace at) const;
  void CheckAnswer(const Answer& answer);

  const Options options_;
  MemberCalls* const calls_;
  Clock* const clock_;
  Random random_;
  const Send send_;
  const Complain complain_;
  bool draining_ = false;
  int sent_ = 0;
  std::map<Place, Stored> messages_;
  std::map<QueueId, std::vector<std::pair<LogPlace, QueueOffset>>> retained_;  // min from then on
  std::map<uint64_t, LogPlace> lease_places_;
  // Leases whose message came back to be given out at once, as was acknowledged; in that order.
  std::map<uint64_t, size_t> returned_;
  std::vector<Answer> answers_;
  size_t consumed_ = 0;
  size_t overtaken_ = 0;
};

}  // namespace raftmq::sim
