#include <utility>

#include "broker/handlers/admin_handlers.h"
#include "broker/validation.h"

namespace raftmq::broker {
namespace {

constexpr int32_t kDefaultMessages = 32;

absl::StatusOr<store::MessageFilter> FilterOf(const adm::RedriveDeadLettersRequest& request) {
  v2::FilterExpression filter;
  if (!request.sql_expression().empty()) {
    if (!request.tag_expression().empty()) {
      return absl::InvalidArgumentError(
          "tag_expression and sql_expression are both set: expected one of them, or none");
    }
    filter.set_type(v2::SQL);
    filter.set_expression(request.sql_expression());
  } else {
    filter.set_type(v2::TAG);
    filter.set_expression(request.tag_expression());
  }
  return ParseFilter(filter);
}

void FillLetter(const store::RedrivenMessage& message, adm::DeadLetter* letter) {
  letter->set_offset(message.offset.value());
  letter->set_message_id(message.message_id);
  letter->set_keys(message.keys);
  letter->set_tag(message.tag);
  letter->set_origin_topic(message.origin_topic);
  letter->set_reason(message.reason);
  letter->set_attempts(message.attempts);
  letter->set_dead_ms(message.dead_ms);
  letter->set_position(message.position.value());
  if (!message.status.ok()) letter->set_failure(std::string(Message(message.status)));
}

}  // namespace

void AdminHandlers::RedriveDeadLetters(RedriveDeadLettersCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(RedriveDeadLettersCall* call) {
  const adm::RedriveDeadLettersRequest& request = call->request();
  absl::StatusOr<store::MessageFilter> filter = FilterOf(request);
  if (!filter.ok()) return call->Fail(filter.status());
  store::RedriveRequest redrive;
  redrive.group = request.group();
  redrive.queue = QueueId(request.queue());
  redrive.from = QueueOffset(request.from_offset());
  redrive.max_messages = request.max_messages() <= 0 ? kDefaultMessages : request.max_messages();
  redrive.dry_run = request.dry_run();
  redrive.filter = *std::move(filter);
  redrive.key = request.key();
  redrive.origin_topic = request.origin_topic();
  redrive.begin_ms = request.begin_ms();
  redrive.end_ms = request.end_ms();
  deps_.dead_letters->Redrive(std::move(redrive),
                              [this, call](const absl::StatusOr<store::RedriveResult>& result) {
                                if (!result.ok()) return EndOrReroute(call, result.status());
                                adm::RedriveDeadLettersResponse* response = call->response();
                                for (const store::RedrivenMessage& message : result->messages) {
                                  FillLetter(message, response->add_messages());
                                }
                                response->set_next_offset(result->next.value());
                                response->set_end_offset(result->end.value());
                                response->set_done_before(result->done_before);
                                response->set_unwanted(result->unwanted);
                                call->Finish();
                              });
}

}  // namespace raftmq::broker
