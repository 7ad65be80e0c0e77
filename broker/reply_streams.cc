#include "broker/reply_streams.h"

#include <utility>

#include "base/strings.h"

namespace raftmq::broker {

namespace v1 = ::raftmq::v1;

class ReplyStreams::Listener final : public ReplyStream::Listener {
 public:
  Listener(ReplyStreams* streams, std::shared_ptr<ReplyStream> stream)
      : streams_(streams), stream_(std::move(stream)) {}

  void OnRead(v1::WatchRepliesRequest&) override {
    if (const absl::Status added = streams_->Add(stream_); !added.ok()) stream_->Close(added);
  }
  void OnEnd() override {
    streams_->Remove(stream_.get(), stream_->context().client_id);
    stream_.reset();
  }

 private:
  ReplyStreams* const streams_;
  std::shared_ptr<ReplyStream> stream_;
};

std::shared_ptr<ReplyStream::Listener> ReplyStreams::WatchReplies(
    std::shared_ptr<ReplyStream> stream) {
  if (stream->context().client_id.empty()) {
    stream->Close(absl::InvalidArgumentError("the header x-mq-client-id is missing or empty"));
  }
  return std::make_shared<Listener>(this, std::move(stream));
}

absl::Status ReplyStreams::Add(const std::shared_ptr<ReplyStream>& stream) {
  std::shared_ptr<ReplyStream> before;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return absl::UnavailableError("this member is shutting down");
    const auto it = streams_.find(stream->context().client_id);
    if (it != streams_.end()) {
      if (it->second != stream) before = std::exchange(it->second, stream);
    } else if (streams_.size() >= options_.max_clients) {
      return absl::ResourceExhaustedError(
          StrCat("replies go to ", options_.max_clients,
                 " clients at this member, which is its bound: try another"));
    } else {
      streams_.emplace(stream->context().client_id, stream);
    }
  }
  if (before != nullptr) before->Close(absl::AbortedError("the client opened a newer stream"));
  stream->Write(v1::Reply());  // it is known now
  return absl::OkStatus();
}

void ReplyStreams::Remove(const ReplyStream* stream, const std::string& client_id) {
  absl::MutexLock lock(&mutex_);
  const auto it = streams_.find(client_id);
  if (it != streams_.end() && it->second.get() == stream) streams_.erase(it);
}

void ReplyStreams::SendReply(SendReplyCall* call) {
  const v1::SendReplyRequest& request = call->request();
  const std::string& client_id = request.client_id();
  if (request.reply().correlation_id().empty()) {
    return call->Fail(absl::InvalidArgumentError("the reply has no correlation_id"));
  }
  const auto bytes = static_cast<int64_t>(request.reply().body().size());
  if (bytes > options_.max_body_bytes) {
    return call->Fail(absl::InvalidArgumentError(
        StrCat("the reply to request ", request.reply().correlation_id(), " has ", bytes,
               " bytes, at most ", options_.max_body_bytes, " are allowed (maxMessageSize)")));
  }
  std::shared_ptr<ReplyStream> stream;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = streams_.find(client_id);
    if (it != streams_.end()) stream = it->second;
  }
  if (stream == nullptr) {
    return call->Fail(absl::UnavailableError(
        StrCat("client ", client_id, " waits for no reply at this member: ask the next")));
  }
  if (!stream->Write(request.reply())) {
    return call->Fail(absl::ResourceExhaustedError(
        StrCat("client ", client_id, " doesn't read its replies, or is just going")));
  }
  call->Finish();
}

void ReplyStreams::Close() {
  absl::flat_hash_map<std::string, std::shared_ptr<ReplyStream>> all;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    all.swap(streams_);
  }
  for (auto& [client_id, stream] : all) {
    stream->Close(absl::UnavailableError("this member is shutting down"));
  }
}

}  // namespace raftmq::broker
