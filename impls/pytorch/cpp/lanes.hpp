// Vectors as wide as the processor's own: of wider ones the compiler makes several, and passes them through memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace bnproof {

#ifdef __AVX512F__
constexpr int VECTOR_BYTES = 64, REGISTERS = 32;
#else
constexpr int VECTOR_BYTES = 32, REGISTERS = 16;
#endif

// The type of the arithmetic: float for 16-bit values.
template <typename Value>
using Work = std::conditional_t<std::is_same_v<Value, double>, double, float>;

template <typename Number, int width>
struct VectorOf {
  typedef Number type __attribute__((vector_size(width * sizeof(Number))));
};
template <typename Number, int width>
using Vector = typename VectorOf<Number, width>::type;

// Lanes of a whole vector of Value's arithmetic.
template <typename Value>
constexpr int WIDTH = VECTOR_BYTES / sizeof(Work<Value>);

// Of a narrow one.
template <typename Value>
constexpr int NARROW = 16 / sizeof(Work<Value>);

// 16-bit patterns as 32-bit ones.
template <int width>
inline Vector<uint32_t, width> widened(const void* from) {
  Vector<uint16_t, width> halves;
  std::memcpy(&halves, from, sizeof halves);
#ifdef __AVX512F__
  if constexpr (width == 16) {  // in one instruction, where the compiler makes it four
    const __m512i wide = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(halves));
    return reinterpret_cast<Vector<uint32_t, width>>(wide);
  }
#endif
  return __builtin_convertvector(halves, Vector<uint32_t, width>);
}

template <int width, typename Value>
inline Vector<Work<Value>, width> load(const Value* from) {
  using Number = Work<Value>;
  Vector<Number, width> lanes;
  if constexpr (std::is_same_v<Value, Number>) {
    std::memcpy(&lanes, from, sizeof lanes);
  } else if constexpr (std::is_same_v<Value, c10::BFloat16>) {
    const auto bits = widened<width>(from) << 16;
    std::memcpy(&lanes, &bits, sizeof lanes);
  } else {
    for (int i = 0; i < width; ++i) lanes[i] = static_cast<float>(from[i]);
  }
  return lanes;
}

#ifdef __AVX512BF16__
// By the processor's own conversion, which takes denormal numbers for 0: where there are any it stores nothing, and
// gives false.
inline bool store_normal(c10::BFloat16* to, Vector<float, 16> lanes) {
  constexpr int DENORMAL = 0x20;
  __m512 values;
  std::memcpy(&values, &lanes, sizeof values);
  if (_mm512_fpclass_ps_mask(values, DENORMAL)) return false;
  const __m256bh halves = _mm512_cvtneps_pbh(values);
  std::memcpy(to, &halves, sizeof halves);
  return true;
}
#endif

// To the nearest value, ties to even; a NaN stays one.
template <int width, typename Value>
inline void store(Value* to, Vector<Work<Value>, width> lanes) {
  if constexpr (std::is_same_v<Value, Work<Value>>) {
    std::memcpy(to, &lanes, sizeof lanes);
  } else if constexpr (std::is_same_v<Value, c10::BFloat16>) {
#ifdef __AVX512BF16__
    if constexpr (width == 16)
      if (store_normal(to, lanes)) [[likely]] return;
#endif
    Vector<uint32_t, width> bits;
    std::memcpy(&bits, &lanes, sizeof bits);
    const auto rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const auto halves = __builtin_convertvector(lanes == lanes ? rounded : bits * 0 + 0x7fc0u, Vector<uint16_t, width>);
    std::memcpy(to, &halves, sizeof halves);
  } else {
    for (int i = 0; i < width; ++i) to[i] = static_cast<Value>(static_cast<float>(lanes[i]));
  }
}

// The sum of the lanes, by a tree.
template <typename Number, int width>
inline Number sum_of_lanes(Vector<Number, width> lanes) {
  Number left[width];
  std::memcpy(left, &lanes, sizeof left);
  for (int half = width / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) left[i] += left[i + half];
  return left[0];
}

// All lanes of a vector count.
struct All {
  template <typename Lanes>
  Lanes operator()(Lanes lanes) const { return lanes; }
};

// The last `count` lanes count, the others become 0.
struct Last {
  int64_t count;
  template <typename Lanes>
  Lanes operator()(Lanes lanes) const {
    constexpr int width = sizeof(Lanes) / sizeof(lanes[0]);
    using Index = std::conditional_t<sizeof(lanes[0]) == 8, int64_t, int32_t>;
    Vector<Index, width> index;
    for (int i = 0; i < width; ++i) index[i] = i;
    return index >= static_cast<Index>(width - count) ? lanes : Lanes{};
  }
};

// Sums are kept in this many vectors, so that an addition need not wait for the one before it.
constexpr int CHAINS = 4;

template <typename Body, int... chain>
inline void in_each_chain(Body& body, int64_t at, int64_t width, std::integer_sequence<int, chain...>) {
  (body(at + chain * width, std::integral_constant<int, chain>{}, All{}), ...);
}

// Calls body(position, chain, counted) for vectors that cover `length` >= width values. The last may begin before the
// end of the one before it: counted(lanes) is 0 in lanes that came before.
template <int width, typename Body>
inline void for_each_vector(int64_t length, Body body) {
  int64_t at = 0;
  for (; at + CHAINS * width <= length; at += CHAINS * width)
    in_each_chain(body, at, width, std::make_integer_sequence<int, CHAINS>{});
  for (; at + width <= length; at += width) body(at, std::integral_constant<int, 0>{}, All{});
  if (at < length) body(length - width, std::integral_constant<int, 1>{}, Last{length - at});
}

template <typename Number, int width>
inline Number sum_of_chains(const Vector<Number, width> (&chains)[CHAINS]) {
  return sum_of_lanes<Number, width>((chains[0] + chains[1]) + (chains[2] + chains[3]));
}

}  // namespace bnproof
