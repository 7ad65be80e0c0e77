// TopicLives: a topic that an operator deletes and makes anew, again and again, while producers and
// a group of consumers go on. What they are held to:
//   - nothing is given out of a topic that was deleted before the receive began;
//   - each life's offsets begin anew, and no two messages of a life share one;
//   - what was acked is never given out again;
//   - of the last life all was given out in the end that has not expired.
// A message is of a life for certain if no deletion was begun while it was being sent. Others may
// be stored in two lives, since what is known of sends to a topic goes with it; they are not
// judged.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "store/log_message_store.h"
#include "tests/sim/member_calls.h"

namespace raftmq::sim {

class TopicLives {
 public:
  struct Options {
    std::string group;
    std::string topic;  // exists at the start
    int queues = 0;
    int consumers = 2;
  };
  using Complain = std::function<void(std::string)>;
  // Sends it until its outcome is known; null: refused, or given up.
  using Send =
      std::function<void(store::NewMessage, std::function<void(const store::SendResult*)>)>;

  TopicLives(Options options, MemberCalls* calls, Clock* clock, Random random, Send send,
             Complain complain);

  void Start();
  // The topic stays from now on, and is made if it is not there; consumers ack at once what they
  // get.
  void Drain() { draining_ = true; }

  // The topic is there, and all was acked, by what the leader says.
  bool Drained(const store::LogMessageStore& leader) const;
  // When that is so: the queue holds messages from `min` on.
  void CheckEnd(QueueId queue, QueueOffset min);

  // Deletions, and messages of a deleted topic that had not been given out when it went.
  size_t deleted() const { return deleted_; }
  size_t gone_unread() const { return gone_unread_; }
  size_t consumed() const { return acked_.size(); }

 private:
  using Place = std::pair<QueueId, QueueOffset>;

  void OperatorTurn();
  void Delete();
  void OnDeleted();
  void Create();
  void SendTurn();
  void SendOne();
  void OnSent(const std::string& body, int life_begun, const store::SendResult* sent);
  void ReceiveTurn();
  void OnDelivery(const store::Delivery& delivery, const std::string& body, int dead_through,
                  size_t acked_before);
  void SettleNow(const store::Delivery& delivery, const std::string& body, bool ack);

  const Options options_;
  MemberCalls* const calls_;
  Clock* const clock_;
  Random random_;
  const Send send_;
  const Complain complain_;
  bool draining_ = false;

  int life_ = 1;          // counts up when a deletion begins
  int dead_through_ = 0;  // the deletion of that life was acknowledged
  bool exists_ = true;    // for certain: no deletion is under way
  int sent_ = 0;
  int under_way_ = 0;
  int may_be_in_life_ = 0;               // sends that the present life may hold
  std::map<std::string, int> life_of_;   // of those that are certain
  std::map<Place, std::string> places_;  // of the present life's
  std::set<std::string> given_;
  std::map<std::string, size_t> acked_;  // in this order
  std::set<std::string> given_again_;    // after they were acked, while they were still being sent
  size_t deleted_ = 0;
  size_t gone_unread_ = 0;
};

}  // namespace raftmq::sim
