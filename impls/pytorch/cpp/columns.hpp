// The passes over a grid. Vectors go along the rows; every thread takes some of the rows.
#pragma once

#include <array>

#include <ATen/Parallel.h>

#include "grid.hpp"
#include "lanes.hpp"
#include "pages.hpp"

namespace bnproof::columns {

constexpr int64_t BLOCK_BYTES = 65536;
constexpr int64_t MOST_ROWS = 128;  // of a block

// Rows from `from` to `to` of a block that begins at `first`.
struct Rows {
  int64_t first, from, to;
};

inline int64_t parts_of(const Grid& grid) {
  const int64_t most = std::max<int64_t>(1, grid.rows * grid.columns / GRAIN);
  return std::min({most, grid.rows, static_cast<int64_t>(at::get_num_threads())});
}

// Calls body(part, first row, last row) for equal parts of the rows, each in a thread of its own.
template <typename Body>
void in_parts(const Grid& grid, int64_t parts, Body body) {
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      body(part, grid.rows * part / parts, grid.rows * (part + 1) / parts);
  });
}

// Calls body(rows, vector, count) for blocks of rows and tiles of vectors, and after(rows of the block).
// Down the rows tile by tile, so that a tile's numbers stay in registers; in the order of the memory, row by row, where
// `streams` is true and x is in no cache: several arrays, or one that is written, come at half the rate in any other.
// 16-bit values are slower to convert.
template <int tile, typename Value, typename Body>
void for_each_block(const Grid& grid, int64_t from, int64_t to, bool streams, Body body, auto after) {
  const int64_t row_bytes = grid.columns * sizeof(Value), vectors = grid.vectors;
  const bool in_order =
      streams && std::is_same_v<Value, Work<Value>> && vectors > tile && row_bytes * grid.rows > IN_CACHE;
  const int64_t rows = std::clamp<int64_t>(BLOCK_BYTES / row_bytes, 16, MOST_ROWS);
  for (int64_t first = from; first < to; first += rows) {
    const int64_t end = std::min(first + rows, to);
    if (in_order) {
      for (int64_t row = first; row < end; ++row)
        for_each_tile<1>(vectors, [&](int64_t vector, auto count) { body(Rows{first, row, row + 1}, vector, count); });
    } else {
      for_each_tile<tile>(vectors, [&](int64_t vector, auto count) { body(Rows{first, first, end}, vector, count); });
    }
    after(end - first);
  }
}

// The same for what is written: its pages are asked for before their turn.
template <int tile, typename Value, typename Body>
void for_each_written_block(const Grid& grid, Value* to, Body body) {
  const int64_t slab = std::max<int64_t>(1, SLAB<Value> / grid.columns);
  in_parts(grid, parts_of(grid), [&](int64_t, int64_t first, int64_t last) {
    for (int64_t from = first; from < last; from += slab) {
      const int64_t end = std::min(from + slab, last);
      ask_for_pages(to + from * grid.columns, (end - from) * grid.columns);
      for_each_block<tile, Value>(grid, from, end, true, body, [](int64_t) {});
    }
  });
}

// A pair of numbers for each slot: mean and squares, or the sums of dy and of products.
template <typename Number>
struct Pairs {
  std::vector<Number> first, second;
  explicit Pairs(const Grid& grid) : first(grid.slots), second(grid.slots) {}
};

// One thread's part: of all of its rows, and of the block that is being summed.
template <typename Number>
struct Part {
  int64_t rows = 0;
  Pairs<Number> all, block;
  explicit Part(const Grid& grid) : all(grid), block(grid) {}
};

// Parts of the rows: add(rows, vector, count, block) sums, join(part, rows) adds the block to the part.
template <int width, typename Value, typename Add, typename Join>
std::vector<Part<Work<Value>>> collect(const Grid& grid, bool streams, Add add, Join join) {
  std::vector<Part<Work<Value>>> parts(parts_of(grid), Part<Work<Value>>(grid));
  in_parts(grid, static_cast<int64_t>(parts.size()), [&](int64_t number, int64_t from, int64_t to) {
    auto& part = parts[number];
    for_each_block<TILE, Value>(
        grid, from, to, streams,
        [&](const Rows& rows, int64_t vector, auto count) { add(rows, vector, count, part.block); },
        [&](int64_t rows) {
          for (int64_t slot = 0; slot < grid.slots; slot += width) join(part, slot, rows);
          part.rows += rows;
        });
  });
  return parts;
}

// 1, 1/2, 1/3, ...: a division would take longer than the rest of a vector's update.
template <typename Number>
constexpr auto SHARES = [] {
  std::array<Number, MOST_ROWS> shares{};
  for (int64_t i = 0; i < MOST_ROWS; ++i) shares[i] = Number(1) / static_cast<Number>(i + 1);
  return shares;
}();

// Welford's updates down the rows, in registers.
template <int width, int count, typename Value>
void add_moments(const Value* x, const Grid& grid, const Rows& rows, int64_t vector, Pairs<Work<Value>>& block) {
  using Number = Work<Value>;
  Moments<Vector<Number, width>> moments[count];
  int64_t start[count];
  const bool begins = rows.from == rows.first;
  repeat<count>([&](auto i) {
    start[i] = grid.start(vector + i);
    moments[i].mean = moments[i].squares = Vector<Number, width>{};
    if (begins) return;
    moments[i].mean = load<width>(&block.first[(vector + i) * width]);
    moments[i].squares = load<width>(&block.second[(vector + i) * width]);
  });
  const int64_t columns = grid.columns;
  const Value* values = x + rows.from * columns;
  for (int64_t row = rows.from; row < rows.to; ++row, values += columns) {
    const Number share = SHARES<Number>[row - rows.first];
    repeat<count>([&](auto i) {
      const auto value = load<width>(values + start[i]);
      const auto apart = value - moments[i].mean;
      moments[i].mean += apart * share;
      moments[i].squares += apart * (value - moments[i].mean);
    });
  }
  repeat<count>([&](auto i) {
    store<width>(&block.first[(vector + i) * width], moments[i].mean);
    store<width>(&block.second[(vector + i) * width], moments[i].squares);
  });
}

template <int width, int count, typename Value>
void add_gradients(const Value* x, const Value* dy, const Work<Value>* mean, const Grid& grid, const Rows& rows,
                   int64_t vector, Pairs<Work<Value>>& block) {
  using Lanes = Vector<Work<Value>, width>;
  GradientSums<Lanes> sums[count];
  Lanes means[count];
  int64_t start[count];
  const bool begins = rows.from == rows.first;
  repeat<count>([&](auto i) {
    start[i] = grid.start(vector + i);
    means[i] = load<width>(mean + (vector + i) * width);
    sums[i].dy = sums[i].product = Lanes{};
    if (begins) return;
    sums[i].dy = load<width>(&block.first[(vector + i) * width]);
    sums[i].product = load<width>(&block.second[(vector + i) * width]);
  });
  const int64_t columns = grid.columns;
  const Value *values = x + rows.from * columns, *upstream = dy + rows.from * columns;
  for (int64_t row = rows.from; row < rows.to; ++row, values += columns, upstream += columns)
    repeat<count>([&](auto i) {
      const auto gradient = load<width>(upstream + start[i]);
      sums[i].dy += gradient;
      sums[i].product += gradient * (load<width>(values + start[i]) - means[i]);
    });
  repeat<count>([&](auto i) {
    store<width>(&block.first[(vector + i) * width], sums[i].dy);
    store<width>(&block.second[(vector + i) * width], sums[i].product);
  });
}

template <int width, typename Value>
std::vector<Moments<double>> moments_of(const Value* x, const Grid& grid, int64_t channels) {
  using Number = Work<Value>;
  const auto parts = collect<width, Value>(
      grid, false,
      [&](const Rows& rows, int64_t vector, auto count, auto& block) {
        add_moments<width, count>(x, grid, rows, vector, block);
      },
      [](Part<Number>& part, int64_t slot, int64_t rows) {
        Moments<Vector<Number, width>> all, block;
        all.mean = load<width>(&part.all.first[slot]), all.squares = load<width>(&part.all.second[slot]);
        block.mean = load<width>(&part.block.first[slot]), block.squares = load<width>(&part.block.second[slot]);
        merge<Number>(all, part.rows, block, rows);
        store<width>(&part.all.first[slot], all.mean);
        store<width>(&part.all.second[slot], all.squares);
      });
  std::vector<Moments<double>> all(channels, {0, 0});
  std::vector<int64_t> counts(channels, 0);
  for (const auto& part : parts)
    for (int64_t slot = 0; slot < grid.slots; ++slot) {
      if (grid.is_second(slot)) continue;
      const auto channel = grid.channel_of[slot];
      const Moments<double> of_slot{part.all.first[slot], part.all.second[slot]};
      merge<double>(all[channel], counts[channel], of_slot, part.rows);
      counts[channel] += part.rows;
    }
  return all;
}

template <int width, typename Value>
std::vector<GradientSums<double>> gradient_sums(const Value* x, const Value* dy, const Grid& grid,
                                                const Work<Value>* mean, int64_t channels) {
  const auto means = spread(grid, mean);
  const auto parts = collect<width, Value>(
      grid, true,
      [&](const Rows& rows, int64_t vector, auto count, auto& block) {
        add_gradients<width, count>(x, dy, means.data(), grid, rows, vector, block);
      },
      [](Part<Work<Value>>& part, int64_t slot, int64_t) {
        auto *dy_sums = &part.all.first[slot], *products = &part.all.second[slot];
        store<width>(dy_sums, load<width>(dy_sums) + load<width>(&part.block.first[slot]));
        store<width>(products, load<width>(products) + load<width>(&part.block.second[slot]));
      });
  std::vector<GradientSums<double>> all(channels, {0, 0});
  for (const auto& part : parts)
    for (int64_t slot = 0; slot < grid.slots; ++slot) {
      if (grid.is_second(slot)) continue;
      auto& sums = all[grid.channel_of[slot]];
      sums.dy += part.all.first[slot];
      sums.product += part.all.second[slot];
    }
  return all;
}

template <int width, typename Value>
void normalize(const Value* x, Value* y, const Grid& grid, const PerChannel<Work<Value>>& by) {
  using Lanes = Vector<Work<Value>, width>;
  const auto mean = spread(grid, by.mean), factor = spread(grid, by.factor), offset = spread(grid, by.offset);
  for_each_written_block<TILE>(
      grid, y, [&](const Rows& rows, int64_t vector, auto count) {
        Lanes m[count], f[count], o[count];
        int64_t start[count];
        repeat<count>([&](auto i) {
          const int64_t slot = (vector + i) * width;
          start[i] = grid.start(vector + i);
          m[i] = load<width>(&mean[slot]), f[i] = load<width>(&factor[slot]), o[i] = load<width>(&offset[slot]);
        });
        const int64_t columns = grid.columns;
        const Value* from = x + rows.from * columns;
        Value* to = y + rows.from * columns;
        for (int64_t row = rows.from; row < rows.to; ++row, from += columns, to += columns)
          repeat<count>([&](auto i) {
            store<width>(to + start[i], (load<width>(from + start[i]) - m[i]) * f[i] + o[i]);
          });
      });
}

template <int width, typename Value>
void input_gradient(const Value* x, const Value* dy, Value* dx, const Grid& grid,
                    const PerChannelBackward<Work<Value>>& by) {
  using Lanes = Vector<Work<Value>, width>;
  const auto mean = spread(grid, by.mean), factor = spread(grid, by.factor);
  const auto offset = spread(grid, by.offset), slope = spread(grid, by.slope);
  for_each_written_block<TILE>(
      grid, dx, [&](const Rows& rows, int64_t vector, auto count) {
        Lanes m[count], f[count], o[count], s[count];
        int64_t start[count];
        repeat<count>([&](auto i) {
          const int64_t slot = (vector + i) * width;
          start[i] = grid.start(vector + i);
          m[i] = load<width>(&mean[slot]), f[i] = load<width>(&factor[slot]);
          o[i] = load<width>(&offset[slot]), s[i] = load<width>(&slope[slot]);
        });
        const int64_t columns = grid.columns;
        const Value *values = x + rows.from * columns, *upstream = dy + rows.from * columns;
        Value* to = dx + rows.from * columns;
        for (int64_t row = rows.from; row < rows.to; ++row, values += columns, upstream += columns, to += columns)
          repeat<count>([&](auto i) {
            const auto apart = load<width>(values + start[i]) - m[i];
            store<width>(to + start[i], (load<width>(upstream + start[i]) - o[i] - apart * s[i]) * f[i]);
          });
      });
}

}  // namespace bnproof::columns
