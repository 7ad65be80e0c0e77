// Tells ThreadSanitizer what Abseil's locks order.
//
// Debian's Abseil is a library that was compiled without ThreadSanitizer, and its Mutex is made of
// atomics in that library, so the sanitizer sees no order between two holders of a Mutex and
// reports every use of one as a race. In tests built with --config=tsan these definitions stand in
// front of the library's, call them, and say what happened: an unlock is ordered before the next
// lock. In all other builds this file is empty. Linked into every mq_test.

#if defined(__SANITIZE_THREAD__)

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);

// Libraries that were not compiled with the sanitizer, and have threads and locks of their own.
const char* __tsan_default_suppressions() {
  return "called_from_lib:librocksdb\n"
         "race:librocksdb\n"
         // RocksDB's threads copy options that its opener made; no frame of theirs can be read.
         "race:std::__cxx11::basic_string*::_M_assign\n";
}
}

namespace {

void* Next(const char* symbol) {
  void* const next = dlsym(RTLD_NEXT, symbol);
  if (next == nullptr) {
    std::fprintf(stderr, "tsan_absl: Abseil has no %s\n", symbol);
    std::abort();
  }
  return next;
}

void Acquire(const void* address) { __tsan_acquire(const_cast<void*>(address)); }
void Release(const void* address) { __tsan_release(const_cast<void*>(address)); }

}  // namespace

// The library's function of that name, called with `this` as its first argument.
#define REAL(result, symbol, ...) \
  static const auto real = reinterpret_cast<result (*)(__VA_ARGS__)>(Next(symbol))

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  REAL(void, "_ZN4absl7debian35Mutex4LockEv", Mutex*);
  real(this);
  Acquire(this);
}

void Mutex::Unlock() {
  REAL(void, "_ZN4absl7debian35Mutex6UnlockEv", Mutex*);
  Release(this);
  real(this);
}

bool Mutex::TryLock() {
  REAL(bool, "_ZN4absl7debian35Mutex7TryLockEv", Mutex*);
  const bool locked = real(this);
  if (locked) Acquire(this);
  return locked;
}

void Mutex::ReaderLock() {
  REAL(void, "_ZN4absl7debian35Mutex10ReaderLockEv", Mutex*);
  real(this);
  Acquire(this);
}

void Mutex::ReaderUnlock() {
  REAL(void, "_ZN4absl7debian35Mutex12ReaderUnlockEv", Mutex*);
  Release(this);
  real(this);
}

void Mutex::LockWhen(const Condition& condition) {
  REAL(void, "_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE", Mutex*, const Condition&);
  real(this, condition);
  Acquire(this);
}

void Mutex::Await(const Condition& condition) {
  REAL(void, "_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE", Mutex*, const Condition&);
  Release(this);
  real(this, condition);
  Acquire(this);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  REAL(bool, "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", Mutex*,
       const Condition&, Duration);
  Release(this);
  const bool holds = real(this, condition, timeout);
  Acquire(this);
  return holds;
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  REAL(bool, "_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE", Mutex*,
       const Condition&, Duration);
  const bool holds = real(this, condition, timeout);
  Acquire(this);
  return holds;
}

void CondVar::Wait(Mutex* mutex) {
  REAL(void, "_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", CondVar*, Mutex*);
  Release(mutex);
  real(this, mutex);
  Acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  REAL(bool, "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", CondVar*,
       Mutex*, Duration);
  Release(mutex);
  const bool timed_out = real(this, mutex, timeout);
  Acquire(mutex);
  return timed_out;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  REAL(bool, "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", CondVar*, Mutex*,
       Time);
  Release(mutex);
  const bool timed_out = real(this, mutex, deadline);
  Acquire(mutex);
  return timed_out;
}

void Notification::Notify() {
  REAL(void, "_ZN4absl7debian312Notification6NotifyEv", Notification*);
  Release(this);
  real(this);
}

void Notification::WaitForNotification() const {
  REAL(void, "_ZNK4absl7debian312Notification19WaitForNotificationEv", const Notification*);
  real(this);
  Acquire(this);
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  REAL(bool, "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE",
       const Notification*, Duration);
  const bool notified = real(this, timeout);
  if (notified) Acquire(this);
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl

#endif  // __SANITIZE_THREAD__
