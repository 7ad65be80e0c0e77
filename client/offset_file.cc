#include "client/offset_file.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/strings.h"

namespace raftmq::client {

absl::StatusOr<OffsetFile::Offsets> OffsetFile::Read() const {
  Offsets offsets;
  const auto text = ReadFile(fs_, path_);
  if (absl::IsNotFound(text.status())) return offsets;
  if (!text.ok()) return text.status();
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    int32_t queue = 0;
    int64_t offset = 0;
    if (fields.size() != 4 || !absl::SimpleAtoi(fields[2], &queue) ||
        !absl::SimpleAtoi(fields[3], &offset) || offset < 0) {
      return absl::DataLossError(
          StrCat("offset file ", path_, ": \"", std::string(line),
                 "\" is not topic, broker, queue and offset with tabs between: remove the file to "
                 "begin anew"));
    }
    offsets[{fields[0], fields[1], queue}] = QueueOffset(offset);
  }
  return offsets;
}

absl::Status OffsetFile::Write(const Offsets& offsets) const {
  std::string text;
  for (const auto& [name, offset] : offsets) {
    const auto& [topic, broker, queue] = name;
    text += StrCat(topic, "\t", broker, "\t", queue, "\t", offset, "\n");
  }
  const size_t slash = path_.rfind('/');
  if (slash != std::string::npos) RAFTMQ_RETURN_IF_ERROR(fs_->CreateDirs(path_.substr(0, slash)));
  return WriteFileAtomically(fs_, path_, text);
}

}  // namespace raftmq::client
