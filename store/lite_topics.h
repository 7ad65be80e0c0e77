// LiteTopics: tiny topics under a parent topic of type LITE (RocketMQ's RIP-83). Each is made by
// the first message that is sent to it and goes when nothing was sent to it for long; a client of a
// consumer group receives from those that it has subscribed to. docs/decisions/0022-lite-topics.md.
//
// A part of MessageStore, with its rules: any thread; callbacks run on a thread of the store or on
// the replica thread and must not block.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace raftmq::store {

// Where a group goes on in lite topics that exist when one of its clients subscribes to them. One
// that is made later is consumed from its first message.
struct LiteStart {
  enum class Kind {
    kMin,
    kMax,
    kOffset,
    kTailN,      // the last `value` messages
    kTimestamp,  // stored at or after, ms
  };
  Kind kind = Kind::kMin;
  int64_t value = 0;
};

struct LiteSubscribeRequest {
  enum class Action {
    kAdd,
    kRemove,
    kReplace,  // these and no others; takes nothing over from other clients
    kLeave,    // none any more
  };
  Action action = Action::kAdd;
  std::string group;
  std::string topic;  // the parent
  std::string client_id;
  std::vector<std::string> lite_topics;
  std::optional<LiteStart> start;  // none: where the group is; a new one by its ConsumeFrom
};

// In a group with exclusive subscriptions.
struct LiteSubscribeResult {
  struct Lost {
    std::string client_id;
    std::string lite_topic;
  };
  // What clients do not have any more, or did not get since another one has it: they are to be
  // told.
  std::vector<Lost> lost;
};

struct LiteTopicStatus {
  std::string lite_topic;
  QueueOffset min_offset;
  QueueOffset max_offset;                // one past the last
  int64_t last_store_ms = 0;             // 0: empty
  std::vector<std::string> subscribers;  // client ids
};

class LiteTopics {
 public:
  virtual ~LiteTopics() = default;

  // On the leader only, kNotLeader elsewhere. Answered once it is applied on this member.
  // kTopicNotFound, kIllegalTopic: the parent; kIllegalLiteTopic; kLiteSubscriptionQuota.
  using SubscribeCallback = absl::AnyInvocable<void(absl::StatusOr<LiteSubscribeResult>)>;
  virtual void Subscribe(LiteSubscribeRequest request, SubscribeCallback done) = 0;

  // Deletes lite topics that nothing was sent to for their parent's lite.topic.expiration, whatever
  // is still unconsumed in them. On the leader only; does only so much in one call, and tells how
  // many it deleted.
  using ExpireCallback = absl::AnyInvocable<void(absl::StatusOr<int64_t>)>;
  virtual void ExpireIdle(ExpireCallback done) = 0;

  // ---- As applied on this member

  // Clients that have subscribed to the lite topic of that stored name (names.h); of one group, or,
  // with "", of any.
  virtual std::vector<std::string> SubscribersOf(const std::string& topic,
                                                 const std::string& group) const = 0;
  // Who has subscribed to anything.
  virtual std::vector<LiteSubscribeRequest> Clients() const = 0;

  virtual int64_t Count(const std::string& parent) const = 0;
  // By name, from the one after `after` on.
  virtual std::vector<LiteTopicStatus> List(const std::string& parent, const std::string& after,
                                            size_t max) const = 0;
};

}  // namespace raftmq::store
