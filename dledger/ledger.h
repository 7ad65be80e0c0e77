// Ledger: a replicated byte log, as its users see it. With state_machine.h this is the public face
// of dledger/; store/ and broker/ include nothing else of it.
//
// One Ledger per broker group member; owned by the process's wiring, outlived by nothing that holds
// a pointer to it. All methods may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/state_machine.h"

namespace raftmq::dledger {

// Where a Proposal writes what it decided. Valid during Proposal::Decide only.
class ProposalWriter {
 public:
  virtual ~ProposalWriter() = default;

  // Reserves `size` bytes for one message record in the open records frame, or in a new one. The
  // returned memory is to be filled before Decide returns; `position` is its place in the log.
  // ResourceExhausted: the uncommitted limit is reached or the disk is full; InvalidArgument:
  // larger than a frame may be. Records of one proposal that must be one entry are reserved at once
  // with ReserveAtomic.
  struct Reservation {
    char* data = nullptr;
    LogPosition position;
  };
  virtual absl::StatusOr<Reservation> ReserveRecord(size_t size) = 0;

  // The same for several records that must share one entry (all or none become durable).
  virtual absl::StatusOr<std::vector<Reservation>> ReserveRecords(
      const std::vector<size_t>& sizes) = 0;

  // Appends one command to the open commands frame, or to a new one. Frames keep the order of
  // calls. Each command is prefixed with its length (u32 big-endian) in the frame's body.
  virtual absl::Status AppendCommand(std::string_view command) = 0;
};

// When a proposal's waiter is answered. What commits is the same for all of them.
enum class AckLevel : uint8_t {
  kLeaderMemory = 1,    // appended by the leader
  kMajorityMemory = 2,  // a majority has it in memory (ASYNC_FLUSH)
  kMajorityDisk = 3,    // committed: a majority's disks have it (SYNC_FLUSH, default)
  kAllDisks = 4,        // every voter's disk has it
};

// "leader", "quorum", "quorum_fsync", "all": what users write and read.
std::string_view AckLevelName(AckLevel level);
std::optional<AckLevel> ParseAckLevel(std::string_view name);
// For messages to users: "leader, quorum, quorum_fsync or all".
inline constexpr std::string_view kAckLevelNames = "leader, quorum, quorum_fsync or all";

// How a proposal ended.
struct ProposalOutcome {
  // OK: the asked-for ack level is reached. The code says what is known otherwise:
  //   kUnknown             leadership was lost after it was logged: it may or may not survive
  //   kFailedPrecondition  not leader, certainly not logged; try the leader
  //   kUnavailable         the replica has stopped, certainly not logged
  //   kResourceExhausted   a queue is full or the uncommitted limit is reached, certainly not
  //   logged any other            what Decide returned, certainly not logged
  absl::Status status;
  Term term;
  LogIndex index;  // of the entry with its last record or command; 0 if nothing was logged
  // Certainly survives. Always with kMajorityDisk and OK; with kAllDisks and Unknown it tells the
  // case that a majority's disks have it, but not all did within the bound.
  bool committed = false;
};

// One request to change the replicated state. Owned by the ledger from Propose on.
//
// Decide and Done run on the replica thread (Done of a proposal that is refused at once: on its
// proposer's), must not block, and may call Ledger::Propose.
class Proposal {
 public:
  virtual ~Proposal() = default;

  // Called at most once, while leading. May refuse (with an error: what it wrote is dropped, what
  // it changed in a view of pending proposals is its own to restore), or decide that nothing needs
  // logging (OK without writing: Done waits until all that was logged before is committed, or on
  // all disks with kAllDisks, since that decision may rest on it), or write. What it writes is
  // applied by every member exactly as written if it commits.
  virtual absl::Status Decide(ProposalWriter& writer) = 0;

  // Called exactly once for each proposal, whatever happens.
  virtual void Done(const ProposalOutcome& outcome) = 0;

  virtual AckLevel ack_level() const { return AckLevel::kMajorityDisk; }

  // Bytes that count against the ledger's bound on waiting proposals.
  virtual size_t ByteSize() const { return 256; }
};

enum class Role : uint8_t {
  kFollower = 0,
  kCandidate = 1,
  kLeader = 2,
  kLearner = 3,
  kStopped = 4
};
std::string_view RoleName(Role role);  // "FOLLOWER", …

// One member, as configured and as last heard of.
struct Member {
  MemberId id;
  std::string name;            // "n0"
  std::string peer_address;    // host:port of the peer transport
  std::string client_address;  // advertised host:port of its gRPC service; "" until it greeted us
  Incarnation incarnation;     // of its data directory
  bool connected = false;      // a peer connection is up (always true for ourselves)
  // Leader only, otherwise zero: how far it is.
  LogIndex match_index;
  LogIndex durable_index;
  bool damaged = false;  // its log is being repaired: it does not vote (leader only, and our own)
  // Leader only: it needs entries that retention has dropped, so that only a snapshot can bring it
  // back.
  bool needs_snapshot = false;
};

struct LedgerStatus {
  Role role = Role::kFollower;
  Term term;
  MemberId self;
  MemberId leader;                  // kNoMember: none known
  bool serving = false;             // leader only: BeginLeadership has run, proposals are decided
  int64_t leaderless_since_ms = 0;  // monotonic ms; 0 while a leader is known
  LogIndex first_index;
  LogIndex last_index;
  LogIndex commit_index;
  LogIndex applied_index;
  LogIndex durable_index;
  LogPosition first_position;  // where the bytes that are kept begin
  LogPosition end_position;
  int64_t segment_size = 0;  // positions that are a multiple of it begin a segment
  // Leader only, else first_position: start of the segment that holds the first entry that some
  // voter may not have on its disk. Retention must not drop what comes from there on: that voter
  // could only be brought back by a snapshot. `held_up_by`: the voter that is furthest behind.
  LogPosition held_by_all;
  MemberId held_up_by;
  std::vector<Member> members;  // in configuration order
  absl::Status failure;         // why the replica stopped, if it did
  // What was found wrong with this member's log, until a leader has repaired it; "": nothing.
  std::string damage;
};

class Ledger {
 public:
  virtual ~Ledger() = default;

  // Decides, logs and replicates; Done is called when it is known how that ended. Bounded: when too
  // much is waiting, or the replica has stopped, Done is called at once, on the caller's thread.
  virtual void Propose(std::unique_ptr<Proposal> proposal) = 0;

  // `size` bytes of the log at `position`, for a record's position and size. Whoever reads what is
  // not applied yet gets OutOfRange or bytes that may still be cut; the caller checks CRCs.
  virtual absl::StatusOr<std::string> Read(LogPosition position, size_t size) const = 0;

  // Everything before `position` may go: whole segments before it are dropped from this member's
  // log, once they are applied. To be called only with what a committed retention entry names, on
  // every member, after all that is derived from those entries is on disk: they do not come again.
  // Never goes back; dropping is done later, and a restart may need to be told again.
  virtual void ReleaseBefore(LogPosition position) = 0;

  // A recent view, cheap to get.
  virtual std::shared_ptr<const LedgerStatus> Status() const = 0;

  // `listener` is called on the replica thread after each change of role, leader, serving, members'
  // addresses or connections. Set once, before Start.
  using StatusListener = absl::AnyInvocable<void(const LedgerStatus&)>;
  virtual void SetStatusListener(StatusListener listener) = 0;

  // Hands leadership to `target`, or with kNoMember to the most advanced other voter that is
  // connected and whole; OK when it has taken over. FailedPrecondition if not leader, or nobody can
  // take over: then this member goes on leading.
  virtual void TransferLeadership(MemberId target, absl::AnyInvocable<void(absl::Status)> done) = 0;
};

}  // namespace raftmq::dledger
