// The plain values that go into and come out of the Raft core.
//
// The core works on entry *metadata*: index, term, type, position and size. The bytes of an entry
// lie in the replicated byte log that the driver keeps; a Message that carries entries is completed
// by the driver with the bytes [entries.front().position, entries.back().end()).
//
// Value types; no thread rules.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace raftmq::raft {

// The smallest frame: the header of an entry of the byte log. A body may be empty.
inline constexpr int32_t kFrameHeaderSize = 48;

// The no-op that a leader proposes at its term's start is a bare header.
inline constexpr int32_t kNoOpFrameSize = kFrameHeaderSize;

// Terms above this are taken for garbage. One election a microsecond would need 146,000 years.
inline constexpr Term kMaxTerm{int64_t{1} << 62};

// Indexes and positions above this are taken for garbage; the sum of two can be represented.
inline constexpr int64_t kMaxNumber = int64_t{1} << 61;

// Numbers are stored and sent: never reuse one.
enum class EntryType : uint8_t {
  kNoOp = 0,           // a leader's first entry of its term (paper §8); the core proposes it
  kNormal = 1,         // what the driver's user proposed
  kConfiguration = 2,  // a membership; the core does not interpret it yet
};

// What the core knows of one log entry.
struct EntryMeta {
  LogIndex index;
  Term term;
  EntryType type = EntryType::kNormal;
  LogPosition position;  // first byte of its frame in the replicated byte log
  int32_t size = 0;      // bytes of its frame: header (48) and body

  // One past the frame's last byte.
  LogPosition end() const { return position + size; }

  bool operator==(const EntryMeta&) const = default;
};

// The position at which a frame of `frame_size` bytes is written when the log ends at `end`.
//
// A frame never spans segments. It goes to `end` if it fits, that is, if it leaves exactly 0 or at
// least kFrameHeaderSize bytes of the segment (what is left over is one day filled by a blank
// frame, which needs a header); else to the start of the next segment.
// REQUIRES: kFrameHeaderSize <= frame_size <= MaxFrameSize(segment_size).
LogPosition PlaceFrame(LogPosition end, int64_t frame_size, int64_t segment_size);

// A quarter of a segment: bounds what a blank frame can waste.
inline constexpr int64_t MaxFrameSize(int64_t segment_size) { return segment_size / 4; }

// Who belongs to the group.
struct Configuration {
  std::vector<MemberId> voters;
  std::vector<MemberId> learners;         // reserved: not replicated to yet
  std::vector<MemberId> voters_outgoing;  // reserved for joint consensus (paper §6): empty

  bool IsVoter(MemberId id) const;
  bool operator==(const Configuration&) const = default;
};

// What must survive a restart besides the log (paper figure 2, "persistent state").
struct HardState {
  Term term;
  MemberId vote = kNoMember;  // whom this member voted for in `term`

  bool operator==(const HardState&) const = default;
};

// Where a log ends: its last entry's index and term, and the position after that entry.
// All zero: an empty log.
struct LogEnd {
  LogIndex index;
  Term term;
  LogPosition end;

  bool operator==(const LogEnd&) const = default;
};

enum class Role : uint8_t { kFollower = 0, kPreCandidate = 1, kCandidate = 2, kLeader = 3 };

// Numbers are sent: never reuse one.
enum class MessageType : uint8_t {
  kPreVote = 1,  // "would you vote for me in `term`?"; changes nothing at the voter (thesis §9.6)
  kPreVoteResponse = 2,
  kVote = 3,  // RequestVote (paper §5.2)
  kVoteResponse = 4,
  kAppend = 5,  // AppendEntries (paper §5.3); may be empty
  kAppendResponse = 6,
  kHeartbeat = 7,  // from the leader, without a log check
  kHeartbeatResponse = 8,
  kTimeoutNow = 9,  // leadership transfer: campaign at once (thesis §3.10)
  // Reserved: refused with Unimplemented and answered by nothing.
  kInstallSnapshot = 10,
  kInstallSnapshotResponse = 11,
  // "Am I still the leader of `term`?", asked before a linearizable read (thesis §6.4).
  kReadIndex = 12,
  kReadIndexResponse = 13,
};

// What members tell each other. Unused fields keep their defaults; which type uses which is said
// at the field.
struct Message {
  MessageType type = MessageType::kHeartbeat;
  MemberId from = kNoMember;
  MemberId to = kNoMember;

  // The sender's term; for kPreVote and a granted kPreVoteResponse the term the candidate would
  // campaign in.
  Term term;

  // kAppend: the entry before `entries`, and the position after it. kAppendResponse with `reject`:
  // prev_index of the refused kAppend.
  LogIndex prev_index;
  Term prev_term;
  LogPosition prev_end;

  // kAppend. Their frames are contiguous in one segment: one slice of bytes,
  // [entries.front().position, entries.back().end()). Between prev_end and the first position there
  // may be a blank frame (up to the segment's end), which the receiver writes by itself.
  std::vector<EntryMeta> entries;

  // kAppend, kHeartbeat: the leader's commit index; in a heartbeat at most what the receiver is
  // known to have.
  LogIndex commit;

  // kPreVote, kVote: the last entry of the candidate's whole log, durable or not (paper §5.4.1).
  LogIndex last_log_index;
  Term last_log_term;

  // kAppendResponse (not rejected), kHeartbeatResponse: the sender's log equals the leader's up to
  // match_index, and up to durable_index that part is covered by a finished fdatasync
  // (durable_index <= match_index). Only durable_index counts for commit.
  LogIndex match_index;
  LogIndex durable_index;

  // kAppendResponse, kVoteResponse, kPreVoteResponse.
  bool reject = false;

  // kAppendResponse with `reject`: the last entry of the sender's log, at or before prev_index,
  // whose term is not above prev_term. The leader's next guess lies at or before it: back-off is by
  // term, not by entry (paper end of §5.3).
  // kReadIndex, kReadIndexResponse: the number of the round of reads that this confirms.
  LogIndex hint_index;
  Term hint_term;

  // kVote: the campaign was asked for by the leader (transfer), so a voter that hears the leader
  // must not ignore it (thesis §4.2.3).
  bool force = false;

  // kAppend: answer as soon as the entries are in memory, and again when they are durable. Without
  // it a follower answers once, when they are durable.
  bool ack_in_memory = false;

  // kHeartbeat: only tells the commit index; no answer is wanted.
  bool quiet = false;

  // All responses: the sender's log is damaged; it neither votes nor campaigns for now.
  bool damaged = false;

  bool operator==(const Message&) const = default;
};

// For logs and tests; stable, one line.
std::string_view ToString(EntryType type);
std::string_view ToString(Role role);
std::string_view ToString(MessageType type);
std::string ToString(
    const EntryMeta& entry);  // "3/2 normal @96+48" = index/term type @position+size
std::string ToString(const Message& message);

std::ostream& operator<<(std::ostream& os, Role role);
std::ostream& operator<<(std::ostream& os, MessageType type);
std::ostream& operator<<(std::ostream& os, const EntryMeta& entry);
std::ostream& operator<<(std::ostream& os, const Message& message);

}  // namespace raftmq::raft
