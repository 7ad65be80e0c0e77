// gRPC's callback API (1.51) serves all clients of a process, and servers too, from one shared
// queue, which it ends with the last channel and begins again with the next. A call's context holds
// its channel; where it goes on one of the queue's own threads and is the last to hold one, that
// thread joins itself, in vain, and frees the queue it goes on to use: the process aborts. Whoever
// uses callbacks calls this first: the queue then stays for good.
//
// Any thread, any number of times; after the first call it costs nothing.
#pragma once

namespace raftmq {

void KeepGrpcCallbackQueue();

}  // namespace raftmq
