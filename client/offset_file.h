// OffsetFile: how far a broadcasting consumer has read, in a file of its own (RocketMQ:
// LocalFileOffsetStore). One line for each queue: topic, broker, queue, offset, with tabs between.
//
// For one thread at a time; reads and writes the disk.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "client/message.h"

namespace raftmq::client {

class OffsetFile {
 public:
  // By topic, broker, queue.
  using Offsets = std::map<std::tuple<std::string, std::string, int32_t>, QueueOffset>;

  OffsetFile(FileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  // Empty if there is no file. DataLoss: it is none of ours.
  absl::StatusOr<Offsets> Read() const;
  // Replaces it as a whole: a crash leaves the old one or the new one.
  absl::Status Write(const Offsets& offsets) const;

 private:
  FileSystem* const fs_;
  const std::string path_;
};

}  // namespace raftmq::client
