// PeerConnection: one TCP connection of the peer transport, cut into peer frames.
//
// Reads as much as is there with one system call; a large body is received straight into the memory
// that is passed on. What is sent within one turn of the event loop, and while an earlier write is
// under way, leaves in one gathered write.
//
// All calls and callbacks are on the event loop's thread. Kept alive by its own pending operations
// (shared_ptr); the owner lets go of it after Close or on_closed.
#pragma once

#include <asio.hpp>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "dledger/peer_wire.h"

namespace raftmq::dledger {

class PeerConnection : public std::enable_shared_from_this<PeerConnection> {
 public:
  struct Events {
    // A whole frame whose CRC held. `meta` is valid during the call.
    absl::AnyInvocable<void(PeerFrameKind kind, std::string_view meta, Bytes body)> on_frame;
    // The connection ended otherwise than by Close. `by_peer`: the other end closed or reset it.
    // Called at most once, and nothing after it.
    absl::AnyInvocable<void(const absl::Status& why, bool by_peer)> on_closed;
  };

  // `socket` is connected. `max_queued_bytes` bounds what waits to be sent.
  PeerConnection(asio::ip::tcp::socket socket, size_t max_queued_bytes);
  ~PeerConnection();

  PeerConnection(const PeerConnection&) = delete;
  PeerConnection& operator=(const PeerConnection&) = delete;

  // Begins to read. `limits` may be raised once it is known who speaks.
  void Start(Events events, PeerWireLimits limits);

  // Other callbacks and limits from the next event on; may be called from within a callback.
  void SetEvents(Events events, PeerWireLimits limits);

  // Queues a frame; `head` is EncodePeerFrame's. False: the queue is full or the connection closed,
  // nothing was queued.
  bool Send(std::string head, const std::vector<Bytes>& body);

  // Sends what is queued, then closes; no callback comes any more.
  void CloseAfterSending();

  // Closes at once; no callback comes any more.
  void Close();

  bool closed() const { return closed_; }
  // "10.0.0.2:43210", as the socket saw it.
  const std::string& remote() const { return remote_; }

 private:
  void Read();
  void OnRead(size_t size);
  // Passes on all whole frames in staging_. False: closed meanwhile.
  bool ParseStaging();
  // The callbacks for the present event.
  Events& TakeNextEvents();
  bool Deliver(PeerFrameKind kind, std::string_view meta, Bytes body);
  void ScheduleFlush();
  void Write();
  void OnWritten(size_t size);
  void Fail(const absl::Status& why, bool by_peer);
  void FailFromSocket(const asio::error_code& error, std::string_view doing);
  void CloseSocket();

  asio::ip::tcp::socket socket_;
  std::string remote_;
  const size_t max_queued_bytes_;
  Events events_;
  std::unique_ptr<Events> next_events_;
  PeerWireLimits limits_;
  bool closed_ = false;
  bool closing_ = false;  // after what is queued

  // Received and not passed on: [begin_, end_) of staging_, and the body being filled.
  std::vector<char> staging_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool in_body_ = false;
  PeerFrameKind body_kind_ = PeerFrameKind::kMessage;
  std::string body_meta_;
  RawBytes body_;
  size_t body_filled_ = 0;

  // To be sent; the first `sent_of_front_` bytes of the first piece have gone.
  std::deque<Bytes> queue_;
  size_t queued_bytes_ = 0;
  size_t sent_of_front_ = 0;
  bool writing_ = false;
  bool flush_scheduled_ = false;
};

}  // namespace raftmq::dledger
