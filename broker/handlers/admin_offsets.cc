#include <string>
#include <utility>

#include "broker/handlers/admin_handlers.h"

namespace raftmq::broker {
namespace {

using store::OffsetMoveRequest;

void FillMove(const store::OffsetMove& move, adm::OffsetMove* out) {
  out->set_number(static_cast<int64_t>(move.number));
  out->set_time_ms(move.log_time_ms);
  out->set_kind(std::string(store::OffsetMoveKindName(move.kind)));
  out->set_undoes(static_cast<int64_t>(move.undoes));
  out->set_topic(move.topic);
  out->set_who(move.who);
  out->set_why(move.why);
  for (const store::OffsetMove::Item& item : move.items) {
    adm::OffsetMove::Queue* queue = out->add_queues();
    queue->set_queue(item.queue.value());
    queue->set_from_offset(item.from.value());
    queue->set_to_offset(item.to.value());
  }
}

absl::StatusOr<OffsetMoveRequest> ToMoveRequest(const adm::MoveOffsetsRequest& request,
                                                const CallContext& context) {
  OffsetMoveRequest move;
  move.group = request.group();
  move.topic = request.topic();
  for (const int32_t queue : request.queues()) move.queues.push_back(QueueId(queue));
  move.who = request.who();
  if (move.who.empty()) move.who = context.client_id.empty() ? context.peer : context.client_id;
  move.why = request.why();
  switch (request.to_case()) {
    case adm::MoveOffsetsRequest::kOffset:
      move.to = OffsetMoveRequest::ToOffset{QueueOffset(request.offset())};
      return move;
    case adm::MoveOffsetsRequest::kTimestampMs:
      move.to = OffsetMoveRequest::ToTime{request.timestamp_ms()};
      return move;
    case adm::MoveOffsetsRequest::kBegin:
      move.to = OffsetMoveRequest::ToBegin{};
      return move;
    case adm::MoveOffsetsRequest::kEnd:
      move.to = OffsetMoveRequest::ToEnd{};
      return move;
    case adm::MoveOffsetsRequest::kFromGroup:
      move.to = OffsetMoveRequest::ToGroup{request.from_group()};
      return move;
    case adm::MoveOffsetsRequest::kUndo:
      if (request.undo() < 0) {
        return absl::InvalidArgumentError(
            StrCat("undo is ", request.undo(), ", expected the number of a move, or 0"));
      }
      move.to = OffsetMoveRequest::Undo{static_cast<uint64_t>(request.undo())};
      return move;
    case adm::MoveOffsetsRequest::TO_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "where to is not said: offset, timestamp_ms, begin, end, from_group or undo");
}

}  // namespace

void AdminHandlers::MoveOffsets(MoveOffsetsCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(MoveOffsetsCall* call) {
  absl::StatusOr<OffsetMoveRequest> move = ToMoveRequest(call->request(), call->context());
  if (!move.ok()) return call->Fail(move.status());
  deps_.store->MoveOffsets(*std::move(move),
                           [this, call](const absl::StatusOr<store::OffsetMove>& moved) {
                             if (!moved.ok()) return EndOrReroute(call, moved.status());
                             deps_.waiters->OnReleased(call->request().group(), moved->topic, 0);
                             FillMove(*moved, call->response()->mutable_move());
                             call->Finish();
                           });
}

void AdminHandlers::ListOffsetMoves(ListOffsetMovesCall* call) {
  Read(call, [this, call] {
    const auto moves = deps_.store->ListOffsetMoves(call->request().group());
    if (!moves.ok()) return call->Fail(moves.status());
    for (const store::OffsetMove& move : *moves) FillMove(move, call->response()->add_moves());
    call->Finish();
  });
}

void AdminHandlers::ListQueueHolds(ListQueueHoldsCall* call) {
  Read(call, [this, call] {
    const auto holds = deps_.store->ListHolds(call->request().group());
    if (!holds.ok()) return call->Fail(holds.status());
    for (const store::QueueHold& hold : *holds) {
      adm::QueueHold* row = call->response()->add_holds();
      row->set_topic(hold.topic);
      row->set_queue(hold.queue.value());
      row->set_client_id(hold.client_id);
      row->set_locked(hold.locked);
      row->set_revoked(hold.revoked);
      row->set_inflight(hold.inflight);
    }
    call->Finish();
  });
}

}  // namespace raftmq::broker
