// From the gradient of the logits to those of all parameters.

#pragma once

#include "forward.h"

namespace {

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
  training_ = true;
  // A block goes through all layers of images while it is in the cache, then all blocks at once
  // through the linear layers, whose weights are larger.
  for (const Block& b : blocks_) {
    gather(images, indices, batch_, b);
    for (size_t i = 0; i < first_linear_; i++) forward(i, b);
  }
  for (size_t i = first_linear_; i < layers_.size(); i++) linear(i);
  double sums[2] = {};
  loss(labels, indices, batch_, sums);
  for (int i = 0; i < 2; i++) result[i] = sums[i] / batch_;
  for (size_t i = layers_.size(); i-- > first_linear_;) {
    Layer& l = layers_[i];
    if (l.relu) rectify(l.value.data, l.gradient.data, l.out.in_all(blocks_.back()));
    linear_backward(i);
  }
  for (const Block& b : blocks_)
    for (size_t i = first_linear_; i-- > 0;) backward(i, b);
}

}  // namespace
