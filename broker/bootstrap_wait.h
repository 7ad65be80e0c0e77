// What a formatted member does that was never given its group's first entry: it answers
// GetMemberStatus (so that its incarnation can be collected) and Bootstrap, and nothing else.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/file_system.h"
#include "raftmq/v1/admin.pb.h"

namespace raftmq::broker {

class GrpcServer;

// The caller holds the lock of `dir`. Serves with `server`, which it starts and stops, until
// Bootstrap has durably given `dir` its first entry. Cancelled when `stop_requested` says so; asked
// about ten times a second.
absl::Status WaitForBootstrap(FileSystem* fs, const std::string& dir,
                              const raftmq::v1::MemberIdentity& identity, GrpcServer* server,
                              EventLoop* accept_loop, const std::function<bool()>& stop_requested);

}  // namespace raftmq::broker
