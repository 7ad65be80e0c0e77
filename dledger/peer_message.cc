#include "dledger/peer_message.h"

#include "base/byte_reader.h"
#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

using raft::EntryMeta;
using raft::EntryType;
using raft::Message;
using raft::MessageType;

// Numbers are sent: never reuse one.
enum Flag : uint8_t {
  kReject = 1 << 0,
  kForce = 1 << 1,
  kAckInMemory = 1 << 2,
  kQuiet = 1 << 3,
  kDamaged = 1 << 4,
};
constexpr uint8_t kAllFlags = kReject | kForce | kAckInMemory | kQuiet | kDamaged;

// Which groups of fields follow; a group whose fields all have their defaults is left out.
enum Group : uint8_t {
  kPrevious = 1 << 0,
  kCommit = 1 << 1,
  kLastLog = 1 << 2,
  kMatch = 1 << 3,
  kHint = 1 << 4,
  kEntries = 1 << 5,
};
constexpr uint8_t kAllGroups = kPrevious | kCommit | kLastLog | kMatch | kHint | kEntries;

constexpr size_t kEntrySize = 8 + 1 + 4;
// Above this an index or a position is garbage; sums stay far from overflow.
constexpr int64_t kMaxNumber = int64_t{1} << 62;

uint8_t FlagsOf(const Message& m) {
  return (m.reject ? kReject : 0) | (m.force ? kForce : 0) | (m.ack_in_memory ? kAckInMemory : 0) |
         (m.quiet ? kQuiet : 0) | (m.damaged ? kDamaged : 0);
}

uint8_t GroupsOf(const Message& m) {
  const LogIndex none;
  uint8_t groups = 0;
  if (m.prev_index != none || m.prev_term != Term() || m.prev_end != LogPosition()) {
    groups |= kPrevious;
  }
  if (m.commit != none) groups |= kCommit;
  if (m.last_log_index != none || m.last_log_term != Term()) groups |= kLastLog;
  if (m.match_index != none || m.durable_index != none) groups |= kMatch;
  if (m.hint_index != none || m.hint_term != Term()) groups |= kHint;
  if (!m.entries.empty()) groups |= kEntries;
  return groups;
}

template <typename T>
void Append(std::string* out, T number) {
  AppendBe(out, number.value());
}

template <typename T>
T ReadNumber(ByteReader& reader) {
  const auto value = reader.Read<typename T::rep>();
  if (value < 0 || value > kMaxNumber) reader.Fail();
  return T(value);
}

void AppendEntries(std::string* out, const std::vector<EntryMeta>& entries) {
  Append(out, entries.front().index);
  Append(out, entries.front().position);
  AppendBe<uint32_t>(out, static_cast<uint32_t>(entries.size()));
  LogIndex index = entries.front().index;
  LogPosition position = entries.front().position;
  for (const EntryMeta& entry : entries) {
    CHECK(entry.index == index && entry.position == position)
        << "entries to be sent are not contiguous: " << raft::ToString(entry);
    Append(out, entry.term);
    AppendBe<uint8_t>(out, static_cast<uint8_t>(entry.type));
    AppendBe<int32_t>(out, entry.size);
    index += 1;
    position = entry.end();
  }
}

absl::Status ReadEntries(ByteReader& reader, size_t body_size, std::vector<EntryMeta>* entries) {
  LogIndex index = ReadNumber<LogIndex>(reader);
  LogPosition position = ReadNumber<LogPosition>(reader);
  const uint32_t count = reader.Read<uint32_t>();
  if (!reader.ok() || count == 0 || reader.remaining() < count * kEntrySize) {
    return absl::InvalidArgumentError(StrCat("malformed peer message: ", count,
                                             " entries do not fit into ", reader.remaining(),
                                             " bytes"));
  }
  entries->reserve(count);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; ++i) {
    EntryMeta entry;
    entry.index = index;
    entry.position = position;
    entry.term = ReadNumber<Term>(reader);
    const uint8_t type = reader.Read<uint8_t>();
    entry.type = static_cast<EntryType>(type);
    entry.size = reader.Read<int32_t>();
    if (!reader.ok() || type > static_cast<uint8_t>(EntryType::kConfiguration) ||
        entry.size < raft::kFrameHeaderSize) {
      return absl::InvalidArgumentError(StrCat("malformed peer message: entry ", index,
                                               " has type ", type, " and ", entry.size, " bytes"));
    }
    sum += static_cast<uint64_t>(entry.size);
    index += 1;
    position = entry.end();
    entries->push_back(entry);
  }
  if (sum != body_size) {
    return absl::InvalidArgumentError(StrCat("malformed peer message: its entries have ", sum,
                                             " bytes, but ", body_size, " follow"));
  }
  return absl::OkStatus();
}

void ReadGroups(ByteReader& reader, uint8_t groups, Message* m) {
  if (groups & kPrevious) {
    m->prev_index = ReadNumber<LogIndex>(reader);
    m->prev_term = ReadNumber<Term>(reader);
    m->prev_end = ReadNumber<LogPosition>(reader);
  }
  if (groups & kCommit) m->commit = ReadNumber<LogIndex>(reader);
  if (groups & kLastLog) {
    m->last_log_index = ReadNumber<LogIndex>(reader);
    m->last_log_term = ReadNumber<Term>(reader);
  }
  if (groups & kMatch) {
    m->match_index = ReadNumber<LogIndex>(reader);
    m->durable_index = ReadNumber<LogIndex>(reader);
  }
  if (groups & kHint) {
    m->hint_index = ReadNumber<LogIndex>(reader);
    m->hint_term = ReadNumber<Term>(reader);
  }
}

}  // namespace

std::string EncodePeerMessage(const Message& m) {
  const uint8_t groups = GroupsOf(m);
  std::string out;
  out.reserve(96 + m.entries.size() * kEntrySize);
  AppendBe<uint8_t>(&out, static_cast<uint8_t>(m.type));
  AppendBe<uint8_t>(&out, FlagsOf(m));
  AppendBe<uint8_t>(&out, groups);
  Append(&out, m.from);
  Append(&out, m.to);
  Append(&out, m.term);
  if (groups & kPrevious) {
    Append(&out, m.prev_index);
    Append(&out, m.prev_term);
    Append(&out, m.prev_end);
  }
  if (groups & kCommit) Append(&out, m.commit);
  if (groups & kLastLog) {
    Append(&out, m.last_log_index);
    Append(&out, m.last_log_term);
  }
  if (groups & kMatch) {
    Append(&out, m.match_index);
    Append(&out, m.durable_index);
  }
  if (groups & kHint) {
    Append(&out, m.hint_index);
    Append(&out, m.hint_term);
  }
  if (groups & kEntries) AppendEntries(&out, m.entries);
  return out;
}

absl::StatusOr<Message> ParsePeerMessage(std::string_view meta, size_t body_size) {
  ByteReader reader(meta);
  const uint8_t type = reader.Read<uint8_t>();
  const uint8_t flags = reader.Read<uint8_t>();
  const uint8_t groups = reader.Read<uint8_t>();
  if (!reader.ok() || type < static_cast<uint8_t>(MessageType::kPreVote) ||
      type > static_cast<uint8_t>(MessageType::kReadIndexResponse) || (flags & ~kAllFlags) != 0 ||
      (groups & ~kAllGroups) != 0) {
    return absl::InvalidArgumentError(StrCat("malformed peer message: type ", type, ", flags ",
                                             flags, ", groups ", groups, ", ", meta.size(),
                                             " bytes"));
  }
  Message m;
  m.type = static_cast<MessageType>(type);
  m.reject = flags & kReject;
  m.force = flags & kForce;
  m.ack_in_memory = flags & kAckInMemory;
  m.quiet = flags & kQuiet;
  m.damaged = flags & kDamaged;
  m.from = ReadNumber<MemberId>(reader);
  m.to = ReadNumber<MemberId>(reader);
  m.term = ReadNumber<Term>(reader);
  ReadGroups(reader, groups, &m);
  if (groups & kEntries) {
    RAFTMQ_RETURN_IF_ERROR(ReadEntries(reader, body_size, &m.entries));
  } else if (body_size != 0) {
    return absl::InvalidArgumentError(
        StrCat("malformed peer message: ", body_size, " bytes follow, but it has no entries"));
  }
  if (!reader.ok() || !reader.at_end()) {
    return absl::InvalidArgumentError(
        StrCat("malformed peer message: ", reader.ok() ? "bytes follow it" : "it ends early"));
  }
  return m;
}

}  // namespace raftmq::dledger
