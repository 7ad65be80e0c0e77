// The frame that all mark files share: 8 bytes of magic, a version, the content, and the CRC-32C of
// everything before it. Big-endian.
//
// MarkWriter and MarkReader belong to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"

namespace raftmq::store {

class MarkWriter {
 public:
  // REQUIRES: magic has 8 bytes.
  MarkWriter(std::string_view magic, uint32_t version) : out_(magic) { Put(version); }

  template <typename T>
  void Put(T value) {
    AppendBe<T>(&out_, value);
  }
  // REQUIRES: at most 65535 bytes.
  void PutString(std::string_view text) {
    Put(static_cast<uint16_t>(text.size()));
    out_.append(text);
  }
  std::string Finish() && {
    Put(Crc32c(out_));
    return std::move(out_);
  }

 private:
  std::string out_;
};

// Reads in the order of writing. Past the end everything is zero and ok() is false.
class MarkReader {
 public:
  // DataLoss if the magic, the version or the CRC is wrong.
  static absl::StatusOr<MarkReader> Open(std::string_view data, std::string_view magic,
                                         uint32_t version) {
    constexpr size_t kCrcSize = 4;
    if (data.size() < magic.size() + 2 * kCrcSize || !data.starts_with(magic)) {
      return absl::DataLossError(StrCat("mark file: no ", magic, " in ", data.size(), " bytes"));
    }
    const std::string_view covered = data.substr(0, data.size() - kCrcSize);
    const uint32_t stored = LoadBe<uint32_t>(covered.data() + covered.size());
    if (const uint32_t crc = Crc32c(covered); crc != stored) {
      return absl::DataLossError(
          StrCat("mark file ", magic, ": CRC ", stored, " is stored, its bytes have ", crc));
    }
    MarkReader reader(covered.substr(magic.size()));
    if (const uint32_t found = reader.Get<uint32_t>(); found != version) {
      return absl::DataLossError(
          StrCat("mark file ", magic, ": version ", found, ", expected ", version));
    }
    return reader;
  }

  template <typename T>
  T Get() {
    if (rest_.size() < sizeof(T)) {
      ok_ = false;
      rest_ = {};
      return T{};
    }
    const T value = LoadBe<T>(rest_.data());
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  std::string GetString() {
    const size_t size = Get<uint16_t>();
    if (rest_.size() < size) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }

  bool ok() const { return ok_; }
  // Whether everything was read, and nothing more.
  bool AtEnd() const { return ok_ && rest_.empty(); }

 private:
  explicit MarkReader(std::string_view rest) : rest_(rest) {}

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace raftmq::store
