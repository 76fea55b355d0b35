// From images to loss and accuracy.

#pragma once

#include <cmath>

#include "probe.h"

namespace {

void Network::convolution_row(const Layer& l, bool relu, const float* in, float* out, long y,
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
      t.relu = relu;
      multiply(n_rows, b.n, t);
    }
  });
}

template <bool PLACES>
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
            if (PLACES) place[k] = better ? I{} + here : place[k];
          }
        }
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        if (k >= m) break;
        store(out + l.out.of_register(j + k, b), l.relu ? rectified(most[k]) : most[k]);
      }
      if (PLACES) places[j / 4] = place[0] | place[1] << 8 | place[2] << 16 | place[3] << 24;
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

void rectify(float* values, long n) {
  for (long i = 0; i < n; i += W) store(values + i, rectified(load(values + i)));
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
    const long first = start_ + b.first;
    Probe* probe = l.probe && first < l.probe->n_images ? l.probe : nullptr;
    long done = 0;
    for (long y = 0; y < l.out.h; y++) {
      convolution_row(l, l.relu && !probe, in, out, y, b);
      if (probe) {
        float* row = out + l.out.at(y, 0, b.lanes());
        probe->take(row, y, b, first);
        if (l.relu) rectify(row, l.out.w * l.out.of_x(b.lanes()));
      }
      if (!pooled(i)) continue;
      // A few rows of the convolution at a time, pooled while they are in the cache.
      Layer& pool = layers_[i + 1];
      for (; done < pool.out.h; done++) {
        if (y + 1 < std::min(done * pool.stride[0] + pool.kernel[0], l.out.h)) break;
        max_pool_row(pool, out, done, b);
      }
    }
    if (probe) probe->finish(b, first);
  }
}

// Add up the cross entropy of n images and how many of them are right; in training also find the
// gradient of the mean with respect to the logits.
void Network::loss(const int64_t* labels, const int64_t* indices, long n, double* sums) {
  Layer& last = layers_.back();
  const long n_classes = last.out.c;
  double sum = 0;
  long right = 0;
  for (const Block& b : blocks_)
    for (long lane = 0; lane < b.lanes() && b.first + lane < n; lane++) {
      const float* logits = last.value.data + last.out.before(b) + lane;
      float* gradient = last.gradient.data + last.out.before(b) + lane;
      const long label = labels[indices[b.first + lane]];
      long best = 0;
      for (long k = 1; k < n_classes; k++)
        if (logits[k * b.lanes()] > logits[best * b.lanes()]) best = k;
      const double most = logits[best * b.lanes()];
      double total = 0;
      for (long k = 0; k < n_classes; k++) total += std::exp(logits[k * b.lanes()] - most);
      sum += std::log(total) + most - logits[label * b.lanes()];
      right += best == label;
      for (long k = 0; k < n_classes && training_; k++) {
        const double share = std::exp(logits[k * b.lanes()] - most) / total;
        gradient[k * b.lanes()] = static_cast<float>((share - (k == label)) / n);
      }
    }
  sums[0] += sum;
  sums[1] += static_cast<double>(right);
}

// Sums of the losses and right answers of n images, and what probes see; false without memory.
bool Network::evaluate(const float* images, const int64_t* labels, const int64_t* indices, long n,
                       const float* const* parameters, std::vector<Probe>& probes,
                       double* result) {
  long last = n;
  for (Layer& l : layers_) {
    l.probe = nullptr;
    if (l.kind != CONVOLUTION && l.kind != LINEAR) continue;
    l.weights = *parameters++;
    l.biases = l.bias ? *parameters++ : nullptr;
  }
  for (Probe& probe : probes) {
    if (!probe.begin(layers_[probe.layer].out)) return false;
    layers_[probe.layer].probe = &probe;
    last = std::max(last, probe.n_images);
  }
  training_ = false;
  for (start_ = 0; start_ < last; start_ += batch_) {
    for (const Block& b : blocks_) {
      if (start_ + b.first >= last) break;
      gather(images, indices + start_, last - start_, b);
      for (size_t i = 0; i < first_linear_; i++) forward(i, b);
    }
    if (start_ >= n) continue;
    for (size_t i = first_linear_; i < layers_.size(); i++) linear(i);
    loss(labels, indices + start_, std::min(batch_, n - start_), result);
  }
  for (Layer& l : layers_) l.probe = nullptr;
  for (Probe& probe : probes) probe.end();
  return true;
}

}  // namespace
