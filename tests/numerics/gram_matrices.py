"""Minibatch linear CKA written down plainly, and Gram matrices as they are recorded."""

from __future__ import annotations

import numpy as np


def unbiased_hsic(k: np.ndarray, linear: np.ndarray) -> float:
    """HSIC_1 of two Gram matrices (b, b): equation 3 of Nguyen et al. (2021), term by term."""
    b = len(k)
    k, linear = k - np.diag(np.diag(k)), linear - np.diag(np.diag(linear))
    one = np.ones(b)
    trace = np.trace(k @ linear)
    sums = (one @ k @ one) * (one @ linear @ one) / ((b - 1) * (b - 2))
    rows = 2 / (b - 2) * (one @ k @ linear @ one)
    return (trace + sums - rows) / (b * (b - 3))


def centred_alignment(x: np.ndarray, y: np.ndarray, batch: int) -> float:
    """Minibatch CKA of outputs (n_images, width): the ratio of means over minibatches."""
    batches = [slice(i, i + batch) for i in range(0, len(x), batch)]

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return np.mean([unbiased_hsic(a[i] @ a[i].T, b[i] @ b[i].T) for i in batches])

    return mean(x, y) / np.sqrt(mean(x, x) * mean(y, y))


def gram_matrices(x: np.ndarray, batch: int) -> np.ndarray:
    """U-centred Gram matrices (n_batches, b, b) of outputs (n_images, width), of unit norm."""
    found = []
    for i in range(0, len(x), batch):
        gram = x[i : i + batch] @ x[i : i + batch].T
        b = len(gram)
        np.fill_diagonal(gram, 0)
        rows = gram.sum(1)
        gram = gram - (rows[:, None] + rows) / (b - 2) + rows.sum() / ((b - 1) * (b - 2))
        np.fill_diagonal(gram, 0)
        found.append(gram)
    stack = np.stack(found)
    return (stack / np.linalg.norm(stack)).astype(np.float32)
