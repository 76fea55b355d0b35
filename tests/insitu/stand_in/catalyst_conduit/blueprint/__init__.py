"""The part of Mesh Blueprint that pvensemble uses, strictly."""

from catalyst_conduit.blueprint import mesh

__all__ = ["mesh"]
