#include "broker/topic_type_name.h"

#include <utility>

namespace raftmq::broker {
namespace {

constexpr std::pair<store::TopicType, std::string_view> kNames[] = {
    {store::TopicType::kNormal, "NORMAL"},     {store::TopicType::kFifo, "FIFO"},
    {store::TopicType::kDelay, "DELAY"},       {store::TopicType::kTransaction, "TRANSACTION"},
    {store::TopicType::kMixed, "MIXED"},       {store::TopicType::kLite, "LITE"},
    {store::TopicType::kPriority, "PRIORITY"},
};

}  // namespace

std::string_view TopicTypeName(store::TopicType type) {
  for (const auto& [known, name] : kNames) {
    if (known == type) return name;
  }
  return "UNKNOWN";
}

std::optional<store::TopicType> TopicTypeFromName(std::string_view name) {
  for (const auto& [type, known] : kNames) {
    if (known == name) return type;
  }
  return std::nullopt;
}

}  // namespace raftmq::broker
