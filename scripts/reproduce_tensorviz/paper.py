"""What the poster states: X. Chen, Q. Guan, X. Liang, L.-T. Lo, T. Estrada, J. Ahrens: "TensorViz:
Visualizing the Training of Convolutional Neural Network Using Paraview", LA-UR-17-26748, 2017.
"""

from __future__ import annotations

EPOCH = 550
"""Steps: 55,000 training images in batches of 100, as 5.5k steps are ten epochs."""
ACCURACY, EPOCHS_TO_ACCURACY = 0.992, 16
FILTERS_LEFT = 12
"""Of the 16 of the first layer, after merging."""
ACCURACY_LOST = 0.001
"""The reduced networks "remain the same": we allow a tenth of a percentage point."""
EXPONENT = 0.5
"""Of the growth of weight norms over time."""

CLAIMS = {
    "1": "The networks achieve 99.2 % accuracy on MNIST after about 16 epochs.",
    "2": "The L2 norms of the weights grow roughly with the square root of time.",
    "3": "The gradients are roughly following some random distributions.",
    "4": "Colours become darker during training, and boxes seldom change from blue to red or vice "
    "versa: weights grow and keep their sign.",
    "5": "The path of the weight vector, seen in its first two dimensions, looks like a random "
    "walk.",
    "6": "When the learning rate is too high, the weights get stuck within a short time.",
    "7": "Similar activations suggest that filters are redundant, in both convolution layers.",
    "8": "Merging filters with high Pearson correlation during training reduces 16 filters to 12 "
    "after 20 epochs, and the accuracy remains that of the original network.",
    "9": "On MNIST the reduction does not affect the training time.",
}
