// Channels first: a channel's values lie in runs of `inner`, one an example. A channel stays in the cache between the
// pass that collects its sums and the pass that uses them.
#pragma once

#include <algorithm>
#include <vector>

#include <ATen/Parallel.h>

#include "lanes.hpp"
#include "moments.hpp"
#include "pages.hpp"

namespace bnproof::rows {

// Values of a block: they fit in the first-level cache, twice, and a lane of a chain adds 64 of them, since the more it
// adds the less exact is the mean.
template <typename Value>
constexpr int64_t BLOCK = 64 * CHAINS * WIDTH<Value>;

// Runs that are asked for before their turn: the processor foresees what follows in a run, not where the next one is.
constexpr int64_t AHEAD = 4;

// `runs` runs of `length` values, `stride` apart, from `at` on.
struct Block {
  int64_t at, runs, length, stride;
};

// Calls body(block) for blocks that cover the runs from `first` to `last` of a channel.
template <typename Value, typename Body>
inline void for_each_block(const Layout& layout, int64_t channel, int64_t first, int64_t last, Body body) {
  const int64_t stride = layout.channels * layout.inner;
  const int64_t runs = std::max<int64_t>(1, BLOCK<Value> / layout.inner);
  const int64_t pieces = (layout.inner + BLOCK<Value> - 1) / BLOCK<Value>;
  const int64_t length = (layout.inner + pieces - 1) / pieces;
  for (int64_t run = first; run < last; run += runs)
    for (int64_t at = 0; at < layout.inner; at += length)
      body(Block{run * stride + channel * layout.inner + at, std::min(runs, last - run),
                 std::min(length, layout.inner - at), stride});
}

template <typename Value>
Moments<Work<Value>> moments_of(const Value* x, const Block& block) {
  using Number = Work<Value>;
  constexpr int width = WIDTH<Value>;
  Vector<Number, width> sums[CHAINS] = {}, squares[CHAINS] = {};
  const int64_t ahead = AHEAD * block.stride;
  for (int64_t run = 0; run < block.runs; ++run) {
    const Value* values = x + block.at + run * block.stride;
    for_each_vector<width>(block.length, [&](int64_t at, auto chain, auto counted) __attribute__((always_inline)) {
      __builtin_prefetch(values + at + ahead);
      sums[chain] += counted(load<width>(values + at));
    });
  }
  const Number mean = sum_of_chains<Number, width>(sums) / static_cast<Number>(block.runs * block.length);
  for (int64_t run = 0; run < block.runs; ++run) {
    const Value* values = x + block.at + run * block.stride;
    for_each_vector<width>(block.length, [&](int64_t at, auto chain, auto counted) __attribute__((always_inline)) {
      const auto apart = counted(load<width>(values + at) - mean);
      squares[chain] += apart * apart;
    });
  }
  return {mean, sum_of_chains<Number, width>(squares)};
}

// Of the runs from `first` to `last`: by blocks, which are merged in float64.
template <typename Value>
Moments<double> moments_of(const Value* x, const Layout& layout, int64_t channel, int64_t first, int64_t last) {
  Moments<double> all{0, 0};
  int64_t count = 0;
  for_each_block<Value>(layout, channel, first, last, [&](const Block& block) {
    const auto part = moments_of(x, block);
    const int64_t size = block.runs * block.length;
    merge<double>(all, count, Moments<double>{part.mean, part.squares}, size);
    count += size;
  });
  return all;
}

template <typename Value>
void normalize(const Value* x, Value* y, const Layout& layout, const PerChannel<Work<Value>>& by, int64_t channel,
               int64_t first, int64_t last) {
  constexpr int width = WIDTH<Value>;
  const auto mean = by.mean[channel], factor = by.factor[channel], offset = by.offset[channel];
  for_each_block<Value>(layout, channel, first, last, [&](const Block& block) {
    for (int64_t run = 0; run < block.runs; ++run) {
      const int64_t start = block.at + run * block.stride;
      for_each_vector<width>(block.length, [&](int64_t at, auto, auto) __attribute__((always_inline)) {
        __builtin_prefetch(y + start + at + AHEAD * block.stride, 1);
        store<width>(y + start + at, (load<width>(x + start + at) - mean) * factor + offset);
      });
    }
  });
}

// By statistics that are known: in the order of the memory.
template <int width, typename Value>
void normalize_in_order(const Value* x, Value* y, const Layout& layout, const PerChannel<Work<Value>>& by) {
  const int64_t grain = std::max<int64_t>(1, GRAIN / layout.inner);
  const int64_t slab = std::max<int64_t>(1, SLAB<Value> / layout.inner);
  at::parallel_for(0, layout.outer * layout.channels, grain, [&](int64_t begin, int64_t end) {
    int64_t channel = begin % layout.channels, asked = begin;
    for (int64_t run = begin; run < end; ++run) {
      if (run == asked) {
        const int64_t runs = std::min(slab, end - run);
        ask_for_pages(y + run * layout.inner, runs * layout.inner);
        asked += runs;
      }
      const auto mean = by.mean[channel], factor = by.factor[channel], offset = by.offset[channel];
      const int64_t start = run * layout.inner;
      for_each_vector<width>(layout.inner, [&](int64_t at, auto, auto) __attribute__((always_inline)) {
        store<width>(y + start + at, (load<width>(x + start + at) - mean) * factor + offset);
      });
      if (++channel == layout.channels) channel = 0;
    }
  });
}

template <typename Value>
void normalize_in_order(const Value* x, Value* y, const Layout& layout, const PerChannel<Work<Value>>& by) {
  // Where memory sets the pace, narrow vectors come faster than wide ones, unless they are converted.
  if constexpr (std::is_same_v<Value, Work<Value>>)
    if (layout.size() * sizeof(Value) > IN_CACHE) return normalize_in_order<NARROW<Value>>(x, y, layout, by);
  normalize_in_order<WIDTH<Value>>(x, y, layout, by);
}

// Pages of all of `to`, which is written channel by channel and so in no order of the memory.
template <typename Value>
void ask_for_all_pages(Value* to, const Layout& layout) {
  constexpr int64_t count = 4 * SLAB<Value>;
  at::parallel_for(0, layout.size(), count, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += count) ask_for_pages(to + at, std::min(count, end - at));
  });
}

template <typename Value>
GradientSums<double> gradient_sums(const Value* x, const Value* dy, const Layout& layout, Work<Value> mean,
                                   int64_t channel, int64_t first, int64_t last) {
  using Number = Work<Value>;
  constexpr int width = WIDTH<Value>;
  GradientSums<double> all{0, 0};
  for_each_block<Value>(layout, channel, first, last, [&](const Block& block) {
    Vector<Number, width> sums[CHAINS] = {}, products[CHAINS] = {};
    const int64_t ahead = AHEAD * block.stride;
    for (int64_t run = 0; run < block.runs; ++run) {
      const int64_t start = block.at + run * block.stride;
      for_each_vector<width>(block.length, [&](int64_t at, auto chain, auto counted) __attribute__((always_inline)) {
        __builtin_prefetch(dy + start + at + ahead);
        __builtin_prefetch(x + start + at + ahead);
        const auto upstream = load<width>(dy + start + at);
        sums[chain] += counted(upstream);
        products[chain] += counted(upstream * (load<width>(x + start + at) - mean));
      });
    }
    all.dy += sum_of_chains<Number, width>(sums);
    all.product += sum_of_chains<Number, width>(products);
  });
  return all;
}

template <typename Value>
void input_gradient(const Value* x, const Value* dy, Value* dx, const Layout& layout,
                    const PerChannelBackward<Work<Value>>& by, int64_t channel, int64_t first, int64_t last) {
  constexpr int width = WIDTH<Value>;
  const auto mean = by.mean[channel], factor = by.factor[channel];
  const auto offset = by.offset[channel], slope = by.slope[channel];
  for_each_block<Value>(layout, channel, first, last, [&](const Block& block) {
    for (int64_t run = 0; run < block.runs; ++run) {
      const int64_t start = block.at + run * block.stride;
      for_each_vector<width>(block.length, [&](int64_t at, auto, auto) __attribute__((always_inline)) {
        __builtin_prefetch(dx + start + at + AHEAD * block.stride, 1);
        const auto apart = load<width>(x + start + at) - mean;
        store<width>(dx + start + at, (load<width>(dy + start + at) - offset - apart * slope) * factor);
      });
    }
  });
}

// Pieces of a channel that threads take: 1 where there are channels enough for all of them.
inline int64_t pieces_of(const Layout& layout) {
  const int64_t threads = layout.size() < 2 * GRAIN ? 1 : at::get_num_threads();
  if (layout.channels % threads == 0 || layout.channels >= 8 * threads) return 1;
  return std::min(layout.outer, threads);
}

// collect(channel, first run, last run, piece) for each piece, then finish(channel), then apply(channel, first, last).
// Where a channel is one piece, one after the other by the same thread.
template <typename Collect, typename Finish, typename Apply>
void for_each_channel(const Layout& layout, int64_t pieces, Collect collect, Finish finish, Apply apply) {
  const int64_t grain = std::max<int64_t>(1, GRAIN * pieces / layout.values());
  const auto first = [&](int64_t piece) { return layout.outer * piece / pieces; };
  if (pieces == 1) {
    at::parallel_for(0, layout.channels, grain, [&](int64_t begin, int64_t end) {
      for (int64_t channel = begin; channel < end; ++channel) {
        collect(channel, 0, layout.outer, 0);
        finish(channel);
        apply(channel, 0, layout.outer);
      }
    });
    return;
  }
  at::parallel_for(0, layout.channels * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) collect(i / pieces, first(i % pieces), first(i % pieces + 1), i % pieces);
  });
  for (int64_t channel = 0; channel < layout.channels; ++channel) finish(channel);
  at::parallel_for(0, layout.channels * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) apply(i / pieces, first(i % pieces), first(i % pieces + 1));
  });
}

}  // namespace bnproof::rows
