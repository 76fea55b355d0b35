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

long pvensemble_native_version() { return 2; }

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
// Sums of the losses and right answers of the first n images of a split, whose `indices` are 0, 1,
// …, and what probes see of the first images: of each the layer's place, n_images, n_activations,
// and Gram matrices' batch and n_batches as numbers; shift, sums, correlations, Gram matrices and
// activations (or null where they are not needed) as results, which begin as 0. Returns 0 without memory.
long pvensemble_native_evaluate(void* network, const float* images, const int64_t* labels,
                                const int64_t* indices, long n, const float* const* parameters,
                                long n_probes, const long* numbers, void* const* results,
                                double* result) {
  std::vector<Probe> probes(n_probes);
  for (Probe& probe : probes) {
    for (long* number : {&probe.layer, &probe.n_images, &probe.n_activations, &probe.batch,
                         &probe.n_batches})
      *number = *numbers++;
    for (double** place : {&probe.shift, &probe.sums, &probe.products, &probe.grams})
      *place = static_cast<double*>(*results++);
    probe.activations = static_cast<float*>(*results++);
  }
  return static_cast<Network*>(network)->evaluate(images, labels, indices, n, parameters, probes,
                                                  result);
}
}
