// The gRPC floor: a server of the public protocol that answers every send at once and does nothing
// else, in a process of its own. One completion queue and one thread, like the broker.
#pragma once

namespace raftmq::mqbench {

// Serves on 127.0.0.1; writes the port (as text and a newline) to `port_fd` when ready. Returns
// when `stop_fd` is closed at its other end.
int RunEchoServer(int port_fd, int stop_fd);

}  // namespace raftmq::mqbench
