// Messages written by hand, for tests that play the other members.
#pragma once

#include <utility>
#include <vector>

#include "raft/node.h"
#include "raft/types.h"

namespace raftmq::raft::testing {

inline Message Base(MessageType type, int32_t from, int32_t to, int64_t term) {
  Message m;
  m.type = type;
  m.from = MemberId(from);
  m.to = MemberId(to);
  m.term = Term(term);
  return m;
}

// Entries of 100 bytes with these terms, as they follow `after` in a log with large segments.
inline std::vector<EntryMeta> Entries(LogEnd after, const std::vector<int64_t>& terms,
                                      int64_t segment_size = Options().segment_size) {
  std::vector<EntryMeta> entries;
  for (int64_t term : terms) {
    EntryMeta entry;
    entry.index = after.index + 1;
    entry.term = Term(term);
    entry.size = 100;
    entry.position = PlaceFrame(after.end, entry.size, segment_size);
    entries.push_back(entry);
    after = {entry.index, entry.term, entry.end()};
  }
  return entries;
}

// An Append of entries with `terms` that follow the prefix with terms `before` (all of 100 bytes).
inline Message AppendOf(int32_t from, int32_t to, int64_t term, const std::vector<int64_t>& before,
                        const std::vector<int64_t>& terms, int64_t commit = 0) {
  Message m = Base(MessageType::kAppend, from, to, term);
  const std::vector<EntryMeta> prefix = Entries({}, before);
  LogEnd end;
  if (!prefix.empty()) {
    end = {prefix.back().index, prefix.back().term, prefix.back().end()};
  }
  m.prev_index = end.index;
  m.prev_term = end.term;
  m.prev_end = end.end;
  m.entries = Entries(end, terms);
  m.commit = LogIndex(commit);
  return m;
}

inline Message VoteOf(int32_t from, int32_t to, int64_t term, int64_t last_index,
                      int64_t last_term) {
  Message m = Base(MessageType::kVote, from, to, term);
  m.last_log_index = LogIndex(last_index);
  m.last_log_term = Term(last_term);
  return m;
}

inline Message PreVoteOf(int32_t from, int32_t to, int64_t term, int64_t last_index,
                         int64_t last_term) {
  Message m = VoteOf(from, to, term, last_index, last_term);
  m.type = MessageType::kPreVote;
  return m;
}

inline Message HeartbeatOf(int32_t from, int32_t to, int64_t term, int64_t commit = 0) {
  Message m = Base(MessageType::kHeartbeat, from, to, term);
  m.commit = LogIndex(commit);
  return m;
}

inline Message AckOf(int32_t from, int32_t to, int64_t term, int64_t match, int64_t durable) {
  Message m = Base(MessageType::kAppendResponse, from, to, term);
  m.match_index = LogIndex(match);
  m.durable_index = LogIndex(durable);
  return m;
}

inline Message RejectOf(int32_t from, int32_t to, int64_t term, int64_t prev, int64_t hint,
                        int64_t hint_term) {
  Message m = Base(MessageType::kAppendResponse, from, to, term);
  m.reject = true;
  m.prev_index = LogIndex(prev);
  m.hint_index = LogIndex(hint);
  m.hint_term = Term(hint_term);
  return m;
}

inline std::vector<Message> OfType(const std::vector<Message>& all, MessageType type) {
  std::vector<Message> found;
  for (const Message& m : all) {
    if (m.type == type) found.push_back(m);
  }
  return found;
}

inline std::vector<int64_t> TermsOf(const std::vector<EntryMeta>& entries) {
  std::vector<int64_t> terms;
  for (const EntryMeta& entry : entries) terms.push_back(entry.term.value());
  return terms;
}

}  // namespace raftmq::raft::testing
