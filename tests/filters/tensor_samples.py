"""Small "Tensors" data sets for the filters on layers."""

from __future__ import annotations

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkCompositeDataSet, vtkMultiBlockDataSet

from pvensemble.store.tiling import tile
from pvensemble.vtkdata.arrays import add_field, image_from_stack


def make_tensors(blocks, *, step=100):
    """Return "Tensors": ``{"g000/conv1.correlation": (run_index, stack (n_runs, y, x))}``."""
    data = vtkMultiBlockDataSet()
    for i, (name, (run_index, stack)) in enumerate(blocks.items()):
        image = image_from_stack(np.ascontiguousarray(stack, np.float32), name.rsplit(".", 1)[1])
        add_field(image.GetFieldData(), "run_index", np.asarray(run_index, np.int64))
        add_field(image.GetFieldData(), "step", np.array([step], np.int64))
        data.SetBlock(i, image)
        data.GetMetaData(i).Set(vtkCompositeDataSet.NAME(), name)
    return data


def make_weights(blocks, *, step=100):
    """Return "Tensors" with shapes: ``{"g000/conv1.weight": (run_index, (n_runs, *shape))}``."""
    parts = {name: (runs, tile(np.asarray(w))) for name, (runs, w) in blocks.items()}
    data = make_tensors(parts, step=step)
    for i, (_, weights) in enumerate(blocks.values()):
        shape = np.array(np.shape(weights)[1:], np.int64)
        add_field(data.GetBlock(i).GetFieldData(), "shape", shape)
    return data


def make_activations(blocks, images=None, *, step=100):
    """Return "Tensors" with activations.

    Parameters
    ----------
    blocks : dict
        ``{"g000/conv1": (run_index, maps (n_runs, n_filters, n_images, h, w), correlations)}``;
        correlations may be None.
    images : (n_channels, n_images, h, w) array, optional
        Of every group.
    """
    parts, shapes = {}, {}
    for name, (run_index, maps, correlations) in blocks.items():
        if correlations is not None:
            parts[name + ".correlation"] = run_index, correlations
        parts[name + ".activation"] = run_index, tile(maps)
        shapes[name + ".activation"] = maps.shape[1:]
        if images is not None:
            image = name.split("/")[0] + "/probe.image"
            parts[image], shapes[image] = ([], tile(images[None])), images.shape
    data = make_tensors(parts, step=step)
    for i, name in enumerate(parts):
        field = data.GetBlock(i).GetFieldData()
        if name in shapes:
            add_field(field, "shape", np.array(shapes[name], np.int64))
        if name.endswith(".image"):
            field.RemoveArray("run_index")
    return data


def random_correlations(n_runs, n_filters, *, seed=0, n_samples=8, dead=()):
    """Return (n_runs, n_filters, n_filters) float32 of random signals, some filters dead."""
    signals = np.random.default_rng(seed).normal(size=(n_runs, n_filters, n_samples))
    stack = np.stack([np.atleast_2d(np.corrcoef(s)) for s in signals])
    for k in dead:
        stack[:, k, :] = stack[:, :, k] = 0
    stack[:, np.arange(n_filters), np.arange(n_filters)] = 1
    return stack.astype(np.float32)


def block_correlation(sizes, *, within=0.9, between=0.1):
    """Return the (n, n) correlation of filters in clusters of given sizes."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    matrix = np.where(label[:, None] == label, within, between)
    np.fill_diagonal(matrix, 1.0)
    return matrix.astype(np.float32)
