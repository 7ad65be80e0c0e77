// Proposals that change topics, groups and positions. Each is answered once its entry is applied on
// this member, so that whoever reads afterwards finds it done.
//
// The functions check what needs no state on the caller's thread, and propose.
#pragma once

#include <string>

#include "base/ids.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

void StartEditTopic(StoreContext* context, std::string name, MessageStore::TopicEdit edit,
                    MessageStore::DoneCallback done);
// A topic of the broker's own (the timer topic, a dead-letter topic): makes it if it does not
// exist. Its name and queues are not checked. `done` runs at once, on this thread, if it is there.
void StartEnsureTopic(StoreContext* context, TopicConfig topic, MessageStore::DoneCallback done);

void StartDeleteTopic(StoreContext* context, std::string name, MessageStore::DoneCallback done);
void StartEditGroup(StoreContext* context, std::string name, MessageStore::GroupEdit edit,
                    MessageStore::DoneCallback done);
void StartDeleteGroup(StoreContext* context, std::string name, MessageStore::DoneCallback done);

// The group is created by its defaults if need be, and then starts on the topic's other queues as
// its ConsumeFrom says.
void StartUpdateOffset(StoreContext* context, std::string group, std::string topic, QueueId queue,
                       QueueOffset offset, std::string client_id, MessageStore::DoneCallback done);

}  // namespace raftmq::store
