#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "client/mqadmin/grpc_dead_letter_filter.h"

namespace raftmq::mqadmin {

namespace pb = ::raftmq::v1;

void AddDeadLetterFilter(CLI::App* command, pb::RedriveDeadLettersRequest* request) {
  command
      ->add_option_function<std::string>(
          "-g,--consumerGroup", [request](const std::string& group) { request->set_group(group); },
          "the group that failed to consume them")
      ->required();
  AddLetterFilter(command, request);
}

void AddLetterFilter(CLI::App* command, pb::RedriveDeadLettersRequest* request) {
  using Text = const std::string&;
  command->add_option_function<std::string>(
      "-t,--topic", [request](Text topic) { request->set_origin_topic(topic); },
      "only those that came from this topic");
  command->add_option_function<std::string>(
      "-k,--msgKey", [request](Text key) { request->set_key(key); },
      "only those with this key or message id");
  CLI::Option* by_tag = command->add_option_function<std::string>(
      "--tag", [request](Text tags) { request->set_tag_expression(tags); },
      "only those with a tag: 'a || b'");
  command
      ->add_option_function<std::string>(
          "--sql", [request](Text sql) { request->set_sql_expression(sql); },
          "only those whose properties fit this SQL92 expression")
      ->excludes(by_tag);
  command->add_option_function<int64_t>(
      "--beginTimestamp", [request](int64_t ms) { request->set_begin_ms(ms); },
      "dead at or after, ms since 1970");
  command->add_option_function<int64_t>(
      "--endTimestamp", [request](int64_t ms) { request->set_end_ms(ms); },
      "dead at or before, ms since 1970");
}

absl::Status CallPatiently(Session* session, const GroupPlace& place,
                           const pb::RedriveDeadLettersRequest& request,
                           pb::RedriveDeadLettersResponse* response) {
  constexpr int64_t kGiveUpMs = 30'000;
  constexpr absl::Duration kAskAgain = absl::Milliseconds(200);
  const int64_t give_up_ms = SystemClock()->MonotonicMillis() + kGiveUpMs;
  absl::Notification never;
  for (;;) {
    const absl::Status done =
        session->Call(place, &Session::Admin::Stub::RedriveDeadLetters, request, response);
    const bool passing = absl::IsUnavailable(done) || absl::IsUnknown(done) ||
                         absl::IsDeadlineExceeded(done) || absl::IsResourceExhausted(done);
    if (!passing || SystemClock()->MonotonicMillis() >= give_up_ms) return done;
    never.WaitForNotificationWithTimeout(kAskAgain);
  }
}

}  // namespace raftmq::mqadmin
