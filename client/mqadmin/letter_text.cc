#include "client/mqadmin/letter_text.h"

#include <nlohmann/json.hpp>

namespace raftmq::mqadmin {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const ExportedLetter& letter) {
  return {{"group", letter.group},
          {"broker", letter.broker},
          {"queue", letter.queue},
          {"offset", letter.offset},
          {"message_id", letter.message_id},
          {"origin_topic", letter.origin_topic},
          {"reason", letter.reason},
          {"attempts", letter.attempts},
          {"born_ms", letter.born_ms},
          {"dead_ms", letter.dead_ms},
          {"tag", letter.tag},
          {"keys", letter.keys},
          {"properties", letter.properties},
          {"body_encoding", letter.body_is_base64 ? "base64" : "text"},
          {"body", letter.body}};
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// One line; `cell` tells what stands for an item.
template <typename CellOf>
std::string Line(const Json& object, CellOf cell) {
  std::string line;
  const char* before = "";
  for (const auto& [name, value] : object.items()) {
    line += before + cell(name, value);
    before = ",";
  }
  return line + "\r\n";
}

std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string JsonLine(const ExportedLetter& letter) { return Dump(ToJson(letter)) + "\n"; }

std::string CsvHeading() {
  return Line(ToJson({}), [](const std::string& name, const Json&) { return name; });
}

std::string CsvLine(const ExportedLetter& letter) {
  return Line(ToJson(letter), [](const std::string&, const Json& value) {
    return Quoted(value.is_string() ? value.get<std::string>() : Dump(value));
  });
}

}  // namespace raftmq::mqadmin
