// The topic that a caller means, by when it was created: after a topic was deleted another may have
// its name, and what was read of the first must not be taken for a place in the second.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/strings.h"
#include "broker/call.h"
#include "store/message_store.h"
#include "store/reason.h"

namespace raftmq::broker {

// kTopicNotFound unless the topic that this member has applied is the one that `context` means, or
// it means none. Of a read it is asked after the read: then that was of this topic. Any thread.
inline absl::Status CheckTopicCreated(const CallContext& context, const store::MessageStore& store,
                                      const std::string& topic) {
  if (!context.topic_created.has_value()) return absl::OkStatus();
  const absl::StatusOr<store::TopicConfig> config = store.FindTopic(topic);
  if (!config.ok()) return config.status();
  if (config->created_index == *context.topic_created) return absl::OkStatus();
  return store::Refuse(
      store::Reason::kTopicNotFound,
      StrCat("topic ", topic, " of entry ", *context.topic_created,
             " was deleted; there is another of its name, of entry ", config->created_index));
}

}  // namespace raftmq::broker
