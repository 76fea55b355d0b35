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

#include <cstdint>
#include <new>

#include "backward.h"

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
