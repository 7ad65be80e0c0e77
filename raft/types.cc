#include "raft/types.h"

#include <algorithm>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::raft {

LogPosition PlaceFrame(LogPosition end, int64_t frame_size, int64_t segment_size) {
  CHECK_GE(frame_size, kFrameHeaderSize);
  CHECK_LE(frame_size, MaxFrameSize(segment_size));
  const int64_t used = end.value() % segment_size;
  const int64_t left_after = segment_size - used - frame_size;
  if (left_after == 0 || left_after >= kFrameHeaderSize) return end;
  return end + (segment_size - used);
}

bool Configuration::IsVoter(MemberId id) const {
  return std::find(voters.begin(), voters.end(), id) != voters.end();
}

std::string_view ToString(EntryType type) {
  switch (type) {
    case EntryType::kNoOp:
      return "noop";
    case EntryType::kNormal:
      return "normal";
    case EntryType::kConfiguration:
      return "configuration";
  }
  return "unknown";
}

std::string_view ToString(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "unknown";
}

std::string_view ToString(MessageType type) {
  switch (type) {
    case MessageType::kPreVote:
      return "PreVote";
    case MessageType::kPreVoteResponse:
      return "PreVoteResponse";
    case MessageType::kVote:
      return "Vote";
    case MessageType::kVoteResponse:
      return "VoteResponse";
    case MessageType::kAppend:
      return "Append";
    case MessageType::kAppendResponse:
      return "AppendResponse";
    case MessageType::kHeartbeat:
      return "Heartbeat";
    case MessageType::kHeartbeatResponse:
      return "HeartbeatResponse";
    case MessageType::kTimeoutNow:
      return "TimeoutNow";
    case MessageType::kInstallSnapshot:
      return "InstallSnapshot";
    case MessageType::kInstallSnapshotResponse:
      return "InstallSnapshotResponse";
    case MessageType::kReadIndex:
      return "ReadIndex";
    case MessageType::kReadIndexResponse:
      return "ReadIndexResponse";
  }
  return "unknown";
}

std::string ToString(const EntryMeta& entry) {
  return StrCat(entry.index, "/", entry.term, " ", ToString(entry.type), " @", entry.position, "+",
                entry.size);
}

std::string ToString(const Message& m) {
  std::string text = StrCat(ToString(m.type), " ", m.from, "->", m.to, " term ", m.term);
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kVote:
      text += StrCat(" last ", m.last_log_index, "/", m.last_log_term);
      if (m.force) text += " force";
      break;
    case MessageType::kAppend:
      text += StrCat(" prev ", m.prev_index, "/", m.prev_term, " commit ", m.commit);
      if (m.ack_in_memory) text += " ack-in-memory";
      if (!m.entries.empty()) {
        text += " entries [";
        for (size_t i = 0; i < m.entries.size(); ++i) {
          text += StrCat(i == 0 ? "" : ", ", ToString(m.entries[i]));
        }
        text += "]";
      }
      break;
    case MessageType::kHeartbeat:
      text += StrCat(" commit ", m.commit);
      if (m.quiet) text += " quiet";
      break;
    case MessageType::kAppendResponse:
      if (m.reject) {
        text += StrCat(" reject ", m.prev_index, " hint ", m.hint_index, "/", m.hint_term);
        break;
      }
      [[fallthrough]];
    case MessageType::kHeartbeatResponse:
      text += StrCat(" match ", m.match_index, " durable ", m.durable_index);
      break;
    case MessageType::kPreVoteResponse:
    case MessageType::kVoteResponse:
      text += m.reject ? " reject" : " grant";
      break;
    case MessageType::kReadIndex:
    case MessageType::kReadIndexResponse:
      text += StrCat(" round ", m.hint_index);
      if (m.reject) text += " reject";
      break;
    default:
      break;
  }
  if (m.damaged) text += " damaged";
  return text;
}

std::ostream& operator<<(std::ostream& os, Role role) { return os << ToString(role); }
std::ostream& operator<<(std::ostream& os, MessageType type) { return os << ToString(type); }
std::ostream& operator<<(std::ostream& os, const EntryMeta& entry) { return os << ToString(entry); }
std::ostream& operator<<(std::ostream& os, const Message& message) {
  return os << ToString(message);
}

}  // namespace raftmq::raft
