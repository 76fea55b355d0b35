"""``verify``: whether a node is one of the meshes that pvensemble writes."""

from __future__ import annotations

import numpy as np

POINTS_OF_SHAPE = {"point": 1}


def verify(node, info):
    """Return whether a node is a mesh; else ``info`` says why not."""
    try:
        size = _elements(node)
        for field in node["fields"].children():
            _field(field.name(), field.node(), size)
        only(node["state"], "fields")
        only(node, "coordsets", "topologies", "fields", "state")
    except ValueError as error:
        info["errors"] = str(error)
        return False
    return True


def only(node, *names):
    """Raise ValueError unless a node has children of these names alone."""
    if {*node.names()} - {*names}:
        raise ValueError(f"got {node.names()}, allowed: {names}")


def _elements(node):
    """Return the number of elements of the only topology."""
    coords, topology = node["coordsets/coords"], node["topologies/mesh"]
    only(node["coordsets"], "coords")
    only(node["topologies"], "mesh")
    if topology["coordset"] != "coords":
        raise ValueError("the topology is on no coordset")
    kinds = coords["type"], topology["type"]
    if kinds == ("uniform", "uniform"):
        dims = [coords[f"dims/{axis}"] for axis in "ijk"]
        if not all(isinstance(n, int) and n >= 2 for n in dims):
            raise ValueError(f"dims {dims}")
        return int(np.prod([n - 1 for n in dims]))
    if kinds != ("explicit", "unstructured"):
        raise ValueError(f"types {kinds}")
    lengths = {len(coords[f"values/{axis}"]) for axis in "xyz"}
    if len(lengths) != 1:
        raise ValueError(f"coordinates of lengths {lengths}")
    connectivity = topology["elements/connectivity"]
    if not np.isin(connectivity, np.arange(lengths.pop())).all():
        raise ValueError("elements of points that are not there")
    return len(connectivity) // POINTS_OF_SHAPE[topology["elements/shape"]]


def _field(name, field, size):
    only(field, "association", "topology", "values")
    if (field["association"], field["topology"]) != ("element", "mesh"):
        raise ValueError(f"{name}: not of the elements of the mesh")
    values = field["values"]
    lengths = {len(v) for v in components(values)}
    if lengths != {size}:
        raise ValueError(f"{name}: {lengths} values, {size} elements")


def components(values):
    """Return the components of an array."""
    if isinstance(values, np.ndarray):
        return [values]
    return [child.node().value() for child in values.children()]
