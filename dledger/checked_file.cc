#include "dledger/checked_file.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "base/crc.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr std::string_view kCrcKey = "crc=";

std::string CrcLine(std::string_view text) { return absl::StrFormat("crc=%08x\n", Crc32c(text)); }

}  // namespace

void CheckedFields::Set(std::string_view key, std::string_view value) {
  CHECK(key.find_first_of("=\n") == std::string_view::npos) << key;
  CHECK(value.find('\n') == std::string_view::npos) << key << ": " << value;
  fields_[std::string(key)] = std::string(value);
}

void CheckedFields::SetInt(std::string_view key, int64_t value) { Set(key, StrCat(value)); }

absl::StatusOr<std::string> CheckedFields::Get(const std::string& key) const {
  auto found = fields_.find(key);
  if (found == fields_.end()) {
    return absl::DataLossError(StrCat(path_, ": expected a line ", key, "=, found none"));
  }
  return found->second;
}

absl::StatusOr<int64_t> CheckedFields::GetInt(const std::string& key) const {
  RAFTMQ_ASSIGN_OR_RETURN(const std::string text, Get(key));
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return absl::DataLossError(StrCat(path_, ": ", key, ": expected a number, found ", text));
  }
  return value;
}

absl::StatusOr<uint64_t> CheckedFields::GetUint(const std::string& key) const {
  RAFTMQ_ASSIGN_OR_RETURN(const std::string text, Get(key));
  uint64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return absl::DataLossError(StrCat(path_, ": ", key, ": expected a number, found ", text));
  }
  return value;
}

absl::Status WriteCheckedFile(FileSystem* fs, const std::string& path,
                              const CheckedFields& fields) {
  std::string text;
  for (const auto& [key, value] : fields.fields_) text += StrCat(key, "=", value, "\n");
  text += CrcLine(text);
  return WriteFileAtomically(fs, path, text);
}

absl::StatusOr<CheckedFields> ReadCheckedFile(FileSystem* fs, const std::string& path) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::string file, ReadFile(fs, path));
  std::string_view text = file;
  const size_t crc_at = text.rfind(kCrcKey);
  if (crc_at == std::string_view::npos || text.substr(crc_at) != CrcLine(text.substr(0, crc_at))) {
    return absl::DataLossError(StrCat(path, ": CRC is missing or wrong in these ", text.size(),
                                      " bytes; the file is damaged"));
  }
  CheckedFields fields;
  fields.path_ = path;
  text = text.substr(0, crc_at);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      return absl::DataLossError(StrCat(path, ": expected key=value, found ", line));
    }
    fields.fields_[std::string(line.substr(0, equals))] = std::string(line.substr(equals + 1));
  }
  return fields;
}

}  // namespace raftmq::dledger
