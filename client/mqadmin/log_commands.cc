// dumpLog: an offline look into a segment of the log (RocketMQ has none for its CommitLog).

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/endian.h"
#include "base/file_system.h"
#include "base/strings.h"
#include "client/mqadmin/commands.h"
#include "dledger/frame.h"
#include "dledger/log_files.h"
#include "store/message_record.h"

namespace raftmq::mqadmin {
namespace {

struct DumpArguments {
  std::string file;
  int64_t from = -1;  // log positions
  int64_t to = -1;
  std::string topic;
  std::string key;
  std::string body = "none";  // none, text, hex
};

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out += kDigits[c >> 4];
    out += kDigits[c & 15];
  }
  return out;
}

std::string_view TypeName(dledger::FrameType type) {
  switch (type) {
    case dledger::FrameType::kNoOp:
      return "noop";
    case dledger::FrameType::kRecords:
      return "records";
    case dledger::FrameType::kCommands:
      return "commands";
    case dledger::FrameType::kConfiguration:
      return "configuration";
  }
  return "unknown";
}

// Walks a segment file frame by frame and says why it ended.
class SegmentDump {
 public:
  SegmentDump(const DumpArguments& args, bool json) : args_(args), json_(json) {}

  absl::Status Run() {
    RAFTMQ_ASSIGN_OR_RETURN(auto file, PosixFileSystem()->Open(args_.file, OpenMode::kRead));
    RAFTMQ_ASSIGN_OR_RETURN(const int64_t size, file->Size());
    const auto start =
        dledger::ParseSegmentName(std::string_view(args_.file).substr(args_.file.rfind('/') + 1));
    if (!start.has_value()) {
      return absl::InvalidArgumentError(
          StrCat(args_.file, ": expected a segment, named by 20 digits, of a commitlog folder"));
    }
    start_ = start->value();
    int64_t at = 0;
    while (at < size) {
      if (at == size - dledger::kTrailerSize) return End(at, "the segment is full");
      std::string header_bytes;
      RAFTMQ_RETURN_IF_ERROR(file->PRead(at, dledger::kFrameHeaderSize, &header_bytes));
      if (IsZero(header_bytes)) return EndInZeros(*file, at, size);
      if (header_bytes.size() < dledger::kFrameHeaderSize) {
        return EndInDamage(at, "the file ends within a header");
      }
      if (auto blank = dledger::ParseBlankFrame(header_bytes, LogPosition(start_ + at));
          blank.ok()) {
        return End(at, StrCat("blank frame of ", *blank, " bytes: the log goes on in segment ",
                              start_ + at + *blank));
      }
      auto header = dledger::ParseFrameHeader(header_bytes, {});
      if (!header.ok()) return EndInDamage(at, Message(header.status()));
      if (header->size > size - at) {
        return EndInDamage(
            at, StrCat("a frame of ", header->size, " bytes, but the file ends after ", size - at));
      }
      std::string frame;
      RAFTMQ_RETURN_IF_ERROR(file->PRead(at, header->size, &frame));
      auto checked = dledger::ParseFrame(frame, {});
      std::string verdict = checked.ok() ? "ok" : std::string(Message(checked.status()));
      if (header->position.value() != start_ + at) {
        verdict = StrCat("position ", header->position, " at ", start_ + at);
      } else if (checked.ok() && have_chain_ &&
                 dledger::ChainCrc(chain_, *header) != header->chain_crc) {
        verdict = "chain CRC mismatch";
      }
      bad_ += verdict != "ok";
      chain_ = header->chain_crc;
      have_chain_ = true;
      if (Wanted(start_ + at)) Show(*header, frame, verdict);
      at += header->size;
      ++frames_;
    }
    return End(at, "end of file");
  }

 private:
  static bool IsZero(std::string_view bytes) {
    return bytes.find_first_not_of('\0') == std::string_view::npos;
  }

  bool Wanted(int64_t position) const {
    return (args_.from < 0 || position >= args_.from) && (args_.to < 0 || position < args_.to);
  }

  void Show(const dledger::FrameHeader& header, std::string_view frame,
            const std::string& verdict) {
    const bool filtered = !args_.topic.empty() || !args_.key.empty();
    if (!filtered || verdict != "ok") {
      if (json_) {
        nlohmann::ordered_json o = {{"position", header.position.value()},
                                    {"index", header.index.value()},
                                    {"term", header.term.value()},
                                    {"type", TypeName(header.type)},
                                    {"size", header.size},
                                    {"crc", verdict}};
        std::cout << o.dump() << "\n";
      } else {
        std::cout << "frame  position " << header.position << "  index " << header.index
                  << "  term " << header.term << "  " << TypeName(header.type) << "  "
                  << header.size << " bytes  crc " << verdict << "\n";
      }
    }
    if (header.type == dledger::FrameType::kRecords) {
      ShowRecords(frame.substr(dledger::kFrameHeaderSize));
    }
  }

  void ShowRecords(std::string_view body) {
    while (!body.empty()) {
      auto bytes = store::TakeRecord(&body);
      if (!bytes.ok()) return ShowBadRecord(bytes.status());
      auto record = store::ParseRecord(*bytes);
      if (!record.ok()) {
        ShowBadRecord(record.status());
        continue;
      }
      ++records_;
      if (!args_.topic.empty() && record->topic != args_.topic) continue;
      if (!args_.key.empty() && record->unique_key() != args_.key && !HasKey(record->keys())) {
        continue;
      }
      ShowRecord(*record);
    }
  }

  void ShowBadRecord(const absl::Status& status) {
    ++bad_;
    if (json_) {
      std::cout << nlohmann::ordered_json{{"record", Message(status)}}.dump() << "\n";
    } else {
      std::cout << "  record: " << Message(status) << "\n";
    }
  }

  bool HasKey(std::string_view keys) const {
    while (!keys.empty()) {
      const size_t end = keys.find(' ');
      if (keys.substr(0, end) == args_.key) return true;
      keys.remove_prefix(end == std::string_view::npos ? keys.size() : end + 1);
    }
    return false;
  }

  void ShowRecord(const store::RecordView& r) {
    const std::string body = args_.body == "hex" ? Hex(r.body) : std::string(r.body);
    if (json_) {
      nlohmann::ordered_json o = {{"topic", r.topic},
                                  {"queue", r.queue_id.value()},
                                  {"queue_offset", r.queue_offset.value()},
                                  {"position", r.physical_offset.value()},
                                  {"size", r.bytes.size()},
                                  {"message_id", r.unique_key()},
                                  {"tag", r.tags()},
                                  {"keys", r.keys()},
                                  {"born_ms", r.born_timestamp_ms},
                                  {"store_ms", r.store_timestamp_ms},
                                  {"body_size", r.body.size()}};
      if (args_.body != "none") o["body"] = body;
      std::cout << o.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
      return;
    }
    std::cout << "  record  " << r.topic << "/" << r.queue_id << "/" << r.queue_offset
              << "  position " << r.physical_offset << "  " << r.bytes.size() << " bytes  id "
              << r.unique_key() << "  stored " << FormatTime(r.store_timestamp_ms);
    if (!r.tags().empty()) std::cout << "  tag " << r.tags();
    if (!r.keys().empty()) std::cout << "  keys " << r.keys();
    std::cout << "\n";
    if (args_.body != "none") std::cout << "    " << body << "\n";
  }

  // Zeros up to the trailer are what was never written; anything else after them is damage.
  absl::Status EndInZeros(const File& file, int64_t at, int64_t size) {
    const int64_t end = size - dledger::kTrailerSize;
    for (int64_t next = at; next < end;) {
      std::string bytes;
      RAFTMQ_RETURN_IF_ERROR(
          file.PRead(next, static_cast<size_t>(std::min(end - next, int64_t{1} << 20)), &bytes));
      if (!IsZero(bytes)) {
        next += static_cast<int64_t>(bytes.find_first_not_of('\0'));
        return EndInDamage(at, StrCat("zeros, but data again at position ", start_ + next));
      }
      next += static_cast<int64_t>(bytes.size());
    }
    return End(at, "zeros: nothing was written here");
  }

  absl::Status EndInDamage(int64_t at, std::string_view what) {
    ++bad_;
    return End(at, StrCat("no frame: ", what));
  }

  absl::Status End(int64_t at, std::string_view reason) {
    std::cerr << frames_ << " frames, " << records_ << " records, " << bad_
              << " bad; ended at position " << start_ + at << ": " << reason << "\n";
    if (bad_ > 0) return absl::DataLossError(StrCat(bad_, " bad frames or records"));
    return absl::OkStatus();
  }

  const DumpArguments& args_;
  const bool json_;
  int64_t start_ = 0;
  uint32_t chain_ = 0;
  bool have_chain_ = false;
  int64_t frames_ = 0;
  int64_t records_ = 0;
  int64_t bad_ = 0;
};

}  // namespace

void AddLogCommands(CLI::App* app, CommandLine* line) {
  static DumpArguments args;
  CLI::App* dump = line->AddCommand(
      app, "dumpLog", "Prints the frames and records of a segment file, offline",
      "dumpLog store/gen-00000001/commitlog/00000000000000000000 --topic orders --body text");
  dump->add_option("FILE", args.file, "a segment: commitlog/<20 digits>")->required();
  dump->add_option("--from", args.from, "first log position");
  dump->add_option("--to", args.to, "log position to stop before");
  dump->add_option("--topic", args.topic, "only records of this topic");
  dump->add_option("--key", args.key, "only records with this key or message id");
  dump->add_option("--body", args.body, "none, text or hex")
      ->check(CLI::IsMember({"none", "text", "hex"}));
  dump->callback([line] {
    const absl::Status done = SegmentDump(args, line->json).Run();
    if (!done.ok()) line->Fail(done);
  });
}

}  // namespace raftmq::mqadmin
