#include "broker/client_language.h"

#include <array>
#include <utility>

namespace raftmq::broker {
namespace {

constexpr std::array<std::pair<std::string_view, ClientLanguage>, 11> kNames = {{
    {"JAVA", ClientLanguage::kJava},
    {"GO", ClientLanguage::kGo},
    {"CPP", ClientLanguage::kCpp},
    {"PYTHON", ClientLanguage::kPython},
    {"HTTP", ClientLanguage::kNodeJs},  // what the Node.js client says of itself
    {"RUST", ClientLanguage::kRust},
    {"DOTNET", ClientLanguage::kDotNet},
    {"RAFTMQ", ClientLanguage::kRaftMq},
    {"GOLANG", ClientLanguage::kGo},
    {"NODE_JS", ClientLanguage::kNodeJs},
    {"DOT_NET", ClientLanguage::kDotNet},
}};

}  // namespace

ClientLanguage ParseClientLanguage(std::string_view header) {
  for (const auto& [name, language] : kNames) {
    if (name == header) return language;
  }
  return ClientLanguage::kUnknown;
}

std::string_view ClientLanguageName(ClientLanguage language) {
  for (const auto& [name, candidate] : kNames) {
    if (candidate == language) return name;
  }
  return "";
}

}  // namespace raftmq::broker
