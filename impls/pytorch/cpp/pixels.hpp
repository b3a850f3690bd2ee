// Batches of images into blocks, and blocks to threads.
#pragma once

#include <array>

#include <ATen/Parallel.h>

#include "blocks.hpp"

namespace bnproof::lenet {

// Calls body(block, first block of the run) for all; each thread takes a run of them.
template <typename Body>
void for_each_block(int64_t blocks, Body body) {
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) body(block, begin);
  });
}

// pixels of 0 to 255 into the lanes of a block, each divided by 255.
template <typename Number>
void scale_into(const uint8_t* images, const int64_t* examples, int filled, Lanes<Number>* to) {
  static const auto table = [] {
    std::array<Number, 256> shares;
    for (int value = 0; value < 256; ++value) shares[value] = static_cast<Number>(value) / 255;
    return shares;
  }();
  const uint8_t* of_lane[LANES<Number>];
  for (int lane = 0; lane < LANES<Number>; ++lane)
    of_lane[lane] = images + examples[lane < filled ? lane : 0] * plane(IMAGE);
  for (int pixel = 0; pixel < plane(IMAGE); ++pixel) {
    Lanes<Number> lanes;
    for (int lane = 0; lane < LANES<Number>; ++lane) lanes[lane] = table[of_lane[lane][pixel]];
    to[pixel] = lanes;
  }
}

}  // namespace bnproof::lenet
