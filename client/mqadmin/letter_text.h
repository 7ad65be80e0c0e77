// A dead letter as a line of text, for other programs: JSON, or CSV (RFC 4180) with the same
// columns.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace raftmq::mqadmin {

struct ExportedLetter {
  std::string group;
  std::string broker;
  int32_t queue = 0;   // of %DLQ%<group>
  int64_t offset = 0;  // in it
  std::string message_id;
  std::string origin_topic;
  std::string reason;
  int64_t attempts = 0;
  int64_t born_ms = 0;
  int64_t dead_ms = 0;
  std::string tag;
  std::string keys;
  std::map<std::string, std::string> properties;  // all, system ones too
  std::string body;
  bool body_is_base64 = false;
};

// Each with its line's end. Bytes that are no UTF-8 become U+FFFD in JSON.
std::string JsonLine(const ExportedLetter& letter);
std::string CsvHeading();
// Properties are one cell, a JSON object.
std::string CsvLine(const ExportedLetter& letter);

}  // namespace raftmq::mqadmin
