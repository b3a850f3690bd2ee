// Channels last, and short runs: x is a matrix of `rows` by `columns`, and each column belongs to one channel.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "lanes.hpp"
#include "moments.hpp"

namespace bnproof::columns {

constexpr int TILE = REGISTERS / 4;  // vectors whose sums stay in registers
constexpr int64_t WIDE = 1024;      // columns beyond which rows are not joined

// The matrix, and the slots that hold a number for each column: vector v begins at column start(v). The last may begin
// before the end of the one before it, so that some columns have two slots.
struct Grid {
  int64_t rows, columns, width;
  int64_t vectors = (columns + width - 1) / width, slots = vectors * width;
  std::vector<int32_t> channel_of = {};  // of a slot
  int64_t last() const { return slots - width; }       // the first slot of the last vector
  int64_t overlap() const { return slots - columns; }  // columns of the last vector that the one before it has too
  int64_t start(int64_t vector) const { return std::min(vector * width, columns - width); }
  bool is_second(int64_t slot) const { return slot >= last() && slot < last() + overlap(); }
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
  Grid grid{layout.outer / join, columns * join, columns * join < width ? 1 : width};
  grid.channel_of.resize(grid.slots);
  int64_t channel = 0, within = 0;
  for (int64_t column = 0; column < grid.columns; ++column) {
    const auto of_column = static_cast<int32_t>(channel);
    if (column < grid.last()) grid.channel_of[column] = of_column;
    if (column + grid.overlap() >= grid.last()) grid.channel_of[column + grid.overlap()] = of_column;
    if (++within == layout.inner) within = 0, channel = channel + 1 == layout.channels ? 0 : channel + 1;
  }
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
  std::vector<Number> slots(grid.slots);
  for (int64_t slot = 0; slot < grid.slots; ++slot) slots[slot] = per_channel[grid.channel_of[slot]];
  return slots;
}

}  // namespace bnproof::columns
