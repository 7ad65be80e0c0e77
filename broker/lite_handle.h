// The receipt handle that a client is given with a message of a lite topic: the store's, '$', and
// the lite topic. So an ack, a nack, a renewal or a dead-lettering finds the lite topic's queue
// whether or not its client says, beside the parent topic, which lite topic the message is of.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace raftmq::broker {

std::string LiteHandle(std::string_view store_handle, std::string_view lite_topic);

// What a client's handle for a message of `topic` stands for.
struct StoredHandle {
  std::string topic;       // as it is stored: a lite topic's own name (store/names.h)
  std::string handle;      // the store's
  std::string lite_topic;  // "": it is none

  // Another handle of the store's for that message, as the client is given it.
  std::string ForClient(std::string_view store_handle) const;
};
StoredHandle StoredHandleOf(std::string_view topic, std::string_view handle);

}  // namespace raftmq::broker
