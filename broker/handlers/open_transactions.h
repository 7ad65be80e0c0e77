// The transactions that an operator is shown. Any thread; may read the disk.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "proto/raftmq/v1/admin.pb.h"
#include "store/waiting_messages.h"

namespace raftmq::broker {

// The names that a transaction id needs.
struct HalfNames {
  std::string topic;
  std::string message_id;
};

absl::StatusOr<HalfNames> NamesOf(const store::WaitingMessages& waiting, LogPosition position);

// One whose record this member cannot read is listed without its names, whatever topic is asked
// for; one that ends meanwhile is left out.
::raftmq::v1::ListTransactionsResponse ListOpenTransactions(
    const store::WaitingMessages& waiting, const ::raftmq::v1::ListTransactionsRequest& request);

}  // namespace raftmq::broker
