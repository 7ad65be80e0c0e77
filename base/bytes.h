// RawBytes, a buffer to be filled, and Bytes, which shares what was filled without copying it.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace raftmq {

// A growing buffer whose new bytes are left as they are: for what is written or received over them
// anyway, when a string's zeros would be one pass over memory for nothing. Moves, does not copy.
class RawBytes {
 public:
  RawBytes() = default;
  explicit RawBytes(size_t size) { resize(size); }

  RawBytes(RawBytes&& other) noexcept { *this = std::move(other); }
  RawBytes& operator=(RawBytes&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  char* data() { return data_.get(); }
  const char* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {data_.get(), size_}; }

  // Memory stays where it is while it does not grow beyond the capacity.
  void reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    std::unique_ptr<char[]> grown = std::make_unique_for_overwrite<char[]>(capacity);
    if (size_ > 0) std::memcpy(grown.get(), data_.get(), size_);
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  // Exactly as large, if it has to grow: whoever grows it step by step reserves.
  void resize(size_t size) {
    reserve(size);
    size_ = size;
  }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Bytes: an immutable, reference-counted run of bytes, cut without copying.
//
// The leader encodes a batch once; the same memory then goes to the log writer and to every peer,
// and each lets go of it when done. Copying a Bytes costs one atomic increment.
//
// Thread-safe as a shared_ptr<const> is.
class Bytes {
 public:
  Bytes() = default;

  // Takes over the memory.
  explicit Bytes(std::string data) { Own(std::move(data)); }
  explicit Bytes(RawBytes data) { Own(std::move(data)); }

  std::string_view view() const { return view_; }
  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }

  // REQUIRES: offset + size <= this->size().
  Bytes Sub(size_t offset, size_t size) const {
    Bytes part = *this;
    part.view_ = view_.substr(offset, size);
    return part;
  }

 private:
  template <typename Owned>
  void Own(Owned data) {
    auto owner = std::make_shared<const Owned>(std::move(data));
    view_ = {owner->data(), owner->size()};
    owner_ = std::move(owner);
  }

  std::shared_ptr<const void> owner_;
  std::string_view view_;
};

}  // namespace raftmq
