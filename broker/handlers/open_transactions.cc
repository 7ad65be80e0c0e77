#include "broker/handlers/open_transactions.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/strings.h"
#include "glog/logging.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/waiting_handles.h"

namespace raftmq::broker {
namespace {

namespace adm = ::raftmq::v1;

constexpr int32_t kMaxTransactions = 1'024;

bool IsOpen(const store::WaitingMessages& waiting, LogPosition position) {
  const std::vector<store::OpenTransaction> first = waiting.ListTransactions(position, 1);
  return !first.empty() && first[0].position == position;
}

}  // namespace

absl::StatusOr<HalfNames> NamesOf(const store::WaitingMessages& waiting, LogPosition position) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::string bytes, waiting.ReadHalf(position));
  RAFTMQ_ASSIGN_OR_RETURN(const store::RecordView record, store::ParseRecord(bytes));
  return HalfNames{std::string(record.properties.Get(store::property::kRealTopic)),
                   std::string(record.unique_key())};
}

adm::ListTransactionsResponse ListOpenTransactions(const store::WaitingMessages& waiting,
                                                   const adm::ListTransactionsRequest& request) {
  const int32_t max = request.max() == 0 ? 32 : std::clamp(request.max(), 1, kMaxTransactions);
  adm::ListTransactionsResponse response;
  LogPosition from(request.from_position());
  // Read a page at a time: most of the records may be of other topics.
  for (bool more = true; more && response.transactions_size() < max;) {
    const std::vector<store::OpenTransaction> page =
        waiting.ListTransactions(from, kMaxTransactions);
    more = page.size() == kMaxTransactions;
    for (const store::OpenTransaction& open : page) {
      if (response.transactions_size() == max) break;
      from = LogPosition(open.position.value() + 1);
      const absl::StatusOr<HalfNames> names = NamesOf(waiting, open.position);
      if (!names.ok() && !IsOpen(waiting, open.position)) continue;
      if (names.ok() && !request.topic().empty() && names->topic != request.topic()) continue;
      adm::OpenTransaction* row = response.add_transactions();
      if (names.ok()) {
        row->set_transaction_id(store::EncodeTransactionId(names->topic, names->message_id,
                                                           store::HalfRef{open.position}));
        row->set_topic(names->topic);
        row->set_message_id(names->message_id);
      } else {
        LOG(ERROR) << "the half message at log position " << open.position
                   << " cannot be read, so its transaction is listed without its names: "
                   << names.status();
      }
      row->set_position(open.position.value());
      row->set_stored_ms(open.half.stored_ms);
      row->set_checks(open.half.checks);
      row->set_next_check_ms(open.half.next_check_ms);
    }
  }
  response.set_open(static_cast<int64_t>(waiting.OpenTransactions()));
  return response;
}

}  // namespace raftmq::broker
