// Bystanders: another group of the topic whose dead letters are sent back, which wants all messages
// or those with one tag. What it is held to:
//   - it is never given a message that was sent back to the group that failed, nor one that its
//     filter leaves out;
//   - in the end it was given every other one that has not expired.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/random.h"
#include "store/log_message_store.h"
#include "tests/sim/member_calls.h"

namespace raftmq::sim {

class Bystanders {
 public:
  struct Options {
    std::string group;
    std::string topic;
    std::string tag;   // empty: any
    bool sql = false;  // says so as an SQL expression
    int consumers = 2;
  };
  using Complain = std::function<void(std::string)>;

  Bystanders(Options options, MemberCalls* calls, Random random, Complain complain)
      : options_(std::move(options)),
        calls_(calls),
        random_(random),
        complain_(std::move(complain)) {}

  void Start();
  // They ack at once what they get.
  void Drain() { draining_ = true; }

  // A message of any topic, each once. `sent_back`: it is a dead letter that was sent back.
  void OnMessage(std::string_view topic, QueueId queue, QueueOffset offset, std::string_view tag,
                 bool sent_back) {
    if (topic != options_.topic) return;
    const bool unwanted = !options_.tag.empty() && tag != options_.tag;
    messages_[{queue, offset}] = sent_back ? kSentBack : unwanted ? kUnwanted : kTheirs;
  }

  // All was acked, by what the leader says.
  bool Drained(const store::LogMessageStore& leader) const;
  // When that is so: the queue holds messages from `min` on.
  void CheckEnd(QueueId queue, QueueOffset min);

  // Deliveries, and messages that it was not to be given and was not: what was sent back to the
  // other group, and what the filter left out.
  size_t consumed() const { return consumed_; }
  size_t spared() const { return spared_; }
  size_t filtered() const { return filtered_; }

 private:
  using Place = std::pair<QueueId, QueueOffset>;
  enum Kind { kTheirs, kSentBack, kUnwanted };

  store::MessageFilter Filter();
  void ReceiveTurn();
  void OnDelivery(const store::Delivery& delivery);

  const Options options_;
  MemberCalls* const calls_;
  Random random_;
  const Complain complain_;
  bool draining_ = false;
  std::map<Place, Kind> messages_;  // all of the topic
  std::set<Place> given_;
  size_t consumed_ = 0;
  size_t spared_ = 0;
  size_t filtered_ = 0;
};

}  // namespace raftmq::sim
