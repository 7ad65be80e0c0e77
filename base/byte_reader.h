// ByteReader: reads a big-endian format field by field from bytes that nobody vouches for.
//
// The first read past the end, or of a text longer than allowed, makes the reader fail; from then
// on everything reads as zero or empty. So a parser reads all its fields and asks ok() once.
//
// Value type; not thread-safe. The bytes outlive the reader.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/endian.h"

namespace raftmq {

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  size_t remaining() const { return rest_.size(); }

  template <typename T>
  T Read() {
    if (!Has(sizeof(T))) return T{};
    const T v = LoadBe<T>(rest_.data());
    rest_.remove_prefix(sizeof(T));
    return v;
  }

  std::string_view ReadView(size_t size) {
    if (!Has(size)) return {};
    const std::string_view v = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return v;
  }

  // A text behind its length, which is of type `Length` and at most `max`.
  template <typename Length>
  std::string ReadText(size_t max) {
    const size_t size = Read<Length>();
    if (size > max) Fail();
    return std::string(ReadView(size));
  }

  void Fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  bool Has(size_t size) {
    if (ok_ && rest_.size() >= size) return true;
    Fail();
    return false;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace raftmq
