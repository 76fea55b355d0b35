"""What pvensemble uses of Kitware's ``catalyst_conduit``, in Python: a tree of values.

As there, a node that is set to external memory knows its address alone, so whoever lets go of the
array too early sees garbage.
"""

from __future__ import annotations

import ctypes

import numpy as np

__all__ = ["Node", "blueprint"]


class Node:
    """A value, or children with names, or a list of children."""

    def __init__(self):
        self._value, self._names, self._children = None, [], []

    def __getitem__(self, path):
        node = self.fetch(path)
        return node if node._value is None else node.value()

    def __setitem__(self, path, value):
        self.fetch(path).set(value)

    def fetch(self, path):
        """Return the node at a path, made where it is missing."""
        node = self
        for name in path.split("/"):
            node = node.add_child(name)
        return node

    def has_path(self, path):
        node = self
        for name in path.split("/"):
            if name not in node._names:
                return False
            node = node._children[node._names.index(name)]
        return True

    def add_child(self, name):
        """Return the child of a name, which may hold a slash."""
        if self._value is not None:
            raise TypeError(f"{name}: its parent is a value")
        if name not in self._names:
            self._names.append(name)
            self._children.append(Node())
        return self._children[self._names.index(name)]

    def append(self):
        """Return a new child of a list."""
        self._names.append("")
        self._children.append(Node())
        return self._children[-1]

    def set(self, value):
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"a node cannot hold a copy of {type(value).__name__} here")
        self._value = value

    def set_external(self, array):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iuf":
            raise TypeError(f"set_external takes numbers with one axis, not {array!r}")
        about = array.__array_interface__
        self._value = External(about["data"][0], array.dtype, len(array), array.strides[0])

    def value(self):
        return self._value.array() if isinstance(self._value, External) else self._value

    def children(self):
        return [Child(name, node) for name, node in zip(self._names, self._children)]

    def names(self):
        return list(self._names)

    def __str__(self):
        return "\n".join(f"{child.name()}: {child.node().value()}" for child in self.children())

    def number_of_children(self):
        return len(self._children)


class External:
    """Memory of somebody else."""

    def __init__(self, address, dtype, length, stride):
        self.address, self.dtype, self.length, self.stride = address, dtype, length, stride

    def array(self):
        if self.length == 0:
            return np.empty(0, self.dtype)
        size = (self.length - 1) * self.stride + self.dtype.itemsize
        memory = (ctypes.c_char * size).from_address(self.address)
        return np.ndarray((self.length,), self.dtype, memory, strides=(self.stride,))


class Child:
    """What iterating over children yields."""

    def __init__(self, name, node):
        self._name, self._node = name, node

    def name(self):
        return self._name

    def node(self):
        return self._node


from catalyst_conduit import blueprint  # noqa: E402 - it needs the class above
