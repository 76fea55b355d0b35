// From images to loss and accuracy.

#pragma once

#include <cmath>

#include "network.h"

namespace {

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

}  // namespace
