#include "store/outcome.h"

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::store {

absl::Status StatusOf(const dledger::ProposalOutcome& outcome, std::string_view what) {
  const absl::Status& status = outcome.status;
  if (status.ok()) return status;
  switch (status.code()) {
    case absl::StatusCode::kUnknown:
      if (outcome.committed) {
        return Refuse(Reason::kAckTimeout,
                      StrCat(what, ": committed at index ", outcome.index,
                             ", but not on all members' disks in time: ", Message(status)));
      }
      return Refuse(Reason::kUnknownOutcome,
                    StrCat(what, ": logged at index ", outcome.index, " of term ", outcome.term,
                           ", but leadership was lost before it was known to be committed: ",
                           Message(status)));
    case absl::StatusCode::kFailedPrecondition:
      if (ReasonOf(status) != Reason::kNotLeader) return status;
      return Refuse(Reason::kNotLeader, StrCat(what, ": ", Message(status)));
    case absl::StatusCode::kResourceExhausted:
      if (ReasonOf(status) != Reason::kBusy) return status;
      return Refuse(Reason::kBusy, StrCat(what, ": ", Message(status)));
    case absl::StatusCode::kUnavailable:
      return Refuse(Reason::kStopped, StrCat(what, ": ", Message(status)));
    default:
      return status;
  }
}

}  // namespace raftmq::store
