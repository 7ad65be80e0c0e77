// The names of topic types, as RocketMQ has them: "NORMAL", "FIFO", …
#pragma once

#include <optional>
#include <string_view>

#include "store/model.h"

namespace raftmq::broker {

std::string_view TopicTypeName(store::TopicType type);
// Nothing for a name of a newer version.
std::optional<store::TopicType> TopicTypeFromName(std::string_view name);

}  // namespace raftmq::broker
