#include <array>
#include <utility>

#include "dledger/ledger.h"

namespace raftmq::dledger {
namespace {

constexpr std::array<std::pair<AckLevel, std::string_view>, 4> kNames = {{
    {AckLevel::kLeaderMemory, "leader"},
    {AckLevel::kMajorityMemory, "quorum"},
    {AckLevel::kMajorityDisk, "quorum_fsync"},
    {AckLevel::kAllDisks, "all"},
}};

}  // namespace

std::string_view AckLevelName(AckLevel level) {
  for (const auto& [known, name] : kNames) {
    if (known == level) return name;
  }
  return "?";
}

std::optional<AckLevel> ParseAckLevel(std::string_view name) {
  for (const auto& [level, known] : kNames) {
    if (known == name) return level;
  }
  return std::nullopt;
}

}  // namespace raftmq::dledger
