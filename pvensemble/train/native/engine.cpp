// One training step of a small convolutional network on one thread, in float32.
//
// The batch is the innermost axis: a vector register holds one number of 16 (or 8) images, so that
// any number of channels fills the registers, and nothing is gathered into patches first. Images
// go through in blocks of one or two registers; a block's tensor is [y][x][channel][image], or
// [channel][y][x][image] before a linear layer, which is the order of torch's flatten().
// Weights and gradients are torch's own memory: (out, y, x, in) of a channels-last convolution,
// (out, in) of a linear layer.
//
// The order of all sums is fixed, so that a step gives the same bits wherever it is computed.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

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

// -- the network ----------------------------------------------------------------------------------

// Calls work(begin, size) for tiles of at most `most`, as equal as can be.
template <class Work>
void tiles(long n, long most, Work work) {
  const long number = (n + most - 1) / most;
  for (long i = 0; i < number; i++) {
    const long begin = i * n / number;
    work(begin, static_cast<int>((i + 1) * n / number - begin));
  }
}

// Images that go through together.
struct Block {
  long first;  // image
  int n;       // registers
  long lanes() const { return n * W; }
};

struct Memory {
  float* data = nullptr;
  Memory() = default;
  Memory(const Memory&) = delete;
  ~Memory() { free(data); }
  void take(long n) {
    const size_t bytes = (n * sizeof(float) + 4096) / 4096 * 4096;
    data = static_cast<float*>(aligned_alloc(4096, bytes));
    if (data) memset(data, 0, bytes);
  }
};

// Where the numbers of a tensor lie in a block of `lanes` images.
struct Shape {
  long c = 0, h = 0, w = 0, border = 0;  // columns of zeros left and right
  bool channels_first = false;
  long ring = 0;  // rows that are kept; 0 for all
  // Positions are an odd number of registers apart: a power of two would put all of them in the
  // same few places of the cache.
  long pad() const { return c >= 8 ? W : 0; }
  long of_c(long lanes) const { return channels_first ? h * w * lanes : lanes; }
  long of_x(long lanes) const { return channels_first ? lanes : c * lanes + pad(); }
  long of_y(long lanes) const { return (w + 2 * border) * of_x(lanes); }
  long size(long lanes) const {
    return channels_first ? c * h * w * lanes : (ring ? ring : h) * of_y(lanes);
  }
  long at(long y, long x, long lanes) const {
    return (ring ? y % ring : y) * of_y(lanes) + (x + border) * of_x(lanes);
  }
  // A position's register j is that of channel j / n and register j % n of the block.
  long of_register(long j, const Block& b) const {
    const long last = b.n - 1;  // n is 1 or 2
    return (j >> last) * of_c(b.lanes()) + (j & last) * W;
  }
  long before(const Block& b) const { return b.first / (2 * W) * size(2 * W); }
  long in_all(const Block& last) const { return before(last) + size(last.lanes()); }
};

enum Kind { CONVOLUTION, MAX_POOL, AVERAGE_POOL, LINEAR };

struct Layer {
  Kind kind;
  long kernel[2], stride[2], padding[2];  // y, x
  bool relu, bias;
  Shape in, out;
  Memory value, gradient;  // of the outputs
  Memory places;           // of the maxima in their windows: four registers' bytes in one
  const float *weights = nullptr, *biases = nullptr;
  float *weight_gradient = nullptr, *bias_gradient = nullptr;

  long registers_of_places(int n) const { return (out.c * n + 3) / 4; }
  I* places_of(long y, long x, const Block& b) const {
    const long before = b.first / (2 * W) * out.h * out.w * registers_of_places(2);
    const long at = before + (y * out.w + x) * registers_of_places(b.n);
    return reinterpret_cast<I*>(places.data) + at;
  }
};

struct Range {
  long begin, end;
  bool operator!=(const Range& other) const { return begin != other.begin || end != other.end; }
};

// Taps of a kernel that meet the image when the kernel's first tap is at `start`.
Range taps(long start, long kernel, long size) {
  return {start < 0 ? -start : 0, start + kernel > size ? size - start : kernel};
}

// Windows of a pooling that cover the position `at`.
Range windows(long at, long kernel, long stride, long n) {
  return {at < kernel ? 0 : (at - kernel) / stride + 1, std::min(n, at / stride + 1)};
}

class Network {
 public:
  Network(const long* numbers, long n_layers, long batch);
  bool complete() const;
  void step(const float* images, const int64_t* labels, const int64_t* indices,
            const float* const* parameters, float* const* gradients, double* result);

 private:
  long batch_;
  Shape image_;
  Memory pixels_, dense_, packed_, rows_, columns_;
  std::vector<Block> blocks_;
  std::vector<Layer> layers_;
  size_t first_linear_ = 0;

  bool pooled(size_t i) const {
    return i + 1 < layers_.size() && layers_[i].kind == CONVOLUTION &&
           layers_[i + 1].kind == MAX_POOL;
  }
  const float* input(size_t i, const Block& b) const {
    return (i ? layers_[i - 1].value.data : pixels_.data) + layers_[i].in.before(b);
  }
  float* input_gradient(size_t i, const Block& b) {
    return i ? layers_[i - 1].gradient.data + layers_[i].in.before(b) : nullptr;
  }
  void gather(const float* images, const int64_t* indices, const Block& b);
  void convolution_row(const Layer& l, const float* in, float* out, long y, const Block& b) const;
  void max_pool_row(Layer& l, const float* in, long y, const Block& b);
  void average_pool(const Layer& l, const float* in, float* out, const Block& b) const;
  void linear(size_t i);
  void forward(size_t i, const Block& b);
  void loss(const int64_t* labels, const int64_t* indices, double* result);
  void backward(size_t i, const Block& b);
  void max_pool_backward(const Layer& l, float* to, const Shape& shape, Range rows,
                         const Block& b) const;
  void average_pool_backward(const Layer& l, float* to, const Block& b) const;
  void convolution_weights(const Layer& l, const float* in, const float* d, const Shape& out,
                           Range rows, const Block& b, bool add);
  void pack(const Layer& l);
  void convolution_inputs(const Layer& l, const float* d, const Shape& out, float* to,
                          const Block& b) const;
  void convolution_backward(size_t i, const Block& b);
  void linear_backward(size_t i);
};

Network::Network(const long* numbers, long n_layers, long batch)
    : batch_(batch), layers_(n_layers) {
  const long n_registers = (batch + W - 1) / W;
  for (long i = 0; i < n_registers; i += 2)
    blocks_.push_back({i * W, i + 1 < n_registers ? 2 : 1});
  image_ = {numbers[0], numbers[1], numbers[2]};
  numbers += 3;
  for (Layer& l : layers_) {
    l.kind = static_cast<Kind>(*numbers++);
    l.out = {numbers[0], numbers[1], numbers[2]};
    numbers += 3;
    for (long* place : {l.kernel, l.stride, l.padding}) {
      place[0] = *numbers++;
      place[1] = *numbers++;
    }
    l.relu = *numbers++;
    l.bias = *numbers++;
  }
  long dense = 0, packed = 0, rows = 0, columns = 0;
  for (size_t i = 0; i < layers_.size(); i++) {
    Layer& l = layers_[i];
    Shape& in = i ? layers_[i - 1].out : image_;
    if (l.kind == LINEAR) in.channels_first = l.out.channels_first = true;
    if (l.kind != LINEAR) first_linear_ = i + 1;
    if (l.kind == CONVOLUTION) in.border = l.padding[1];
    if (l.kind == MAX_POOL && i && pooled(i - 1)) in.ring = l.kernel[0];
    l.in = in;
  }
  for (size_t i = 0; i < layers_.size(); i++) {
    Layer& l = layers_[i];
    if (i + 1 < layers_.size()) l.out = layers_[i + 1].in;
    l.value.take(pooled(i) ? l.out.size(2 * W) : l.out.in_all(blocks_.back()));
    if (!pooled(i)) l.gradient.take(l.out.in_all(blocks_.back()));
    if (l.kind == MAX_POOL)
      l.places.take(blocks_.size() * l.out.h * l.out.w * l.registers_of_places(2) * W);
    if (l.kind == CONVOLUTION) {
      packed = std::max(packed, l.kernel[0] * l.kernel[1] * l.in.c * l.out.c);
      Shape whole = l.out;
      whole.ring = 0;
      if (pooled(i)) dense = std::max(dense, whole.size(2 * W));
    }
    if (l.kind == LINEAR) {
      columns = std::max(columns, batch_ * (l.in.size(1) + 2 * W));
      rows = std::max(rows, l.out.c * batch_);
    }
  }
  pixels_.take(image_.in_all(blocks_.back()));
  dense_.take(dense);
  packed_.take(packed);
  rows_.take(rows);
  columns_.take(columns);
}

bool Network::complete() const {
  for (const Layer& l : layers_)
    if (!l.value.data || (!l.gradient.data && l.out.ring == 0)) return false;
  return pixels_.data && dense_.data && packed_.data && rows_.data && columns_.data;
}

// Put the images (y, x, channel) of a block side by side; lanes behind the last image stay 0.
void Network::gather(const float* images, const int64_t* indices, const Block& b) {
  const long size = image_.c * image_.h * image_.w, lanes = b.lanes(), c_step = image_.of_c(lanes);
  float* to = pixels_.data + image_.before(b);
  for (long lane = 0; lane < lanes && b.first + lane < batch_; lane++) {
    const float* from = images + indices[b.first + lane] * size;
    for (long y = 0; y < image_.h; y++)
      for (long x = 0; x < image_.w; x++) {
        float* pixel = to + image_.at(y, x, lanes) + lane;
        for (long c = 0; c < image_.c; c++) pixel[c * c_step] = *from++;
      }
  }
}

// -- forward --------------------------------------------------------------------------------------

void Network::convolution_row(const Layer& l, const float* in, float* out, long y,
                              const Block& b) const {
  const long lanes = b.lanes(), c = l.in.c, n_terms = l.kernel[0] * l.kernel[1] * c;
  const Range ky = taps(y - l.padding[0], l.kernel[0], l.in.h);
  tiles(l.out.c, MAX_ROWS, [&](long o, int n_rows) {
    for (long x = 0, next; x < l.out.w; x = next) {
      const Range kx = taps(x - l.padding[1], l.kernel[1], l.in.w);
      for (next = x + 1; next < l.out.w; next++)
        if (taps(next - l.padding[1], l.kernel[1], l.in.w) != kx) break;
      Product t;
      t.count = next - x;
      t.lines = ky.end - ky.begin;
      t.runs = kx.end - kx.begin;
      t.terms = c;
      t.a = l.weights + o * n_terms + (ky.begin * l.kernel[1] + kx.begin) * c;
      t.a_row = n_terms;
      t.a_term = 1;
      t.a_run = c;
      t.a_line = l.kernel[1] * c;
      t.b = in + l.in.at(y - l.padding[0] + ky.begin, x - l.padding[1] + kx.begin, lanes);
      t.b_term = lanes;
      t.b_run = t.b_position = l.in.of_x(lanes);
      t.b_line = l.in.of_y(lanes);
      if (!l.in.pad()) t.terms *= t.runs, t.runs = 1;
      t.c = out + l.out.at(y, x, lanes) + o * lanes;
      t.c_row = lanes;
      t.c_position = l.out.of_x(lanes);
      t.bias = l.biases ? l.biases + o : nullptr;
      t.relu = l.relu;
      multiply(n_rows, b.n, t);
    }
  });
}

void Network::max_pool_row(Layer& l, const float* in, long y, const Block& b) {
  const long lanes = b.lanes(), n = l.out.c * b.n, y0 = y * l.stride[0];
  const long height = std::min(l.kernel[0], l.in.h - y0);
  for (long x = 0; x < l.out.w; x++) {
    const long x0 = x * l.stride[1], width = std::min(l.kernel[1], l.in.w - x0);
    float* out = l.value.data + l.out.before(b) + l.out.at(y, x, lanes);
    I* places = l.places_of(y, x, b);
    for (long j = 0; j < n; j += 4) {
      const int m = std::min(4L, n - j);
      V most[4] = {};
      I place[4] = {};
      const float* first = in + l.in.at(y0, x0, lanes) + j * W;
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++)
        if (k < m) most[k] = load(first + k * W);
      for (int ky = 0; ky < height; ky++)
        for (int kx = ky ? 0 : 1; kx < width; kx++) {
          const float* from = in + l.in.at(y0 + ky, x0 + kx, lanes) + j * W;
          const int here = static_cast<int>(ky * l.kernel[1] + kx);
#pragma GCC unroll 4
          for (int k = 0; k < 4; k++) {
            if (k >= m) break;
            const V other = load(from + k * W);
            const I better = (other > most[k]) | (other != other);
            most[k] = better ? other : most[k];
            place[k] = better ? I{} + here : place[k];
          }
        }
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        if (k >= m) break;
        store(out + l.out.of_register(j + k, b), l.relu ? rectified(most[k]) : most[k]);
      }
      places[j / 4] = place[0] | place[1] << 8 | place[2] << 16 | place[3] << 24;
    }
  }
}

void Network::average_pool(const Layer& l, const float* in, float* out, const Block& b) const {
  const long lanes = b.lanes();
  for (long y = 0; y < l.out.h; y++)
    for (long x = 0; x < l.out.w; x++) {
      const long y0 = y * l.stride[0], height = std::min(l.kernel[0], l.in.h - y0);
      const long x0 = x * l.stride[1], width = std::min(l.kernel[1], l.in.w - x0);
      const float share = 1.0f / static_cast<float>(height * width);
      for (long c = 0; c < l.out.c; c++)
        for (int v = 0; v < b.n; v++) {
          V sum = {};
          for (long ky = 0; ky < height; ky++)
            for (long kx = 0; kx < width; kx++)
              sum += load(in + l.in.at(y0 + ky, x0 + kx, lanes) + c * l.in.of_c(lanes) + v * W);
          sum *= share;
          store(out + l.out.at(y, x, lanes) + c * l.out.of_c(lanes) + v * W,
                l.relu ? rectified(sum) : sum);
        }
    }
}

constexpr long PART = 128;  // terms of a linear layer whose numbers stay in the first cache

void Network::linear(size_t i) {
  Layer& l = layers_[i];
  const long n_in = l.in.size(1), n_out = l.out.c;
  for (long begin = 0; begin < n_in; begin += PART)
    tiles(n_out, MAX_ROWS, [&](long o, int n_rows) {
      for (const Block& b : blocks_) {
        Product t;
        t.terms = std::min(PART, n_in - begin);
        t.a = l.weights + o * n_in + begin;
        t.a_row = n_in;
        t.a_term = 1;
        t.b = input(i, b) + begin * b.lanes();
        t.b_term = b.lanes();
        t.c = l.value.data + l.out.before(b) + o * b.lanes();
        t.c_row = b.lanes();
        t.bias = l.biases && !begin ? l.biases + o : nullptr;
        t.add = begin;
        t.relu = l.relu && begin + PART >= n_in;
        multiply(n_rows, b.n, t);
      }
    });
}

void Network::forward(size_t i, const Block& b) {
  Layer& l = layers_[i];
  const float* in = input(i, b);
  float* out = l.value.data + (pooled(i) ? 0 : l.out.before(b));
  if (l.kind == AVERAGE_POOL) {
    average_pool(l, in, out, b);
  } else if (l.kind == MAX_POOL) {
    for (long y = 0; y < l.out.h && !(i && pooled(i - 1)); y++) max_pool_row(l, in, y, b);
  } else {
    long done = 0;
    for (long y = 0; y < l.out.h; y++) {
      convolution_row(l, in, out, y, b);
      if (!pooled(i)) continue;
      // A few rows of the convolution at a time, pooled while they are in the cache.
      Layer& pool = layers_[i + 1];
      for (; done < pool.out.h; done++) {
        if (y + 1 < std::min(done * pool.stride[0] + pool.kernel[0], l.out.h)) break;
        max_pool_row(pool, out, done, b);
      }
    }
  }
}

// Mean cross entropy and share of right answers; the gradient of the logits.
void Network::loss(const int64_t* labels, const int64_t* indices, double* result) {
  Layer& last = layers_.back();
  const long n = last.out.c;
  double sum = 0;
  long right = 0;
  for (const Block& b : blocks_)
    for (long lane = 0; lane < b.lanes() && b.first + lane < batch_; lane++) {
      const float* logits = last.value.data + last.out.before(b) + lane;
      float* gradient = last.gradient.data + last.out.before(b) + lane;
      const long label = labels[indices[b.first + lane]];
      long best = 0;
      for (long k = 1; k < n; k++)
        if (logits[k * b.lanes()] > logits[best * b.lanes()]) best = k;
      const double most = logits[best * b.lanes()];
      double total = 0;
      for (long k = 0; k < n; k++) total += std::exp(logits[k * b.lanes()] - most);
      sum += std::log(total) + most - logits[label * b.lanes()];
      right += best == label;
      for (long k = 0; k < n; k++) {
        const double share = std::exp(logits[k * b.lanes()] - most) / total;
        gradient[k * b.lanes()] = static_cast<float>((share - (k == label)) / batch_);
      }
    }
  result[0] = sum / batch_;
  result[1] = static_cast<double>(right) / batch_;
}

// -- backward -------------------------------------------------------------------------------------

// Where a rectifier gave 0, no gradient goes back.
void rectify(const float* value, float* gradient, long n) {
  for (long i = 0; i < n; i += W)
    store(gradient + i, load(value + i) > 0.0f ? load(gradient + i) : V{});
}

// Sum over positions and images: the gradient of the biases.
void sum_channels(const float* d, const Shape& shape, const Block& b, float* to, bool add) {
  const long lanes = b.lanes();
  for (long c = 0; c < shape.c; c++) {
    V sum[2] = {};
    for (long y = 0; y < shape.h; y++)
      for (long x = 0; x < shape.w; x++) {
        const float* from = d + shape.at(y, x, lanes) + c * shape.of_c(lanes);
        for (int v = 0; v < b.n; v++) sum[v] += load(from + v * W);
      }
    float total = 0;
    for (int lane = 0; lane < W; lane++) total += sum[0][lane] + sum[1][lane];
    to[c] = add ? to[c] + total : total;
  }
}

// Write rows of the gradient of what was pooled.
void Network::max_pool_backward(const Layer& l, float* to, const Shape& shape, Range rows,
                                const Block& b) const {
  const long lanes = b.lanes(), n = shape.c * b.n;
  for (long y = rows.begin; y < rows.end; y++)
    for (long x = 0; x < shape.w; x++) {
      float* pixel = to + shape.at(y, x, lanes);
      const Range py = windows(y, l.kernel[0], l.stride[0], l.out.h);
      const Range px = windows(x, l.kernel[1], l.stride[1], l.out.w);
      bool add = false;
      for (long wy = py.begin; wy < py.end; wy++)
        for (long wx = px.begin; wx < px.end; wx++) {
          const float* d = l.gradient.data + l.out.before(b) + l.out.at(wy, wx, lanes);
          const I* places = l.places_of(wy, wx, b);
          const int here = (y - wy * l.stride[0]) * l.kernel[1] + x - wx * l.stride[1];
          for (long j = 0; j < n; j += 4) {
            const I place = places[j / 4];
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
              if (j + k >= n) break;
              const V from = load(d + l.out.of_register(j + k, b));
              const V part = (place >> 8 * k & 127) == here ? from : V{};
              float* to_register = pixel + (j + k) * W;
              store(to_register, add ? load(to_register) + part : part);
            }
          }
          add = true;
        }
      if (!add) memset(pixel, 0, n * W * sizeof(float));
    }
}

void Network::average_pool_backward(const Layer& l, float* to, const Block& b) const {
  const long lanes = b.lanes();
  const float* d = l.gradient.data + l.out.before(b);
  memset(to, 0, l.in.size(lanes) * sizeof(float));
  for (long y = 0; y < l.out.h; y++)
    for (long x = 0; x < l.out.w; x++) {
      const long y0 = y * l.stride[0], height = std::min(l.kernel[0], l.in.h - y0);
      const long x0 = x * l.stride[1], width = std::min(l.kernel[1], l.in.w - x0);
      const float share = 1.0f / static_cast<float>(height * width);
      for (long c = 0; c < l.out.c; c++)
        for (int v = 0; v < b.n; v++) {
          const V part = load(d + l.out.at(y, x, lanes) + c * l.out.of_c(lanes) + v * W) * share;
          for (long ky = 0; ky < height; ky++)
            for (long kx = 0; kx < width; kx++) {
              float* p = to + l.in.at(y0 + ky, x0 + kx, lanes) + c * l.in.of_c(lanes) + v * W;
              store(p, load(p) + part);
            }
        }
    }
}

// Add what some rows of the outputs give to the gradient of the weights.
void Network::convolution_weights(const Layer& l, const float* in, const float* d,
                                  const Shape& out, Range rows, const Block& b, bool add) {
  const long lanes = b.lanes(), n_terms = l.kernel[0] * l.kernel[1] * l.in.c;
  // A tile's taps are neighbours in x, or channels where the kernel has one column only.
  const bool along_x = l.kernel[1] > 1;
  const long n_taps = along_x ? l.kernel[1] : l.in.c, of_tap = along_x ? l.in.c : 1;
  for (long ky = 0; ky < l.kernel[0]; ky++) {
    const long begin = std::max(rows.begin, l.padding[0] - ky);
    const long end = std::min(rows.end, l.in.h + l.padding[0] - ky);
    if (begin >= end && add) continue;
    for (long c = 0; c < (along_x ? l.in.c : 1); c++)
      tiles(n_taps, MAX_TAPS, [&](long tap, int size) {
        tiles(out.c, most_channels(size), [&](long o, int n_out) {
          Sums t;
          t.rows = std::max(0L, end - begin);
          t.count = out.w;
          t.d = d + out.at(begin, 0, lanes) + o * lanes;
          t.d_row = out.of_y(lanes);
          t.d_position = out.of_x(lanes);
          t.x_row = l.in.of_y(lanes);
          t.x_position = l.in.of_x(lanes);
          t.x_tap = along_x ? t.x_position : lanes;
          t.x = in + l.in.at(begin + ky - l.padding[0], -l.padding[1], lanes) + c * lanes +
                tap * t.x_tap;
          t.to = l.weight_gradient + o * n_terms + ky * l.kernel[1] * l.in.c + c + tap * of_tap;
          t.to_channel = n_terms;
          t.to_tap = of_tap;
          t.add = add;
          sum_products(n_out, size, b.n, t);
        });
      });
  }
}

// Weights in the order in which the gradient of the inputs needs them: tile of input channels,
// ky, kx backwards, output channel, input channel of the tile.
void Network::pack(const Layer& l) {
  float* to = packed_.data;
  const long n_terms = l.kernel[0] * l.kernel[1] * l.in.c;
  tiles(l.in.c, MAX_ROWS, [&](long c, int n_rows) {
    for (long ky = 0; ky < l.kernel[0]; ky++)
      for (long kx = l.kernel[1] - 1; kx >= 0; kx--)
        for (long o = 0; o < l.out.c; o++) {
          const float* from = l.weights + o * n_terms + (ky * l.kernel[1] + kx) * l.in.c + c;
          for (int r = 0; r < n_rows; r++) *to++ = from[r];
        }
  });
}

void Network::convolution_inputs(const Layer& l, const float* d, const Shape& out, float* to,
                                 const Block& b) const {
  const long lanes = b.lanes(), n_taps = l.kernel[0] * l.kernel[1];
  tiles(l.in.c, MAX_ROWS, [&](long c, int n_rows) {
    for (long y = 0; y < l.in.h; y++) {
      // Tap k of the kernel, counted backwards, meets the output at start + k.
      const long y0 = y + l.padding[0] - l.kernel[0] + 1;
      const Range ky = taps(y0, l.kernel[0], out.h);
      for (long x = 0, next; x < l.in.w; x = next) {
        const long x0 = x + l.padding[1] - l.kernel[1] + 1;
        const Range kx = taps(x0, l.kernel[1], out.w);
        for (next = x + 1; next < l.in.w; next++)
          if (taps(x0 + next - x, l.kernel[1], out.w) != kx) break;
        Product t;
        t.count = next - x;
        t.lines = ky.end - ky.begin;
        t.runs = kx.end - kx.begin;
        t.terms = out.c;
        // Lines go up in ky, and so down in the rows of the outputs.
        const long tap = (l.kernel[0] - ky.end) * l.kernel[1] + kx.begin;
        t.a = packed_.data + c * n_taps * out.c + tap * out.c * n_rows;
        t.a_row = 1;
        t.a_term = n_rows;
        t.a_run = out.c * n_rows;
        t.a_line = l.kernel[1] * t.a_run;
        t.b = d + out.at(y0 + ky.end - 1, x0 + kx.begin, lanes);
        t.b_term = lanes;
        t.b_run = t.b_position = out.of_x(lanes);
        t.b_line = -out.of_y(lanes);
        t.c = to + l.in.at(y, x, lanes) + c * lanes;
        t.c_row = lanes;
        t.c_position = l.in.of_x(lanes);
        multiply(n_rows, b.n, t);
      }
    }
  });
}

constexpr long ENOUGH = 256;  // registers in a sum over images and positions, at least

void Network::convolution_backward(size_t i, const Block& b) {
  Layer& l = layers_[i];
  Shape out = l.out;
  out.ring = 0;
  const bool add = b.first > 0;
  float* d = pooled(i) ? dense_.data : l.gradient.data + l.out.before(b);
  if (l.bias_gradient && pooled(i)) {  // each pooled gradient goes to one place
    const Layer& pool = layers_[i + 1];
    sum_channels(pool.gradient.data + pool.out.before(b), pool.out, b, l.bias_gradient, add);
  } else if (l.bias_gradient) {
    sum_channels(d, out, b, l.bias_gradient, add);
  }
  // A part of the rows at a time stays in the cache.
  const long step = (ENOUGH + out.w * b.n - 1) / (out.w * b.n);
  const long n_parts = std::max(1L, out.h / step);
  for (long part = 0; part < n_parts; part++) {
    const Range rows = {part * out.h / n_parts, (part + 1) * out.h / n_parts};
    float* from = d;
    // Nothing else needs the first layer's gradient: its parts share one place.
    if (pooled(i) && !i) from = d - out.at(rows.begin, 0, b.lanes());
    if (pooled(i)) max_pool_backward(layers_[i + 1], from, out, rows, b);
    convolution_weights(l, input(i, b), from, out, rows, b, add || part > 0);
  }
  if (!i) return;
  pack(l);
  convolution_inputs(l, d, out, input_gradient(i, b), b);
}

void Network::linear_backward(size_t i) {
  Layer& l = layers_[i];
  const long n_in = l.in.size(1), n_out = l.out.c, width = n_in + 2 * W;
  // Inputs by image, and gradients of the outputs by output, over all blocks.
  for (const Block& b : blocks_) {
    const float *in = input(i, b), *d = l.gradient.data + l.out.before(b);
    const long n = std::min(b.lanes(), batch_ - b.first);
    for (long k = 0; k < n_in; k++)
      for (long lane = 0; lane < n; lane++)
        columns_.data[(b.first + lane) * width + k] = in[k * b.lanes() + lane];
    for (long o = 0; o < n_out; o++)
      memcpy(rows_.data + o * batch_ + b.first, d + o * b.lanes(), n * sizeof(float));
  }
  if (l.bias_gradient)
    for (long o = 0; o < n_out; o++) {
      double sum = 0;
      for (long k = 0; k < batch_; k++) sum += rows_.data[o * batch_ + k];
      l.bias_gradient[o] = static_cast<float>(sum);
    }
  tiles(n_out, MAX_ROWS, [&](long o, int n_rows) {
    for (long k = 0; k < n_in; k += 2 * W) {
      float rest[MAX_ROWS * 2 * W];
      const bool whole = k + 2 * W <= n_in;
      Product t;
      t.terms = batch_;
      t.a = rows_.data + o * batch_;
      t.a_row = batch_;
      t.a_term = 1;
      t.b = columns_.data + k;
      t.b_term = width;
      t.c = whole ? l.weight_gradient + o * n_in + k : rest;
      t.c_row = whole ? n_in : 2 * W;
      multiply(n_rows, 2, t);
      if (!whole)
        for (int r = 0; r < n_rows; r++)
          memcpy(l.weight_gradient + (o + r) * n_in + k, rest + r * 2 * W,
                 (n_in - k) * sizeof(float));
    }
  });
  if (!i) return;
  for (long begin = 0; begin < n_out; begin += PART)
    tiles(n_in, MAX_ROWS, [&](long k, int n_rows) {
      for (const Block& b : blocks_) {
        Product t;
        t.terms = std::min(PART, n_out - begin);
        t.a = l.weights + begin * n_in + k;
        t.a_row = 1;
        t.a_term = n_in;
        t.b = l.gradient.data + l.out.before(b) + begin * b.lanes();
        t.b_term = b.lanes();
        t.c = input_gradient(i, b) + k * b.lanes();
        t.c_row = b.lanes();
        t.add = begin;
        multiply(n_rows, b.n, t);
      }
    });
}

void Network::backward(size_t i, const Block& b) {
  Layer& l = layers_[i];
  const long first = l.out.before(b);
  if (l.relu && !pooled(i))
    rectify(l.value.data + first, l.gradient.data + first, l.out.size(b.lanes()));
  if (l.kind == CONVOLUTION) convolution_backward(i, b);
  if (l.kind == AVERAGE_POOL && i) average_pool_backward(l, input_gradient(i, b), b);
  if (l.kind == MAX_POOL && i && !pooled(i - 1))
    max_pool_backward(l, input_gradient(i, b), l.in, {0, l.in.h}, b);
}

void Network::step(const float* images, const int64_t* labels, const int64_t* indices,
                   const float* const* parameters, float* const* gradients, double* result) {
  for (Layer& l : layers_) {
    if (l.kind != CONVOLUTION && l.kind != LINEAR) continue;
    l.weights = *parameters++;
    l.weight_gradient = *gradients++;
    l.biases = l.bias ? *parameters++ : nullptr;
    l.bias_gradient = l.bias ? *gradients++ : nullptr;
  }
  // A block goes through all layers of images while it is in the cache, then all blocks at once
  // through the linear layers, whose weights are larger.
  for (const Block& b : blocks_) {
    gather(images, indices, b);
    for (size_t i = 0; i < first_linear_; i++) forward(i, b);
  }
  for (size_t i = first_linear_; i < layers_.size(); i++) linear(i);
  loss(labels, indices, result);
  for (size_t i = layers_.size(); i-- > first_linear_;) {
    Layer& l = layers_[i];
    if (l.relu) rectify(l.value.data, l.gradient.data, l.out.in_all(blocks_.back()));
    linear_backward(i);
  }
  for (const Block& b : blocks_)
    for (size_t i = first_linear_; i-- > 0;) backward(i, b);
}

}  // namespace

extern "C" {

long pvensemble_native_version() { return 1; }

// `numbers`: channels, height and width of an image; then of each layer its kind, channels, height
// and width of its output, kernel, stride and padding (y, x each), whether a rectifier follows and
// whether it has biases. Returns null where there is not enough memory.
void* pvensemble_native_new(const long* numbers, long n_layers, long batch) {
  Network* network = new (std::nothrow) Network(numbers, n_layers, batch);
  if (network && !network->complete()) {
    delete network;
    return nullptr;
  }
  return network;
}

void pvensemble_native_delete(void* network) { delete static_cast<Network*>(network); }

// Images (y, x, channel) and labels of the whole split; the batch is `indices`. Parameters and
// gradients: weight and (where there is one) bias of each layer. `result`: loss, accuracy.
void pvensemble_native_step(void* network, const float* images, const int64_t* labels,
                            const int64_t* indices, const float* const* parameters,
                            float* const* gradients, double* result) {
  static_cast<Network*>(network)->step(images, labels, indices, parameters, gradients, result);
}
}
