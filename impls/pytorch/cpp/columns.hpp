// Channels last, and short runs: x is a matrix of `rows` by `columns`, and each column belongs to one channel. Vectors
// go along the rows; every thread takes some of the rows.
#pragma once

#include <algorithm>
#include <vector>

#include <ATen/Parallel.h>

#include "lanes.hpp"
#include "moments.hpp"

namespace bnproof::columns {

#ifdef __AVX512F__
constexpr int TILE = 8;  // vectors whose sums stay in registers
#else
constexpr int TILE = 4;
#endif
constexpr int64_t BLOCK_BYTES = 65536;
constexpr int64_t MOST_ROWS = 128;  // of a block
constexpr int64_t WIDE = 1024;      // columns beyond which rows are not joined

// The matrix, and the slots that hold a number for each column: vector v begins at column start(v). The last may begin
// before the end of the one before it, so that some columns have two slots.
struct Grid {
  int64_t rows, columns, width;
  std::vector<int32_t> channel_of;  // of a slot
  int64_t vectors() const { return (columns + width - 1) / width; }
  int64_t slots() const { return vectors() * width; }
  int64_t start(int64_t vector) const { return std::min(vector * width, columns - width); }
  int64_t column_of(int64_t slot) const { return start(slot / width) + slot % width; }
  bool is_second(int64_t slot) const { return column_of(slot) != slot && column_of(slot) < (vectors() - 1) * width; }
  int64_t block_rows(int64_t value_bytes) const {
    return std::clamp<int64_t>(BLOCK_BYTES / (columns * value_bytes), 16, MOST_ROWS);
  }
};

// How many rows are joined to one, for vectors that are full and fill tiles: a divisor of the rows.
inline int64_t joined_rows(int64_t rows, int64_t columns, int64_t width) {
  int64_t best = 1;
  double least = 1e9;
  for (int64_t join = 1; join <= rows && join * columns <= std::max(columns, WIDE); ++join) {
    if (rows % join != 0 || join * columns < width) continue;
    const int64_t vectors = (join * columns + width - 1) / width;
    const double cost = static_cast<double>((vectors + TILE - 1) / TILE) / static_cast<double>(join * columns);
    if (cost < least * 0.99) best = join, least = cost;
  }
  return best;
}

inline Grid grid_of(const Layout& layout, int64_t width) {
  const int64_t columns = layout.channels * layout.inner;
  const int64_t join = joined_rows(layout.outer, columns, width);
  Grid grid{layout.outer / join, columns * join, columns * join < width ? 1 : width, {}};
  grid.channel_of.resize(grid.slots());
  int64_t column = 0, channel = 0, within = 0;
  std::vector<int32_t> of_column(grid.columns);
  for (; column < grid.columns; ++column) {
    of_column[column] = static_cast<int32_t>(channel);
    if (++within == layout.inner) within = 0, channel = channel + 1 == layout.channels ? 0 : channel + 1;
  }
  for (int64_t slot = 0; slot < grid.slots(); ++slot) grid.channel_of[slot] = of_column[grid.column_of(slot)];
  return grid;
}

// Calls body(vector, count) with count, a constant, of vectors that are worked on together.
template <int most, typename Body>
inline void for_each_tile(int64_t vectors, Body body, int64_t from = 0) {
  for (; from + most <= vectors; from += most) body(from, std::integral_constant<int, most>{});
  if constexpr (most > 1) for_each_tile<most / 2>(vectors, body, from);
}

template <int count, typename Body>
inline void repeat(Body body) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, i>{}), ...);
  }(std::make_integer_sequence<int, count>{});
}

// A number for each slot.
template <typename Number>
std::vector<Number> spread(const Grid& grid, const Number* per_channel) {
  std::vector<Number> slots(grid.slots());
  for (int64_t slot = 0; slot < grid.slots(); ++slot) slots[slot] = per_channel[grid.channel_of[slot]];
  return slots;
}

// One thread's part: sums for each slot, of its rows.
template <typename Number>
struct Part {
  int64_t rows = 0;
  std::vector<Number> first, second;  // mean and squares, or the sums of dy and of products
};

// Welford's updates down the rows of a block, in registers; then the block is merged with what came before.
template <int width, int count, typename Value>
void add_moments(const Value* x, const Grid& grid, int64_t from, int64_t to, int64_t vector, Part<Work<Value>>& part) {
  using Number = Work<Value>;
  using Lanes = Vector<Number, width>;
  Moments<Lanes> moments[count];
  int64_t start[count];
  repeat<count>([&](auto i) {
    start[i] = grid.start(vector + i);
    moments[i].mean = load<width>(x + from * grid.columns + start[i]);
    moments[i].squares = Lanes{};
  });
  for (int64_t row = from + 1; row < to; ++row) {
    const Value* values = x + row * grid.columns;
    const Number share = Number(1) / static_cast<Number>(row - from + 1);
    repeat<count>([&](auto i) {
      const auto value = load<width>(values + start[i]);
      const auto apart = value - moments[i].mean;
      moments[i].mean += apart * share;
      moments[i].squares += apart * (value - moments[i].mean);
    });
  }
  repeat<count>([&](auto i) {
    Number* mean = part.first.data() + (vector + i) * width;
    Number* squares = part.second.data() + (vector + i) * width;
    Moments<Lanes> all;
    all.mean = load<width>(mean), all.squares = load<width>(squares);
    merge<Number>(all, part.rows, moments[i], to - from);
    store<width>(mean, all.mean);
    store<width>(squares, all.squares);
  });
}

template <int width, int count, typename Value>
void add_gradients(const Value* x, const Value* dy, const Work<Value>* mean, const Grid& grid, int64_t from, int64_t to,
                   int64_t vector, Part<Work<Value>>& part) {
  using Lanes = Vector<Work<Value>, width>;
  GradientSums<Lanes> sums[count];
  Lanes means[count];
  int64_t start[count];
  repeat<count>([&](auto i) {
    sums[i].dy = sums[i].product = Lanes{};
    start[i] = grid.start(vector + i);
    means[i] = load<width>(mean + (vector + i) * width);
  });
  for (int64_t row = from; row < to; ++row) {
    const int64_t begin = row * grid.columns;
    repeat<count>([&](auto i) {
      const auto upstream = load<width>(dy + begin + start[i]);
      sums[i].dy += upstream;
      sums[i].product += upstream * (load<width>(x + begin + start[i]) - means[i]);
    });
  }
  repeat<count>([&](auto i) {
    auto* first = part.first.data() + (vector + i) * width;
    auto* second = part.second.data() + (vector + i) * width;
    store<width>(first, load<width>(first) + sums[i].dy);
    store<width>(second, load<width>(second) + sums[i].product);
  });
}

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

// Calls body(vector, count, first row, last row) for blocks of rows and tiles of vectors.
template <int tile, typename Body>
void for_each_block(const Grid& grid, int64_t value_bytes, int64_t from, int64_t to, Body body, auto after) {
  const int64_t rows = grid.block_rows(value_bytes);
  for (int64_t row = from; row < to; row += rows) {
    const int64_t end = std::min(row + rows, to);
    for_each_tile<tile>(grid.vectors(), [&](int64_t vector, auto count) { body(vector, count, row, end); });
    after(end - row);
  }
}

// Parts of the rows, each summed by add(vector, count, from, to, part).
template <int tile, typename Number, typename Add>
std::vector<Part<Number>> collect(const Grid& grid, int64_t value_bytes, Add add) {
  std::vector<Part<Number>> parts(parts_of(grid));
  in_parts(grid, static_cast<int64_t>(parts.size()), [&](int64_t number, int64_t from, int64_t to) {
    auto& part = parts[number];
    part.first.resize(grid.slots());
    part.second.resize(grid.slots());
    for_each_block<tile>(
        grid, value_bytes, from, to,
        [&](int64_t vector, auto count, int64_t begin, int64_t end) { add(vector, count, begin, end, part); },
        [&](int64_t rows) { part.rows += rows; });
  });
  return parts;
}

template <int width, typename Value>
std::vector<Moments<double>> moments_of(const Value* x, const Grid& grid, int64_t channels) {
  const auto parts = collect<TILE, Work<Value>>(
      grid, sizeof(Value), [&](int64_t vector, auto count, int64_t from, int64_t to, auto& part) {
        add_moments<width, count>(x, grid, from, to, vector, part);
      });
  std::vector<Moments<double>> all(channels, {0, 0});
  std::vector<int64_t> counts(channels, 0);
  for (const auto& part : parts)
    for (int64_t slot = 0; slot < grid.slots(); ++slot) {
      if (grid.is_second(slot)) continue;
      const auto channel = grid.channel_of[slot];
      merge<double>(all[channel], counts[channel], Moments<double>{part.first[slot], part.second[slot]}, part.rows);
      counts[channel] += part.rows;
    }
  return all;
}

template <int width, typename Value>
std::vector<GradientSums<double>> gradient_sums(const Value* x, const Value* dy, const Grid& grid,
                                                const Work<Value>* mean, int64_t channels) {
  const auto means = spread(grid, mean);
  const auto parts = collect<TILE, Work<Value>>(
      grid, 2 * sizeof(Value), [&](int64_t vector, auto count, int64_t from, int64_t to, auto& part) {
        add_gradients<width, count>(x, dy, means.data(), grid, from, to, vector, part);
      });
  std::vector<GradientSums<double>> all(channels, {0, 0});
  for (const auto& part : parts)
    for (int64_t slot = 0; slot < grid.slots(); ++slot) {
      if (grid.is_second(slot)) continue;
      auto& sums = all[grid.channel_of[slot]];
      sums.dy += part.first[slot];
      sums.product += part.second[slot];
    }
  return all;
}

template <int width, typename Value>
void normalize(const Value* x, Value* y, const Grid& grid, const PerChannel<Work<Value>>& by) {
  using Lanes = Vector<Work<Value>, width>;
  const auto mean = spread(grid, by.mean), factor = spread(grid, by.factor), offset = spread(grid, by.offset);
  in_parts(grid, parts_of(grid), [&](int64_t, int64_t from, int64_t to) {
    for_each_block<TILE>(
        grid, 2 * sizeof(Value), from, to,
        [&](int64_t vector, auto count, int64_t begin, int64_t end) {
          Lanes m[count], f[count], o[count];
          repeat<count>([&](auto i) {
            const int64_t slot = (vector + i) * width;
            m[i] = load<width>(&mean[slot]), f[i] = load<width>(&factor[slot]), o[i] = load<width>(&offset[slot]);
          });
          for (int64_t row = begin; row < end; ++row)
            repeat<count>([&](auto i) {
              const int64_t at = row * grid.columns + grid.start(vector + i);
              store<width>(y + at, (load<width>(x + at) - m[i]) * f[i] + o[i]);
            });
        },
        [](int64_t) {});
  });
}

template <int width, typename Value>
void input_gradient(const Value* x, const Value* dy, Value* dx, const Grid& grid,
                    const PerChannelBackward<Work<Value>>& by) {
  using Lanes = Vector<Work<Value>, width>;
  const auto mean = spread(grid, by.mean), factor = spread(grid, by.factor);
  const auto offset = spread(grid, by.offset), slope = spread(grid, by.slope);
  in_parts(grid, parts_of(grid), [&](int64_t, int64_t from, int64_t to) {
    for_each_block<TILE / 2>(
        grid, 3 * sizeof(Value), from, to,
        [&](int64_t vector, auto count, int64_t begin, int64_t end) {
          Lanes m[count], f[count], o[count], s[count];
          repeat<count>([&](auto i) {
            const int64_t slot = (vector + i) * width;
            m[i] = load<width>(&mean[slot]), f[i] = load<width>(&factor[slot]);
            o[i] = load<width>(&offset[slot]), s[i] = load<width>(&slope[slot]);
          });
          for (int64_t row = begin; row < end; ++row)
            repeat<count>([&](auto i) {
              const int64_t at = row * grid.columns + grid.start(vector + i);
              const auto apart = load<width>(x + at) - m[i];
              store<width>(dx + at, (load<width>(dy + at) - o[i] - apart * s[i]) * f[i]);
            });
        },
        [](int64_t) {});
  });
}

}  // namespace bnproof::columns
