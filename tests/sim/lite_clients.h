// LiteClients: producers of lite topics, and clients of one group that subscribe to them and not
// any more, change their parent topic, reach their quota, receive and ack; some lite topics expire
// again and again. What they are held to:
//   - nobody is given a message of a lite topic that it has not subscribed to, by the log: not at
//     any time since it asked, not before the grant;
//   - every member has the subscriptions that the log says; nobody has more than its quota, and in
//     a group with exclusive subscriptions no lite topic has two subscribers;
//   - a message is granted only when all before it in its lite topic are acked, or come before it
//     in the same grant; what was acked is never granted again; a lite topic that was deleted and
//     made again is another one;
//   - in the end all messages of lite topics that somebody has subscribed to still are acked,
//     unless they expired before the group had got so far, and acknowledged ones are there.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/random.h"
#include "store/commands.h"
#include "store/lite_topics.h"
#include "store/log_message_store.h"
#include "store/message_record.h"
#include "tests/sim/member_calls.h"
#include "tests/sim/move_operator.h"

namespace raftmq::sim {

class LiteClients {
 public:
  struct Options {
    std::string group;
    std::string topic;           // a parent
    std::string expiring_topic;  // another one, whose lite topics go soon
    int clients = 3;
    int quota = 3;  // of the group's configuration; below the number of lite topics
    bool exclusive = false;
  };
  using Complain = std::function<void(std::string)>;
  // Sends it until its outcome is known; null: refused, or given up.
  using Send =
      std::function<void(store::NewMessage, std::function<void(const store::SendResult*)>)>;

  LiteClients(Options options, MemberCalls* calls, Clock* clock, Random random, Send send,
              Complain complain);

  void Start();
  // They keep what they have subscribed to, and consume it.
  void Drain() { draining_ = true; }

  // In the order of the log, each once. `now_ms`: when the first member applied it.
  void OnSubscribe(LogPlace at, int64_t now_ms, const store::SubscribeLite& subscribe);
  void OnGrant(LogPlace at, const store::Grant& grant);
  void OnAck(const store::Ack& ack);
  void OnStart(const std::string& group, const std::string& topic, QueueOffset offset);
  void OnRetain(const store::Retain& retain);
  void OnDeleted(const std::string& topic);
  void OnMessage(const std::string& topic, QueueOffset offset, const std::string& body);

  // All that somebody has subscribed to was consumed.
  bool Drained() const;
  void CheckEnd(int member, const store::LogMessageStore& store);
  // Once, when all of the log was seen.
  void CheckLog();

  size_t consumed() const { return consumed_; }
  size_t subscriptions() const { return subscriptions_; }
  size_t over_quota() const { return over_quota_; }
  size_t deleted() const { return deleted_; }

 private:
  using Name = std::pair<std::string, std::string>;  // parent, lite topic
  struct Subscription {
    LogPlace from;
    LogPlace to;          // the log's end: it is still there
    int64_t over_ms = 0;  // when the first member applied its end
  };
  struct Message {
    std::string body;
    bool granted = false;
    bool acked = false;
  };
  // A lite topic from when it is made until it is deleted.
  struct Topic {
    std::map<QueueOffset, Message> messages;
    QueueOffset start;  // of the group
    QueueOffset min;
  };
  struct Granted {
    LogPlace at;
    std::string topic;
    int life = 0;
    QueueOffset offset;
    std::string client_id;
  };
  struct Delivered {
    uint64_t lease_id = 0;
    std::string client_id;
    std::string topic;
    QueueOffset offset;
    std::string body;
    int64_t asked_ms = 0;
  };

  int64_t NowMs() const { return clock_->MonotonicMillis(); }
  std::string Client(int number) const;
  const std::string& Parent(bool mostly_the_first);
  void SendTurn();
  void ExpireTurn();
  void SubscribeTurn(int number);
  void ReceiveTurn(int number);
  void OnDelivered(int number, int64_t asked_ms, const store::Delivery& delivery);
  void SettleNow(const std::string& topic, const store::Delivery& delivery, bool ack);
  Topic& LifeOf(const std::string& topic);
  // Acked, left out when the group began, or expired before it had got so far.
  static bool IsOver(const Topic& topic, QueueOffset offset, const Message& message);
  void CheckDelivered(const Delivered& delivered);
  bool HasSubscriber(const std::string& topic) const;

  const Options options_;
  MemberCalls* const calls_;
  Clock* const clock_;
  Random random_;
  const Send send_;
  const Complain complain_;
  bool draining_ = false;
  int sent_ = 0;
  std::vector<std::string> current_;                  // the parent, by client
  std::map<std::string, std::vector<Topic>> topics_;  // all their lives
  std::map<std::string, std::set<Name>> subscribed_;  // by client, now
  std::map<std::pair<std::string, Name>, std::vector<Subscription>> history_;
  std::map<uint64_t, Granted> grants_;
  std::vector<Delivered> delivered_;
  std::vector<uint64_t> acked_leases_;               // whose ack was acknowledged
  std::map<std::string, std::string> acknowledged_;  // body: lite topic that does not expire
  size_t consumed_ = 0;
  size_t subscriptions_ = 0;
  size_t over_quota_ = 0;
  size_t deleted_ = 0;
};

}  // namespace raftmq::sim
