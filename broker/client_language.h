// ClientLanguage: which client library is talking, by its `x-mq-language` header. What a route or a
// Settings answer looks like depends on it.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace raftmq::broker {

enum class ClientLanguage : uint8_t {
  kUnknown = 0,
  kJava,
  kGo,
  kCpp,
  kPython,
  kNodeJs,
  kRust,
  kDotNet,
  kRaftMq,  // this project's own client and tools
};

// The header's value as the official clients send it: JAVA, GO, CPP, PYTHON, HTTP (Node.js), RUST,
// DOTNET; RAFTMQ for ours. Anything else is kUnknown.
ClientLanguage ParseClientLanguage(std::string_view header);

// The header's value for `language`; "" for kUnknown.
std::string_view ClientLanguageName(ClientLanguage language);

}  // namespace raftmq::broker
