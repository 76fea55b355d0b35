// Vector registers, and the two kinds of sums of products that all layers are made of.

#pragma once

#include <cstdint>
#include <utility>

namespace {

#ifdef __AVX512F__
constexpr int W = 16, MAX_ROWS = 12, MAX_TAPS = 5, MAX_SUMS = 25;
#else
constexpr int W = 8, MAX_ROWS = 6, MAX_TAPS = 3, MAX_SUMS = 12;
#endif
constexpr int MAX_OUT = 8;  // channels in one tile of a weight gradient

typedef float V __attribute__((vector_size(4 * W)));
typedef float Unaligned __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t I __attribute__((vector_size(4 * W), may_alias));

inline V load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(float* p, V x) { *reinterpret_cast<Unaligned*>(p) = x; }
inline V all(float x) { return x - V{}; }
// A NaN stays a NaN, so that a run that diverges is seen.
inline V rectified(V x) { return x < 0.0f ? V{} : x; }

// -- products whose columns are images (or, for the gradient of a linear layer, its inputs) -------

// For `count` positions:
// c[row][column] = start + sum over lines, runs and terms of a[row] * b[column].
struct Product {
  long count = 1, b_position = 0, c_position = 0;
  long lines = 1, runs = 1, terms = 0;
  const float* a = nullptr;
  long a_row = 0, a_term = 0, a_run = 0, a_line = 0;
  const float* b = nullptr;
  long b_term = 0, b_run = 0, b_line = 0;
  float* c = nullptr;
  long c_row = 0;
  const float* bias = nullptr;  // start of each row; else c where `add`, else 0
  bool add = false, relu = false;
};

template <int ROWS, int N>
void multiply(const Product& t) {
  const long row = t.a_row, a_term = t.a_term, b_term = t.b_term;
  for (long position = 0; position < t.count; position++) {
    float* c = t.c + position * t.c_position;
    V sum[ROWS][N];
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
      for (int v = 0; v < N; v++)
        sum[r][v] = t.bias ? all(t.bias[r]) : t.add ? load(c + r * t.c_row + v * W) : V{};
    for (long line = 0; line < t.lines; line++)
      for (long run = 0; run < t.runs; run++) {
        const float* b = t.b + position * t.b_position + line * t.b_line + run * t.b_run;
        const float *a0 = t.a + line * t.a_line + run * t.a_run, *a3 = a0 + 3 * row,
                    *a6 = a0 + 6 * row, *a9 = a0 + 9 * row;
        for (long term = 0; term < t.terms; term++) {
          V x[N];
#pragma GCC unroll 2
          for (int v = 0; v < N; v++) x[v] = load(b + v * W);
#pragma GCC unroll 12
          for (int r = 0; r < ROWS; r++) {
            const float* from = r < 3 ? a0 : r < 6 ? a3 : r < 9 ? a6 : a9;
            const V y = all(from[r % 3 * row]);
#pragma GCC unroll 2
            for (int v = 0; v < N; v++) sum[r][v] += y * x[v];
          }
          a0 += a_term, a3 += a_term, a6 += a_term, a9 += a_term, b += b_term;
        }
      }
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
      for (int v = 0; v < N; v++)
        store(c + r * t.c_row + v * W, t.relu ? rectified(sum[r][v]) : sum[r][v]);
  }
}

using Multiply = void (*)(const Product&);

template <int... R>
Multiply multiply_of(int rows, int n, std::integer_sequence<int, R...>) {
  static const Multiply one[] = {multiply<R + 1, 1>...}, two[] = {multiply<R + 1, 2>...};
  return (n == 1 ? one : two)[rows - 1];
}

// Do the product for `rows` (at most MAX_ROWS) rows and n registers of columns.
inline void multiply(int rows, int n, const Product& t) {
  multiply_of(rows, n, std::make_integer_sequence<int, MAX_ROWS>())(t);
}

// -- sums over images and positions: the weight gradient of a convolution -------------------------

// For a tile of output channels and taps: the sum over rows, positions and images of d * x.
struct Sums {
  long rows = 0, count = 0;
  const float* d = nullptr;  // gradient of the outputs; channels lie one block of images apart
  long d_row = 0, d_position = 0;
  const float* x = nullptr;  // inputs
  long x_row = 0, x_position = 0, x_tap = 0;
  float* to = nullptr;
  long to_channel = 0, to_tap = 0;
  bool add = false;
};

// Return the sums of the halves of every segment of `width` lanes, of x first and then of y.
template <int WIDTH>
inline V halves(V x, V y) {
  I low, high;
#pragma GCC unroll 16
  for (int lane = 0; lane < W; lane++) {
    const int segment = lane / (WIDTH / 2);
    low[lane] = segment * WIDTH + lane % (WIDTH / 2);  // segments of y follow those of x
    high[lane] = low[lane] + WIDTH / 2;
  }
  return __builtin_shuffle(x, y, low) + __builtin_shuffle(x, y, high);
}

template <int WIDTH, int N>
inline V lane_sums(const V* x) {
  if constexpr (N == 1)
    return x[0];
  else
    return halves<W * 2 / N>(lane_sums<WIDTH, N / 2>(x), lane_sums<WIDTH, N / 2>(x + N / 2));
}

template <int OUT, int TAPS, int N>
void sum_products(const Sums& t) {
  constexpr int M = (OUT * TAPS + W - 1) / W * W;
  V sum[M] = {};
  {
    V s[OUT][TAPS] = {};
    const long tap = t.x_tap;
    for (long row = 0; row < t.rows; row++) {
      const float *d = t.d + row * t.d_row, *x0 = t.x + row * t.x_row, *x3 = x0 + 3 * tap;
      for (long position = 0; position < t.count; position++) {
#pragma GCC unroll 2
        for (int v = 0; v < N; v++) {
          V x[TAPS];
#pragma GCC unroll 8
          for (int k = 0; k < TAPS; k++) x[k] = load((k < 3 ? x0 : x3) + k % 3 * tap + v * W);
#pragma GCC unroll 8
          for (int o = 0; o < OUT; o++) {
            const V y = load(d + (o * N + v) * W);
#pragma GCC unroll 8
            for (int k = 0; k < TAPS; k++) s[o][k] += y * x[k];
          }
        }
        d += t.d_position, x0 += t.x_position, x3 += t.x_position;
      }
    }
#pragma GCC unroll 8
    for (int o = 0; o < OUT; o++)
#pragma GCC unroll 8
      for (int k = 0; k < TAPS; k++) sum[o * TAPS + k] = s[o][k];
  }
  float total[M];
  for (int i = 0; i < M; i += W) store(total + i, lane_sums<W, W>(sum + i));
  for (int o = 0; o < OUT; o++)
    for (int k = 0; k < TAPS; k++) {
      float& to = t.to[o * t.to_channel + k * t.to_tap];
      to = t.add ? to + total[o * TAPS + k] : total[o * TAPS + k];
    }
}

using SumProducts = void (*)(const Sums&);

constexpr int most_channels(int taps) {
  return MAX_SUMS / taps < MAX_OUT ? MAX_SUMS / taps : MAX_OUT;
}

template <int OUT, int TAPS, int N>
constexpr SumProducts sum_products_or_none() {
  if constexpr (OUT <= most_channels(TAPS))
    return sum_products<OUT, TAPS, N>;
  else
    return nullptr;
}

template <int TAPS, int... O>
void sum_products(int out, int n, const Sums& t, std::integer_sequence<int, O...>) {
  static const SumProducts one[] = {sum_products_or_none<O + 1, TAPS, 1>()...},
                           two[] = {sum_products_or_none<O + 1, TAPS, 2>()...};
  (n == 1 ? one : two)[out - 1](t);
}

// Do the sums for `out` (at most most_channels(taps)) channels and `taps` (at most MAX_TAPS) taps.
template <int TAPS = MAX_TAPS>
void sum_products(int out, int taps, int n, const Sums& t) {
  if constexpr (TAPS > 0) {
    if (taps == TAPS)
      sum_products<TAPS>(out, n, t, std::make_integer_sequence<int, MAX_OUT>());
    else
      sum_products<TAPS - 1>(out, taps, n, t);
  }
}

}  // namespace
