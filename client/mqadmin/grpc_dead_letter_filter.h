// Which dead letters of a group a command is about, and the call that finds them. For sources of
// mqadmin only: it includes gRPC.
//
// Not thread-safe.
#pragma once

#include <CLI/CLI.hpp>

#include "client/mqadmin/grpc_session.h"

namespace raftmq::mqadmin {

// Adds -g, -t, -k, --tag, --sql, --beginTimestamp and --endTimestamp, which fill in `request`.
// `request` outlives the command.
// Without the group.
void AddLetterFilter(CLI::App* command, raftmq::v1::RedriveDeadLettersRequest* request);
void AddDeadLetterFilter(CLI::App* command, raftmq::v1::RedriveDeadLettersRequest* request);

// RedriveDeadLetters. A call that got lost is made again for up to 30 s: what it did is not done
// twice.
absl::Status CallPatiently(Session* session, const GroupPlace& place,
                           const raftmq::v1::RedriveDeadLettersRequest& request,
                           raftmq::v1::RedriveDeadLettersResponse* response);

}  // namespace raftmq::mqadmin
