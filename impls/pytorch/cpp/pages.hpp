// Memory that a large tensor has just been given has no pages yet: the system makes each at the first write to it,
// which takes longer than the arithmetic. Asked for many at a time they come in two thirds of the time, and in pages of
// 2 MB, where Linux has them, in a quarter.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#ifndef MADV_POPULATE_WRITE  // Linux 5.14; before that the call fails, and nothing is lost
#define MADV_POPULATE_WRITE 23
#endif
#endif

namespace bnproof {

constexpr int64_t SLAB_BYTES = 1 << 18;  // the system's zeros are still in the cache when values come in their place

// Values of a slab, which is asked for at a time.
template <typename Value>
constexpr int64_t SLAB = SLAB_BYTES / sizeof(Value);

// Asks for the pages of to[0], ..., to[count - 1], which are about to be written, where the last one is not there.
template <typename Value>
inline void ask_for_pages([[maybe_unused]] Value* to, [[maybe_unused]] int64_t count) {
#if defined(__linux__)
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  if (count < SLAB<Value> / 2) return;
  const auto first = reinterpret_cast<uintptr_t>(to) & ~(page - 1);
  const auto last = reinterpret_cast<uintptr_t>(to + count - 1) & ~(page - 1);
  unsigned char is_there = 1;
  if (mincore(reinterpret_cast<void*>(last), page, &is_there) == 0 && !(is_there & 1))
    madvise(reinterpret_cast<void*>(first), last - first + page, MADV_POPULATE_WRITE);
#endif
}

// Bytes from which large pages are asked for: two of them.
constexpr int64_t LARGE = 1 << 22;

// Asks for large pages for these bytes, which are about to be written. Advice: where it is not taken, nothing changes.
inline void prefer_large_pages([[maybe_unused]] void* to, [[maybe_unused]] int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  if (bytes < LARGE) return;
  const auto first = (reinterpret_cast<uintptr_t>(to) + page - 1) & ~(page - 1);
  madvise(reinterpret_cast<void*>(first), reinterpret_cast<uintptr_t>(to) + bytes - first, MADV_HUGEPAGE);
#endif
}

}  // namespace bnproof
