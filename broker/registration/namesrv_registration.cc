#include "broker/registration/namesrv_registration.h"

#include <glog/logging.h>
#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "broker/cq_tag.h"
#include "broker/registration/grpc_namesrv_channel.h"
#include "broker/topic_type_name.h"
#include "raftmq/v1/namesrv.grpc.pb.h"

namespace raftmq::broker {
namespace {

namespace pb = ::raftmq::v1;

}  // namespace

struct NamesrvRegistration::Core : std::enable_shared_from_this<Core> {
  // A stream to one NameServer. Of its operations, which end on the completion queue, one reads for
  // as long as the stream lives, so that its end is noticed; beside it at most one writes.
  class Stream final {
   public:
    Stream(std::shared_ptr<Core> core, size_t server) : core_(std::move(core)), server_(server) {}

    void Open(pb::NameServer::Stub* stub) {
      call_ = stub->PrepareAsyncRegister(&context_, core_->queue);
      call_->StartCall(&started_);
    }

    // REQUIRES: Start has ended well, and no write is under way.
    void Write() {
      core_->Fill(&registration_);
      call_->Write(registration_, &written_);
    }

    void Cancel() { context_.TryCancel(); }

   private:
    struct Tag final : CqTag {
      Tag(Stream* stream, void (Stream::*ended)(bool)) : stream(stream), ended(ended) {}
      void Proceed(bool ok) override { (stream->*ended)(ok); }
      Stream* const stream;
      void (Stream::*const ended)(bool);
    };

    void OnStarted(bool ok) {
      if (!ok) return Finish();
      call_->Read(&reply_, &read_);
      core_->OnOpen(server_);
    }
    // A failed write ends the call: the read fails too.
    void OnWritten(bool) {
      if (core_->OnWritten(server_)) Finish();
    }
    void OnRead(bool ok) {
      if (ok) {
        core_->OnReply(server_, reply_);
        call_->Read(&reply_, &read_);
      } else if (core_->OnBroken(server_)) {
        Finish();
      }
    }
    void Finish() { call_->Finish(&status_, &finished_); }
    void OnFinished(bool) {
      core_->OnEnd(server_, status_);
      delete this;
    }

    const std::shared_ptr<Core> core_;
    const size_t server_;
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::BrokerRegistration, pb::RegistrationReply>>
        call_;
    pb::BrokerRegistration registration_;
    pb::RegistrationReply reply_;
    grpc::Status status_;
    Tag started_{this, &Stream::OnStarted};
    Tag written_{this, &Stream::OnWritten};
    Tag read_{this, &Stream::OnRead};
    Tag finished_{this, &Stream::OnFinished};
  };

  struct Server {
    std::string address;
    std::unique_ptr<pb::NameServer::Stub> stub;
    Stream* stream = nullptr;  // owns itself; null between streams
    bool open = false;         // it may be written to
    bool writing = false;
    bool awaiting = false;     // the reply to what was written last
    bool dirty = false;        // something changed since it was sent
    bool accepted = false;
    bool warned = false;
  };

  Core(NamesrvRegistrationOptions o, Source s, TaskRunner* t, grpc::CompletionQueue* q)
      : options(std::move(o)), source(std::move(s)), timers(t), queue(q) {}

  void Fill(pb::BrokerRegistration* out) {
    const RegistrationState state = source();
    out->Clear();
    out->set_cluster(options.cluster);
    out->set_broker_name(options.broker_name);
    out->set_member_id(options.member.value());
    out->set_member_name(options.member_name);
    out->set_client_address(options.client_address);
    out->set_term(state.term.value());
    out->set_leader(state.leader);
    if (!state.leader) return;
    for (const MemberId member : state.serving) out->add_serving_members(member.value());
    out->set_preferred_member(options.preferred_member.value());
    out->set_group_dns_name(options.group_dns_name);
    for (const store::TopicConfig& topic : state.topics) {
      pb::TopicQueues* queues = out->add_topics();
      queues->set_topic(topic.name);
      queues->set_read_queues(topic.read_queues);
      queues->set_write_queues(topic.write_queues);
      queues->set_perm(topic.perm);
      queues->set_message_type(std::string(TopicTypeName(topic.type)));
    }
  }

  void Open(size_t index) {
    absl::MutexLock lock(&mu);
    if (stopping) return;
    Server& server = servers[index];
    server.stream = new Stream(shared_from_this(), index);
    server.open = server.writing = server.awaiting = false;
    server.dirty = true;
    ++open_streams;
    server.stream->Open(server.stub.get());
  }

  // One message on its way at a time; what changes meanwhile goes with the next. Under the lock, so
  // that the stream cannot end and delete itself meanwhile; a write is only queued.
  void MaybeWrite(Server& server) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (!server.open || server.writing || server.awaiting || !server.dirty || stopping) return;
    server.dirty = false;
    server.writing = server.awaiting = true;
    server.stream->Write();
  }

  void OnOpen(size_t index) {
    absl::MutexLock lock(&mu);
    servers[index].open = true;
    MaybeWrite(servers[index]);
  }

  // Of a stream that was found broken: true if nothing of it is under way any more.
  bool OnWritten(size_t index) {
    absl::MutexLock lock(&mu);
    Server& server = servers[index];
    server.writing = false;
    if (!server.open) return true;
    MaybeWrite(server);
    return false;
  }

  bool OnBroken(size_t index) {
    absl::MutexLock lock(&mu);
    servers[index].open = false;
    return !servers[index].writing;
  }

  void OnReply(size_t index, const pb::RegistrationReply& reply) {
    if (!reply.accepted()) {
      LOG(WARNING) << "NameServer " << servers[index].address
                   << " refused our registration: " << reply.message();
    }
    absl::MutexLock lock(&mu);
    Server& server = servers[index];
    server.accepted = reply.accepted();
    server.warned = false;
    server.awaiting = false;
    MaybeWrite(server);
  }

  void OnEnd(size_t index, const grpc::Status& status) {
    bool reopen = false;
    {
      absl::MutexLock lock(&mu);
      Server& server = servers[index];
      server.stream = nullptr;
      server.open = server.accepted = false;
      --open_streams;
      reopen = !stopping;
      if (reopen && !std::exchange(server.warned, true)) {
        LOG(WARNING) << "NameServer " << server.address << " is not reachable ("
                     << status.error_message() << "); trying again every "
                     << options.reconnect_delay_ms << " ms";
      }
    }
    if (!reopen) return;
    timers->RunAfter(options.reconnect_delay_ms * 1'000'000, [weak = weak_from_this(), index] {
      if (auto core = weak.lock()) core->Open(index);
    });
  }

  void Notify() {
    absl::MutexLock lock(&mu);
    for (Server& server : servers) {
      server.dirty = true;
      MaybeWrite(server);
    }
  }

  void ScheduleRefresh() {
    timers->RunAfter(options.register_period_ms * 1'000'000, [weak = weak_from_this()] {
      if (auto core = weak.lock()) {
        core->Notify();
        core->ScheduleRefresh();
      }
    });
  }

  const NamesrvRegistrationOptions options;
  const Source source;
  TaskRunner* const timers;
  grpc::CompletionQueue* const queue;

  absl::Mutex mu;
  // The vector itself is fixed after construction; so are address and stub.
  std::vector<Server> servers;
  int open_streams ABSL_GUARDED_BY(mu) = 0;
  bool stopping ABSL_GUARDED_BY(mu) = false;
};

NamesrvRegistration::NamesrvRegistration(NamesrvRegistrationOptions options, Source source,
                                         TaskRunner* timers, grpc::CompletionQueue* queue)
    : core_(std::make_shared<Core>(std::move(options), std::move(source), timers, queue)) {
  for (const std::string& address : core_->options.namesrv_addresses) {
    Core::Server server;
    server.address = address;
    server.stub = pb::NameServer::NewStub(MakeNamesrvChannel(address));
    core_->servers.push_back(std::move(server));
  }
  for (size_t i = 0; i < core_->servers.size(); ++i) core_->Open(i);
  core_->ScheduleRefresh();
}

NamesrvRegistration::~NamesrvRegistration() {
  absl::MutexLock lock(&core_->mu);
  core_->stopping = true;
  for (Core::Server& server : core_->servers) {
    if (server.stream != nullptr) server.stream->Cancel();
  }
  core_->mu.Await(absl::Condition(
      +[](int* n) { return *n == 0; }, &core_->open_streams));
}

void NamesrvRegistration::Notify() { core_->Notify(); }

int NamesrvRegistration::accepted() const {
  absl::MutexLock lock(&core_->mu);
  int count = 0;
  for (const Core::Server& server : core_->servers) count += server.accepted;
  return count;
}

}  // namespace raftmq::broker
