"""Any PyTorch loop becomes a run of an ensemble: three lines, and the loop stays the user's own."""

from __future__ import annotations

import atexit
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pvensemble import schema
from pvensemble.errors import ConfigError, StoreError
from pvensemble.store import BackgroundWriter, EnsembleWriter, LayerInfo, RunInfo, SessionInfo
from pvensemble.train.config import RecordConfig
from pvensemble.train.config.tables import NETWORKS
from pvensemble.train.gram import LEAST
from pvensemble.train.probing import Measured, Probing
from pvensemble.train.recording import (
    as_recorded,
    network_shapes,
    network_vector,
    recorded_layers,
)
from pvensemble.train.taps import observing

METRICS_SECONDS = 5.0
_LOSSES = ("loss", schema.TRAIN_LOSS)


class Recorder:
    """Records one run of a training loop that is not ours.

    Parameters
    ----------
    model
        The network; wrappers of ``torch.compile`` and of data parallelism are looked through. Under
        ``DistributedDataParallel`` make a recorder in one process only.
    path
        ``X.pvens``. An ensemble that exists is joined: processes, one after the other or at once,
        record their runs into one ensemble.
    params
        Hyper-parameters of the run by name: numbers, texts, true or false.
    every
        Record the tensors every so many steps; step 0 and the last step always.
    probe
        (n, …) inputs for which outputs of layers are compared; None records no correlations,
        Gram matrices and activations.
    layers
        Names of modules or patterns, ``convolutions`` or ``all``.
    activation_images
        Outputs for so many of the first probe inputs are stored as they are.
    networks
        At which recorded steps all parameters and buffers are stored: ``last``, ``all``, ``none``.

    Raises
    ------
    ConfigError
        When nothing of the model matches ``layers``, or ``every`` is not positive.
    StoreError
        When the ensemble cannot be made or joined.

    Examples
    --------
    >>> recorder = Recorder(model, "my.pvens", params={"learning_rate": 0.1}, probe=images)
    >>> for batch in batches:                                       # doctest: +SKIP
    ...     loss = train_on(batch)
    ...     recorder.step(loss=loss)
    >>> recorder.close()                                            # doctest: +SKIP
    """

    def __init__(
        self,
        model: nn.Module,
        path: str | Path,
        *,
        params: Mapping[str, float | int | str | bool] | None = None,
        every: int = 100,
        probe: Tensor | None = None,
        session: str = "recorded",
        seed: int = 0,
        layers: Sequence[str] = ("convolutions",),
        kinds: Sequence[str] = schema.KINDS,
        dtype: str = "float32",
        activation_images: int = 4,
        networks: str = "last",
        name: str | None = None,
        run_id: str | None = None,
    ) -> None:
        if every < 1:
            raise ConfigError(f"Recorder: every: got {every}, allowed: at least 1")
        if networks not in NETWORKS:
            raise ConfigError(f"Recorder: networks: got {networks!r}, allowed: {NETWORKS}")
        self._model, self._every, self._probe, self._dtype = unwrap(model), every, probe, dtype
        record = RecordConfig(
            every=every,
            kinds=tuple(kinds),
            layers=tuple(layers),
            dtype=dtype,
            probe=0 if probe is None else _checked_probe(probe, kinds, activation_images),
            activation_images=activation_images,
            networks=networks,
        )
        self._networks = networks
        images = None if probe is None else probe[:2].to(self._device())
        self._layers = recorded_layers(self._model, record, images)
        self._probing = Probing(self._layers)
        self._taps = self._probing.taps(self._model)
        if not self._layers and tuple(layers) == ("convolutions",):
            raise ConfigError(
                "Recorder: the model has no convolutions; name layers to record, or layers=('all',)"
            )
        self._writer = EnsembleWriter.create(
            path,
            name=name,
            sessions=[SessionInfo(session)],
            provenance={"recorder": True, "versions": {"torch": torch.__version__}},
            exist_ok=True,
        )
        run = RunInfo(run_id or uuid.uuid4().hex[:16], dict(params or {}), seed, session, None)
        infos = [LayerInfo(x.name, x.type, x.shape, x.kinds) for x in self._layers]
        parameters = network_shapes(self._model) if networks != "none" else None
        self._group = self._writer.create_group([run], infos, parameters=parameters)
        self._background = BackgroundWriter(self._group, max_pending=8)
        self._background.set_states([0], schema.RUNNING, step=0)
        self._step = 0
        self._recorded = -1
        self._rows: dict[str, list[tuple[int, float | Tensor]]] = {}
        self._flushed = time.monotonic()
        self._diverged = ""
        self._closed = False
        atexit.register(self._abandon)
        self._record()

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        return self._group.runs[0].run_id

    def step(self, **metrics: float | Tensor) -> None:
        """Note one optimizer step; call it after ``backward`` and before gradients are zeroed.

        Parameters
        ----------
        metrics
            Numbers of this step by name: ``loss``, ``accuracy``, ``validation_accuracy`` … Names
            may differ from step to step. Tensors on a GPU are not waited for.
        """
        if self._closed:
            raise StoreError("Recorder.step: the recorder is closed")
        self._step += 1
        for name, value in metrics.items():
            value = value.detach().clone() if isinstance(value, Tensor) else float(value)
            self._rows.setdefault(name, []).append((self._step, value))
        if self._step % self._every == 0:
            self._record()
        elif time.monotonic() - self._flushed > METRICS_SECONDS:
            self._background.submit(self._step, {}, self._take_rows())

    def close(self) -> None:
        """Record the last step and end the run: COMPLETE, or DIVERGED if its loss is not finite."""
        if not self._closed:
            self._end(schema.COMPLETE)

    def fail(self, reason: str) -> None:
        """End the run as FAILED."""
        if not self._closed:
            self._end(schema.FAILED, reason)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.close()
        else:
            text = str(error)
            self.fail(f"{kind.__name__}: {text}" if text else kind.__name__)

    # -- private -------------------------------------------------------------------------------

    def _end(self, state: str, reason: str = "") -> None:
        self._background.flush()
        if self._recorded != self._step:
            self._record()
        if self._networks == "last":
            vector = network_vector(self._model)[None]
            self._background.submit(self._step, {schema.NETWORK: vector}, self._take_rows())
        if state == schema.COMPLETE and self._diverged:
            state, reason = schema.DIVERGED, self._diverged
        self._closed = True
        atexit.unregister(self._abandon)
        self._background.set_states([0], state, step=self._step, reason=reason)
        try:
            self._background.close()
        finally:
            self._writer.finish()

    def _abandon(self) -> None:
        """At the end of the program; no thread can be started any more."""
        self._closed = True
        self._group.commit(self._step, {}, self._take_rows())
        reason = "the program ended without Recorder.close()"
        self._group.set_states([0], schema.FAILED, step=self._step, reason=reason)
        self._writer.finish()

    def _record(self) -> None:
        """Hand over the tensors of this step and the metrics since the last one."""
        tensors = {}
        if self._networks == "all":
            tensors[schema.NETWORK] = network_vector(self._model)[None]
        named = dict(self._model.named_parameters())
        probed = self._probed()
        for layer in self._layers:
            for kind in layer.kinds:
                if kind in schema.PROBED_KINDS:
                    value = probed[layer.name, kind]
                else:
                    value = named[layer.weight].detach()[None]
                    if kind == schema.GRADIENT:
                        gradient = named[layer.weight].grad
                        value = torch.zeros_like(value) if gradient is None else gradient[None]
                value = value.float().cpu().numpy()
                tensors[layer.name, kind] = as_recorded(value, self._dtype)
        for name, p in named.items():
            self._norm(schema.WEIGHT_NORM + name, p.detach())
            self._norm(schema.GRADIENT_NORM + name, p.grad)
        if self._recorded < 0 and any(schema.ACTIVATION in x.kinds for x in self._layers):
            tensors[schema.PROBE_IMAGES] = self._shown()
        self._background.submit(self._step, tensors, self._take_rows())
        self._recorded = self._step

    def _shown(self) -> np.ndarray:
        """Return the probe inputs of the activations, (1, n_channels, n_images, …) float32."""
        images = self._probe[: self._layers[0].n_activations].detach().float().cpu().numpy()
        images = images[:, None] if images.ndim == 1 else images
        return np.ascontiguousarray(images.swapaxes(0, 1)[None])

    def _norm(self, name: str, value: Tensor | None) -> None:
        norm = math.nan if value is None else torch.linalg.vector_norm(value.float())
        self._rows.setdefault(name, []).append((self._step, norm))

    def _take_rows(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        taken = {}
        for name, rows in self._rows.items():
            steps = np.array([step for step, _ in rows], np.int64)
            values = np.array([float(value) for _, value in rows])
            taken[name] = (steps, values[:, None])
            if name in _LOSSES:
                self._look_for_divergence(name, steps, values)
        self._rows = {}
        self._flushed = time.monotonic()
        return taken

    def _look_for_divergence(self, name: str, steps: np.ndarray, values: np.ndarray) -> None:
        """Keep when the loss stopped being finite; a loss that recovers has not diverged."""
        finite = np.isfinite(values)
        if finite[-1]:
            self._diverged = ""
        elif not self._diverged:
            first = len(finite) - int(np.argmax(finite[::-1])) if finite.any() else 0
            self._diverged = f"the {name} was {values[first]} at step {steps[first]}"

    def _probed(self) -> Measured:
        if not self._probing:
            return {}
        probe = self._probe.to(self._device())
        sums = self._probing.begin()
        with observing(self._model, probe.device), self._taps.open() as taps:
            for part in probe.split(64):
                self._model(part)
                sums.add({name: output[None] for name, output in taps.outputs.items()})
            return sums.result()

    def _device(self) -> torch.device:
        return next(self._model.parameters()).device


def _checked_probe(probe: Tensor, kinds: Sequence[str], n_activations: int) -> int:
    """Return the number of probe inputs, or raise when they do not suffice."""
    n = len(probe)
    if schema.GRAM in kinds and n < LEAST:
        raise ConfigError(
            f"Recorder: probe: got {n} inputs, allowed: at least {LEAST}, or leave 'gram' out of "
            "kinds"
        )
    if schema.ACTIVATION in kinds and not 0 <= n_activations <= n:
        raise ConfigError(
            f"Recorder: activation_images: got {n_activations}, allowed: 0 to {n}, the number of "
            "probe inputs"
        )
    return n


def unwrap(model: nn.Module) -> nn.Module:
    """Return the user's module inside the wrappers of torch.compile and data parallelism."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(
            model, (nn.DataParallel, nn.parallel.DistributedDataParallel)
        ):
            inner = model.module
        if inner is None:
            return model
        model = inner
