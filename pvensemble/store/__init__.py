"""The ensemble on disk: `EnsembleWriter` writes it, `Ensemble` reads it, also at the same time."""

from pvensemble.store.background import BackgroundWriter
from pvensemble.store.ensemble import Ensemble
from pvensemble.store.group import Group
from pvensemble.store.group_writer import GroupWriter
from pvensemble.store.locks import lock, locked_file
from pvensemble.store.log_records import Acknowledgement
from pvensemble.store.networks import Reducible
from pvensemble.store.records import (
    Checkpoint,
    Curve,
    HyperParameter,
    LayerInfo,
    MergeEvent,
    RunInfo,
    SessionInfo,
)
from pvensemble.store.surfaces import LossSurface
from pvensemble.store.writer import EnsembleWriter

__all__ = [
    "Acknowledgement",
    "BackgroundWriter",
    "Checkpoint",
    "Curve",
    "Ensemble",
    "EnsembleWriter",
    "Group",
    "GroupWriter",
    "HyperParameter",
    "LayerInfo",
    "LossSurface",
    "MergeEvent",
    "Reducible",
    "RunInfo",
    "SessionInfo",
    "lock",
    "locked_file",
]
