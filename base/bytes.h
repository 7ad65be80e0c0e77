// Bytes: an immutable, reference-counted run of bytes, cut without copying.
//
// The leader encodes a batch once; the same memory then goes to the log writer and to every peer,
// and each lets go of it when done. Copying a Bytes costs one atomic increment.
//
// Thread-safe as a shared_ptr<const> is.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace raftmq {

class Bytes {
 public:
  Bytes() = default;

  // Takes over the string's memory.
  explicit Bytes(std::string data)
      : owner_(std::make_shared<const std::string>(std::move(data))), view_(*owner_) {}

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
  std::shared_ptr<const std::string> owner_;
  std::string_view view_;
};

}  // namespace raftmq
