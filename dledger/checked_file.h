// Checked file: the form of dledger's small state files. Lines `key=value`, the last one `crc=` and
// the CRC-32C of all before it in eight hex digits; written so that a crash leaves the old file or
// the new one. People can read them; docs/formats.md says what each holds.
//
// Pure functions over a FileSystem; the caller orders writes of one path.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"

namespace raftmq::dledger {

class CheckedFields {
 public:
  // REQUIRES: no newline in either, no '=' in `key`.
  void Set(std::string_view key, std::string_view value);
  void SetInt(std::string_view key, int64_t value);

  // DataLoss, with the file's path, if the field is missing or no such number.
  absl::StatusOr<std::string> Get(const std::string& key) const;
  absl::StatusOr<int64_t> GetInt(const std::string& key) const;
  absl::StatusOr<uint64_t> GetUint(const std::string& key) const;

 private:
  friend absl::Status WriteCheckedFile(FileSystem*, const std::string&, const CheckedFields&);
  friend absl::StatusOr<CheckedFields> ReadCheckedFile(FileSystem*, const std::string&);
  std::string path_;
  std::map<std::string, std::string> fields_;
};

// Durable when it returns OK. Any error means that the outcome is unknown.
absl::Status WriteCheckedFile(FileSystem* fs, const std::string& path, const CheckedFields& fields);

// NotFound if there is no such file; DataLoss if it is not such a file or its CRC is wrong.
absl::StatusOr<CheckedFields> ReadCheckedFile(FileSystem* fs, const std::string& path);

}  // namespace raftmq::dledger
