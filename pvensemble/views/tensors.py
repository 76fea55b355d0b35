"""What the plots of layers need of the readers: which layer and kind of tensors are checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from paraview import servermanager, simple

from pvensemble.errors import SceneError
from pvensemble.schema import ACTIVATION, CORRELATION, FILTER_GROUP, GRAM, WEIGHT

TENSORS_PORT = 1
CKA = "cka"
OF_WEIGHTS = (
    "WeightBoxes",
    "WeightImages",
    "FilterGroups",
    "WeightTrajectory",
    "TrainingDiagnostics",
)
"""Plots that show the weights (or gradients) of any layer."""
BESIDE = {"ActivationMaps": (ACTIVATION,)}
"""Kinds that plots of filters need beside the correlations."""


def recorded(reader: Any) -> dict[str, list[str]]:
    """Return the layers that are recorded for each kind, in the order of the network."""
    reader.UpdatePipelineInformation()
    reader.SMProxy.UpdatePropertyInformation()
    names = reader.SMProxy.GetProperty("TensorNames")
    layers: dict[str, list[str]] = {}
    for k in range(names.GetNumberOfElements()):
        layer, kind = names.GetElement(k).rsplit(".", 1)
        layers.setdefault(kind, []).append(layer)
    return layers


def last_layer(reader: Any, kind: str = CORRELATION) -> str:
    """Return the last layer that has a kind.

    Raises
    ------
    SceneError
        There is none; the message says how to record it.
    """
    layers = recorded(reader)
    if not layers.get(kind):
        there = ", ".join(sorted(layers)) or "no tensors"
        raise SceneError(
            f"{reader.FileName} holds no {kind}s of filters, which this scene shows (it holds "
            f"{there}); record them while training: they are among the default kinds "
            f"(record.kinds) of 'pvensemble train', and of Recorder when it is given a probe batch"
        )
    return layers[kind][-1]


def tensors_of(reader: Any) -> Any:
    """Return the second output of a reader."""
    return servermanager.OutputPort(reader, TENSORS_PORT)


def second_reader(reader: Any, name: str) -> Any:
    """Return another reader of the same ensemble.

    For tensors that are large and needed for one plot only: what is checked in a reader is read
    for all plots at every step.
    """
    return simple.EnsembleReader(registrationName=name, FileName=reader.FileName)


def check(
    reader: Any, layers: Iterable[str], kinds: Iterable[str], instead_of: Iterable[str] = ()
) -> None:
    """Check layers and kinds in a reader, beside those that are checked.

    Parameters
    ----------
    reader : proxy
    layers, kinds : iterable of str
        To check.
    instead_of : iterable of str
        Layers that are no longer needed.
    """
    available = recorded(reader)
    known = dict.fromkeys(layer for names in available.values() for layer in names)
    # While no layer is checked the kinds, which are all checked then, are nobody's choice.
    kept = set(reader.Kinds) if len(reader.Layers) else set()
    layers = (set(reader.Layers) - set(instead_of)) | set(layers)
    kinds = kept | set(kinds)
    reader.Layers = [layer for layer in known if layer in layers]
    reader.Kinds = [kind for kind in available if kind in kinds]


def kinds_of(plot: Any) -> set[str]:
    """Return the kinds of tensors that a plot shows now, or orders filters by."""
    name = plot.SMProxy.GetXMLName()
    if name in OF_WEIGHTS:
        return {text_of(plot, "Kind") or WEIGHT}
    if text_of(plot, "Measure") == CKA:
        return {GRAM}
    return {CORRELATION, *BESIDE.get(name, ())}


def also_of(plot: Any) -> set[str]:
    """Return the kinds that a plot uses where they were recorded."""
    is_of_groups = plot.SMProxy.GetXMLName() == "FilterGroups"
    return {CORRELATION, FILTER_GROUP} if is_of_groups else set()


def text_of(source: Any, name: str) -> str:
    """Return the text that a property shows, "" where a source has no such property.

    ParaView quotes the texts of lists when they are printed, and hands on no bare ones.
    """
    return str(getattr(source, name, "")).strip("'")


def _choose_layer(plot: Any) -> None:
    """Let a plot show the last layer where its ensemble has none of the name (a loaded state)."""
    if plot.Tensors is not None:
        available = recorded(getattr(plot.Tensors, "Proxy", plot.Tensors))
        layers = [set(available.get(kind, ())) for kind in kinds_of(plot)]
        known = dict.fromkeys(name for names in available.values() for name in names)
        there = [name for name in known if all(name in x for x in layers)]
        if there and text_of(plot, "Layer") not in there:
            plot.Layer = there[-1]


class CheckedTensors:
    """Keeps checked in the readers what plots need when their layer or measure is changed.

    What the user has checked beside that stays.

    Parameters
    ----------
    plots : sequence of proxy
        With properties ``Tensors`` and ``Layer``.
    """

    def __init__(self, plots: Sequence[Any]) -> None:
        self.plots = tuple(plots)
        self._layers: dict[Any, set[str]] = {}
        for plot in self.plots:
            _choose_layer(plot)
        self._tags = [
            (plot, plot.SMProxy.AddObserver("PropertyModifiedEvent", self._changed))
            for plot in self.plots
        ]
        self._changed()

    def remove(self) -> None:
        """Leave the readers as they are from now on."""
        for plot, tag in self._tags:
            plot.SMProxy.RemoveObserver(tag)

    def _changed(self, *_event: Any) -> None:
        needs: dict[Any, tuple[Any, set, set]] = {}
        for plot in self.plots:
            reader, layer = plot.Tensors, text_of(plot, "Layer")
            if reader is not None and layer:
                reader = getattr(reader, "Proxy", reader)
                _, layers, kinds = needs.setdefault(reader.SMProxy, (reader, set(), set()))
                layers.add(layer)
                kinds.update(kinds_of(plot) | (also_of(plot) & set(recorded(reader))))
        for proxy, (reader, layers, kinds) in needs.items():
            before = self._layers.get(proxy, set())
            if layers != before or not kinds <= set(reader.Kinds):
                check(reader, layers, kinds, instead_of=before - layers)
            self._layers[proxy] = layers
