// ByteReader: takes big-endian fields off a run of bytes that nobody vouches for.
//
// The first field that is not there makes it fail; from then on every field reads as zero or empty,
// so a parser reads everything first and asks ok() once. Views point into the input.
//
// Not thread-safe; lives on the stack of one parse.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/endian.h"

namespace raftmq::store {

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T Take() {
    if (!ok_ || rest_.size() < sizeof(T)) {
      ok_ = false;
      return T{};
    }
    T v = LoadBe<T>(rest_.data());
    rest_.remove_prefix(sizeof(T));
    return v;
  }

  // A 16-bit length and that many bytes, at most `max`.
  std::string_view TakeText(size_t max) {
    size_t size = Take<uint16_t>();
    if (!ok_ || size > max || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    std::string_view text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return text;
  }

  // A 32-bit count of items of at least `min_item_size` bytes, at most `max`: no more than can be
  // in what is left, so that a broken count reserves no memory.
  size_t TakeCount(size_t max, size_t min_item_size) {
    size_t count = Take<uint32_t>();
    if (!ok_ || count > max || count * min_item_size > rest_.size()) {
      ok_ = false;
      return 0;
    }
    return count;
  }

  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }
  // Everything was there, and nothing more.
  bool Finished() const { return ok_ && rest_.empty(); }
  size_t remaining() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace raftmq::store
