#include "dledger/peer_connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/strings.h"

namespace raftmq::dledger {
namespace {

constexpr size_t kStagingSize = 64 << 10;
// As many pieces as one sendmsg of Asio takes.
constexpr size_t kMaxPieces = 64;

std::string RemoteName(const asio::ip::tcp::socket& socket) {
  asio::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown address";
  return StrCat(endpoint.address().to_string(), ":", endpoint.port());
}

// Errors that mean: the other process, or its kernel, ended the connection.
bool ClosedByPeer(const asio::error_code& error) {
  return error == asio::error::eof || error == asio::error::connection_reset ||
         error == asio::error::broken_pipe || error == asio::error::connection_aborted;
}

}  // namespace

PeerConnection::PeerConnection(asio::ip::tcp::socket socket, size_t max_queued_bytes)
    : socket_(std::move(socket)),
      remote_(RemoteName(socket_)),
      max_queued_bytes_(max_queued_bytes),
      staging_(kStagingSize) {}

PeerConnection::~PeerConnection() { CloseSocket(); }

void PeerConnection::Start(Events events, PeerWireLimits limits) {
  events_ = std::move(events);
  limits_ = limits;
  Read();
}

void PeerConnection::SetEvents(Events events, PeerWireLimits limits) {
  next_events_ = std::make_unique<Events>(std::move(events));
  limits_ = limits;
}

PeerConnection::Events& PeerConnection::TakeNextEvents() {
  if (next_events_ != nullptr) events_ = std::move(*std::exchange(next_events_, nullptr));
  return events_;
}

// ---- Receiving ----

void PeerConnection::Read() {
  if (begin_ > 0) {
    std::memmove(staging_.data(), staging_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  std::array<asio::mutable_buffer, 2> buffers;
  if (in_body_) {
    buffers[0] = asio::buffer(body_.data() + body_filled_, body_.size() - body_filled_);
  }
  buffers[1] = asio::buffer(staging_.data() + end_, staging_.size() - end_);
  socket_.async_read_some(buffers,
                          [self = shared_from_this()](const asio::error_code& error, size_t size) {
                            if (self->closed_) return;
                            if (error) {
                              self->FailFromSocket(error, "reading");
                            } else {
                              self->OnRead(size);
                            }
                          });
}

void PeerConnection::OnRead(size_t size) {
  if (in_body_) {
    const size_t taken = std::min(size, body_.size() - body_filled_);
    body_filled_ += taken;
    size -= taken;
  }
  end_ += size;
  if (in_body_ && body_filled_ == body_.size()) {
    in_body_ = false;
    const std::string meta = std::exchange(body_meta_, {});
    if (!Deliver(body_kind_, meta, Bytes(std::exchange(body_, {})))) return;
  }
  if (!in_body_ && !ParseStaging()) return;
  Read();
}

bool PeerConnection::ParseStaging() {
  while (end_ - begin_ >= kPeerHeaderSize) {
    const char* const at = staging_.data() + begin_;
    const size_t there = end_ - begin_;
    const auto header = ParsePeerFrameHeader({at, there}, limits_);
    if (!header.ok()) {
      Fail(header.status(), false);
      return false;
    }
    const size_t head_size = kPeerHeaderSize + header->meta_size;
    if (there < head_size) {
      // Room for all of the meta, once what came before it is moved out of the way.
      if (staging_.size() < head_size) staging_.resize(head_size);
      return true;
    }
    if (!PeerFrameCrcHolds({at, head_size})) {
      Fail(absl::DataLossError("a peer frame's CRC does not hold: the bytes changed on the way"),
           false);
      return false;
    }
    const std::string_view meta(at + kPeerHeaderSize, header->meta_size);
    begin_ += head_size;
    const size_t body_there = std::min<size_t>(there - head_size, header->body_size);
    RawBytes body(header->body_size);
    if (body_there > 0) std::memcpy(body.data(), at + head_size, body_there);
    begin_ += body_there;
    if (body_there < header->body_size) {
      in_body_ = true;
      body_kind_ = header->kind;
      body_meta_ = std::string(meta);
      body_ = std::move(body);
      body_filled_ = body_there;
      return true;
    }
    if (!Deliver(header->kind, meta, Bytes(std::move(body)))) return false;
  }
  return true;
}

bool PeerConnection::Deliver(PeerFrameKind kind, std::string_view meta, Bytes body) {
  if (!closing_) TakeNextEvents().on_frame(kind, meta, std::move(body));
  return !closed_;
}

// ---- Sending ----

bool PeerConnection::Send(std::string head, const std::vector<Bytes>& body) {
  if (closed_ || closing_) return false;
  size_t size = head.size();
  for (const Bytes& piece : body) size += piece.size();
  // An empty queue takes any one frame, however large.
  if (queued_bytes_ > 0 && queued_bytes_ + size > max_queued_bytes_) return false;
  queue_.emplace_back(std::move(head));
  for (const Bytes& piece : body) {
    if (!piece.empty()) queue_.push_back(piece);
  }
  queued_bytes_ += size;
  ScheduleFlush();
  return true;
}

void PeerConnection::ScheduleFlush() {
  if (writing_ || flush_scheduled_) return;
  flush_scheduled_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->flush_scheduled_ = false;
    if (!self->closed_ && !self->writing_) self->Write();
  });
}

void PeerConnection::Write() {
  if (queue_.empty()) {
    if (closing_) Close();
    return;
  }
  std::vector<asio::const_buffer> buffers;
  buffers.reserve(std::min(queue_.size(), kMaxPieces));
  size_t skip = sent_of_front_;
  for (const Bytes& piece : queue_) {
    if (buffers.size() == kMaxPieces) break;
    buffers.emplace_back(piece.view().data() + skip, piece.size() - skip);
    skip = 0;
  }
  writing_ = true;
  socket_.async_write_some(buffers,
                           [self = shared_from_this()](const asio::error_code& error, size_t size) {
                             self->writing_ = false;
                             if (self->closed_) return;
                             if (error) {
                               self->FailFromSocket(error, "writing");
                             } else {
                               self->OnWritten(size);
                             }
                           });
}

void PeerConnection::OnWritten(size_t size) {
  queued_bytes_ -= size;
  size += sent_of_front_;
  while (!queue_.empty() && size >= queue_.front().size()) {
    size -= queue_.front().size();
    queue_.pop_front();
  }
  sent_of_front_ = size;
  Write();
}

// ---- Ending ----

void PeerConnection::FailFromSocket(const asio::error_code& error, std::string_view doing) {
  const bool by_peer = ClosedByPeer(error);
  Fail(absl::UnavailableError(StrCat(doing, " at the connection with ", remote_, ": ",
                                     by_peer && error == asio::error::eof
                                         ? std::string("closed by the peer")
                                         : error.message())),
       by_peer);
}

void PeerConnection::Fail(const absl::Status& why, bool by_peer) {
  if (closed_) return;
  closed_ = true;
  CloseSocket();
  if (!closing_) TakeNextEvents().on_closed(why, by_peer);
}

void PeerConnection::CloseAfterSending() {
  if (closed_) return;
  closing_ = true;
  ScheduleFlush();
}

void PeerConnection::Close() {
  closed_ = true;
  CloseSocket();
}

void PeerConnection::CloseSocket() {
  asio::error_code ignored;
  socket_.close(ignored);
  queue_.clear();
  queued_bytes_ = 0;
}

}  // namespace raftmq::dledger
