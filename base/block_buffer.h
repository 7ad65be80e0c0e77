// BlockBuffer: memory that begins at a multiple of kBlockSize, for File::PWriteBlocks. Grows, never
// shrinks, and keeps no content when it grows.
//
// Not thread-safe: one owner.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "base/file_system.h"
#include "glog/logging.h"

namespace raftmq {

class BlockBuffer {
 public:
  // At least `size` bytes; what was there before is lost if that is more than before.
  char* Reserve(size_t size) {
    if (size > size_) {
      size_ = (size + kBlockSize - 1) / kBlockSize * kBlockSize;
      data_.reset(static_cast<char*>(std::aligned_alloc(kBlockSize, size_)));
      CHECK(data_ != nullptr) << "out of memory: " << size_ << " bytes";
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::unique_ptr<char, Free> data_;
  size_t size_ = 0;
};

}  // namespace raftmq
