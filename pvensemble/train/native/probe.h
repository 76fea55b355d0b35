// What the outputs of a convolution for the first images show: sums of their products for
// correlations, Gram matrices of minibatches of images, and the outputs themselves.

#pragma once

#include <cmath>

#include "network.h"

namespace {

constexpr long MINIBATCH = 32;  // images in a Gram matrix at most; whole blocks

// Sums are over outputs less `shift`, the filter's mean over the first block: in float32 over a
// block (or over a row of it), in float64 over blocks.
struct Probe {
  long layer = 0, n_images = 0, n_activations = 0;
  long batch = 0, n_batches = 0;                   // of Gram matrices
  double *shift = nullptr, *sums = nullptr;        // (filters)
  double* products = nullptr;                      // (filters, filters), in the end correlations
  double* grams = nullptr;                         // (n_batches, batch, batch), in the end of norm 1
  float* activations = nullptr;                    // (filters, n_activations, h, w)

  bool begin(const Shape& outputs);
  void take(const float* row, long y, const Block& b, long first);
  void finish(const Block& b, long first);
  void end();

 private:
  Shape shape_;
  Memory outputs_;  // blocks of a minibatch, each [y][x][filter][image]
  Memory totals_;   // a block's sums, [filter][image]

  bool sums_needed() const { return products || grams; }
  float* block_of(long image) {
    return outputs_.data + (grams ? image % MINIBATCH : 0) * shape_.c * shape_.h * shape_.w;
  }
  void subtract(float* data, const Block& b, long n);
  void add_products(const float* data, const Block& b);
  void add_gram(long number);
  void correlate();
  double centre(double* gram) const;
};

bool Probe::begin(const Shape& outputs) {
  shape_ = outputs;
  if (!sums_needed()) return true;
  outputs_.take(shape_.c * shape_.h * shape_.w * (grams ? MINIBATCH : 2 * W));
  totals_.take(shape_.c * 2 * W);
  return outputs_.data && totals_.data;
}

// Take row y of the outputs for a block of images, the first of which is number `first`.
void Probe::take(const float* row, long y, const Block& b, long first) {
  const long lanes = b.lanes(), width = shape_.c * lanes;
  if (sums_needed())
    for (long x = 0; x < shape_.w; x++)
      memcpy(block_of(first) + (y * shape_.w + x) * width, row + x * shape_.of_x(lanes),
             width * sizeof(float));
  for (long image = first; image < std::min(first + lanes, n_activations); image++)
    for (long o = 0; o < shape_.c; o++) {
      float* to = activations + ((o * n_activations + image) * shape_.h + y) * shape_.w;
      for (long x = 0; x < shape_.w; x++) {
        const float value = row[x * shape_.of_x(lanes) + o * lanes + image - first];
        to[x] = std::isfinite(value) ? value : 0.0f;
      }
    }
}

// Add up a block all of whose rows were taken.
void Probe::finish(const Block& b, long first) {
  if (!sums_needed()) return;
  const long lanes = b.lanes(), n = std::min(lanes, n_images - first);
  float* data = block_of(first);
  if (!first) {
    subtract(data, b, n);  // the shift is 0 yet
    for (long o = 0; o < shape_.c; o++) {
      shift[o] = static_cast<float>(sums[o] / (shape_.h * shape_.w * n));
      sums[o] = 0;
    }
  }
  subtract(data, b, n);
  if (products) add_products(data, b);
  const long number = first / MINIBATCH, left = batch - first % MINIBATCH;
  if (number < n_batches && left > 0 && left <= lanes) add_gram(number);
}

// Subtract the shift from the first n images of a block and add up what is left; others become 0.
void Probe::subtract(float* data, const Block& b, long n) {
  I there[2];
  for (int lane = 0; lane < 2 * W; lane++) there[lane / W][lane % W] = lane < n ? -1 : 0;
  const long lanes = b.lanes(), n_positions = shape_.h * shape_.w;
  memset(totals_.data, 0, shape_.c * lanes * sizeof(float));
  for (long at = 0; at < n_positions; at++)
    for (long o = 0; o < shape_.c; o++) {
      const V mean = all(static_cast<float>(shift[o]));
      for (int v = 0; v < b.n; v++, data += W) {
        const V value = there[v] ? load(data) - mean : V{};
        float* total = totals_.data + o * lanes + v * W;
        store(data, value);
        store(total, load(total) + value);
      }
    }
  for (long o = 0; o < shape_.c; o++)
    for (long lane = 0; lane < lanes; lane++) sums[o] += totals_.data[o * lanes + lane];
}

void Probe::add_products(const float* data, const Block& b) {
  const long lanes = b.lanes(), width = shape_.c * lanes;
  tiles(shape_.c, MAX_TAPS, [&](long k, int n_k) {
    tiles(k + n_k, most_channels(MAX_TAPS), [&](long o, int n_o) {
      float part[MAX_OUT * MAX_TAPS];
      Sums t;
      t.rows = 1;
      t.count = shape_.h * shape_.w;
      t.d = data + o * lanes;
      t.x = data + k * lanes;
      t.d_position = t.x_position = width;
      t.x_tap = lanes;
      t.to = part;
      t.to_channel = n_k;
      t.to_tap = 1;
      sum_products(n_o, n_k, b.n, t);
      for (int i = 0; i < n_o; i++)
        for (int j = 0; j < n_k; j++) products[(o + i) * shape_.c + k + j] += part[i * n_k + j];
    });
  });
}

// Products of all pairs of images of a minibatch, summed in float32 over a row of positions.
void Probe::add_gram(long number) {
  constexpr long lanes = 2 * W;
  const long row = shape_.w * shape_.c * lanes, size = shape_.h * row;
  double* to = grams + number * batch * batch;
  for (long i = 0; i < batch; i += lanes)
    for (long j = 0; j < batch; j += lanes)
      tiles(std::min(lanes, batch - i), MAX_ROWS, [&](long r, int n_rows) {
        for (long y = 0; y < shape_.h; y++) {
          float part[MAX_ROWS * lanes];
          Product t;
          t.terms = shape_.w * shape_.c;
          t.a = outputs_.data + i / lanes * size + y * row + r;
          t.a_row = 1;
          t.a_term = t.b_term = t.c_row = lanes;
          t.b = outputs_.data + j / lanes * size + y * row;
          t.c = part;
          multiply(n_rows, 2, t);
          for (int k = 0; k < n_rows; k++)
            for (long m = 0; m < std::min(lanes, batch - j); m++)
              to[(i + r + k) * batch + j + m] += part[k * lanes + m];
        }
      });
}

// What CorrelationSums.result() does, which explains the bound of the variance of dead filters.
void Probe::correlate() {
  const long n = shape_.c;
  const double count = static_cast<double>(n_images * shape_.h * shape_.w);
  std::vector<double> scale(n), mean(n);
  for (long o = 0; o < n; o++) {
    const double square = products[o * n + o] / count;
    mean[o] = sums[o] / count;
    const double variance = square - mean[o] * mean[o];
    const double floor = 1e-12 * square + 1e-13 * shift[o] * shift[o];
    scale[o] = std::isfinite(variance) && variance > floor ? 1 / std::sqrt(variance) : 0;
  }
  for (long o = 0; o < n; o++)
    for (long k = o; k < n; k++) {
      double r = (products[o * n + k] / count - mean[o] * mean[k]) * scale[o] * scale[k];
      r = std::isfinite(r) ? std::min(1.0, std::max(-1.0, r)) : 0.0;
      products[o * n + k] = products[k * n + o] = o == k ? 1.0 : r;
    }
}

// U-centre a matrix as u_centred() does; return the sum of the squares of what it becomes.
double Probe::centre(double* gram) const {
  std::vector<double> rows(batch);
  double total = 0, squares = 0;
  for (long i = 0; i < batch; i++) {
    gram[i * batch + i] = 0;
    for (long j = 0; j < batch; j++) rows[i] += gram[i * batch + j];
    total += rows[i];
  }
  for (long i = 0; i < batch; i++)
    for (long j = 0; j < batch; j++) {
      double& value = gram[i * batch + j];
      value -= (rows[i] + rows[j]) / (batch - 2) - total / ((batch - 1) * (batch - 2));
      if (i == j) value = 0;
      squares += value * value;
    }
  return squares;
}

// Turn sums into what is recorded.
void Probe::end() {
  if (products) correlate();
  const long size = batch * batch;
  double energy = 0, squares = 0;
  for (long o = 0; o < shape_.c && grams; o++)
    energy += shift[o] * shift[o] * n_batches * batch * shape_.h * shape_.w;
  for (long k = 0; k < n_batches; k++) {
    for (long i = 0; i < batch; i++) energy += grams[k * size + i * batch + i];
    squares += centre(grams + k * size);
  }
  // As in unit(): what is left far below the energy is rounding.
  const double norm = std::sqrt(squares);
  const bool alive = std::isfinite(norm) && norm > 1e-13 * energy;
  for (long i = 0; i < n_batches * size; i++) grams[i] = alive ? grams[i] / norm : 0.0;
}

}  // namespace
