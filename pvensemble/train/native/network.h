// The layers of a network, and where their numbers lie in memory.

#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "products.h"

namespace {

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

struct Probe;

struct Layer {
  Kind kind;
  long kernel[2], stride[2], padding[2];  // y, x
  bool relu, bias;
  Shape in, out;
  Memory value, gradient;  // of the outputs
  Memory places;           // of the maxima in their windows: four registers' bytes in one
  const float *weights = nullptr, *biases = nullptr;
  float *weight_gradient = nullptr, *bias_gradient = nullptr;
  Probe* probe = nullptr;  // what looks at the outputs of a convolution

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
  bool evaluate(const float* images, const int64_t* labels, const int64_t* indices, long n,
                const float* const* parameters, std::vector<Probe>& probes, double* result);

 private:
  long batch_;
  long start_ = 0;        // place of the batch among the images that are evaluated
  bool training_ = true;  // whether a pass forward is followed by one back
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
  void gather(const float* images, const int64_t* indices, long n, const Block& b);
  void convolution_row(const Layer& l, bool relu, const float* in, float* out, long y,
                       const Block& b) const;
  template <bool PLACES>
  void max_pool_row(Layer& l, const float* in, long y, const Block& b);
  void max_pool_row(Layer& l, const float* in, long y, const Block& b) {
    training_ ? max_pool_row<true>(l, in, y, b) : max_pool_row<false>(l, in, y, b);
  }
  void average_pool(const Layer& l, const float* in, float* out, const Block& b) const;
  void linear(size_t i);
  void forward(size_t i, const Block& b);
  void loss(const int64_t* labels, const int64_t* indices, long n, double* sums);
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

// Put the images (y, x, channel) of a block side by side; lanes behind the last of n images stay
// what they are.
void Network::gather(const float* images, const int64_t* indices, long n, const Block& b) {
  const long size = image_.c * image_.h * image_.w, lanes = b.lanes(), c_step = image_.of_c(lanes);
  float* to = pixels_.data + image_.before(b);
  for (long lane = 0; lane < lanes && b.first + lane < n; lane++) {
    const float* from = images + indices[b.first + lane] * size;
    for (long y = 0; y < image_.h; y++)
      for (long x = 0; x < image_.w; x++) {
        float* pixel = to + image_.at(y, x, lanes) + lane;
        for (long c = 0; c < image_.c; c++) pixel[c * c_step] = *from++;
      }
  }
}

}  // namespace
