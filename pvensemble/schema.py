"""Names of arrays, files and states: the one source for the store, VTK and the views.

Renaming anything here breaks saved ParaView states or ensembles on disk; see ``SCHEMA_VERSION``.
"""

from __future__ import annotations

SCHEMA_VERSION = 1
"""Version of the on-disk layout. Readers refuse newer ones with a message."""

# -- files ------------------------------------------------------------------------------------
MANIFEST_SUFFIX = ".pvens"
DATA_SUFFIX = ".pvens.d"
INDEX_FILE = "index.pvj"
RUNS_FILE = "runs.csv"
LOCK_FILE = "lock"
"""Held while one of several processes adds groups for all of them."""
METRICS_DIR = "metrics"
SURFACES_DIR = "surfaces"
STEERING_DIR = "steering"
TENSOR_SUFFIX = ".vtkhdf"
SERIES_SUFFIX = ".vtkhdf.series"

# -- states of a run --------------------------------------------------------------------------
WAITING = "WAITING"
RUNNING = "RUNNING"
COMPLETE = "COMPLETE"
PRUNED = "PRUNED"
DIVERGED = "DIVERGED"
FAILED = "FAILED"
STATES = (WAITING, RUNNING, COMPLETE, PRUNED, DIVERGED, FAILED)
"""In this order they are coded 0, 1, … in the array ``state_code``."""
BROKEN = (DIVERGED, FAILED)
"""A run in one of these states is not judged by what it reached before."""

# -- kinds of recorded tensors ----------------------------------------------------------------
WEIGHT = "weight"
GRADIENT = "gradient"
CORRELATION = "correlation"
ACTIVATION = "activation"
"""A run's (n_filters, n_images, h, w): outputs for the first images of the probe batch. Tiled to
y = n_filters * h, x = n_images * w."""
GRAM = "gram"
"""A run's (n_batches, b, b): for each minibatch of b images, of the first 128 of the probe batch,
the linear Gram matrix of the outputs, U-centred, the whole of unit norm, or 0 when the layer is
dead. Tiled to y = n_batches, x = b * b. The sum of the products of two is their minibatch CKA."""
KINDS = (WEIGHT, GRADIENT, CORRELATION, ACTIVATION, GRAM)
PROBED_KINDS = (CORRELATION, ACTIVATION, GRAM)
"""Kinds that need the outputs for the probe batch."""
PROBE_IMAGES = ("probe", "image")
"""Layer and kind of the images of ACTIVATION. They belong to no layer and to all runs of a group,
and are stored once, at its first recorded step: (1, n_channels, n_images, h, w)."""

NETWORK = ("network", "parameters")
"""Layer and kind of whole networks: all parameters and buffers of a run one after the other,
(n_values,), as the group's header lists them. See ``Group.network``."""
FILTER_GROUP = "filter_group"
"""Kind of a layer whose filters are merged during training, (n_filters,): for each filter that the
layer had at step 0 the number of the one that stands for it, itself as long as it is there. All
tensors of such a layer keep the shape of step 0; what was merged away is 0."""

# -- columns of the run table (cell data of every view of runs; cell i is run i) ----------------
RUN_INDEX = "run_index"
RUN_ID = "run_id"
SESSION = "session"
SEED = "seed"
STATE = "state"
REASON = "reason"
LAST_STEP = "last_step"
FIXED_COLUMNS = (RUN_INDEX, RUN_ID, SESSION, SEED, STATE, REASON, LAST_STEP)

# -- metrics ----------------------------------------------------------------------------------
TRAIN_LOSS = "train_loss"
TRAIN_ACCURACY = "train_accuracy"
VALIDATION_LOSS = "validation_loss"
VALIDATION_ACCURACY = "validation_accuracy"
TEST_LOSS = "test_loss"
TEST_ACCURACY = "test_accuracy"
ACCURACY_METRICS = (VALIDATION_ACCURACY, "accuracy", TEST_ACCURACY, TRAIN_ACCURACY)
"""The first of these that an ensemble has is the accuracy that measures and graphs use."""
LOSS_METRICS = (VALIDATION_LOSS, "loss", TEST_LOSS, TRAIN_LOSS)
WEIGHT_NORM = "weight_norm:"
"""Begins the name of a parameter's L2 norm at the recorded steps: ``weight_norm:conv1.weight``."""
GRADIENT_NORM = "gradient_norm:"
"""Likewise of the loss's gradient; a diverged run has none."""
SCHEDULED_RATE = "scheduled_learning_rate"
"""Learning rate of the update at a recorded step; the hyper-parameter is what it begins with."""

N_FILTERS_PREFIX = "n_filters:"

# -- field data of the "Runs" data set ----------------------------------------------------------
HYPER_PARAMETERS_FIELD = "hyper_parameters"
"""vtkStringArray: names of the hyper-parameter columns, in order."""
HYPER_PARAMETER_SCALES_FIELD = "hyper_parameter_scales"
"""vtkStringArray: ``linear``, ``log`` or ``categorical`` for each of them."""
MEASURES_FIELD = "measures"
"""vtkStringArray: names of the measure columns that filters upstream added, in order."""
ENSEMBLE_NAME_FIELD = "ensemble_name"
GROUP_NAMES_FIELD = "group_names"
GROUP_COLORS_FIELD = "group_colors"
"""vtkStringArray of ``#rrggbb``, one for each name in ``group_names``."""
CURVE_PREFIX = "curve:"
STEPS_PREFIX = "steps:"

# -- columns that filters add ---------------------------------------------------------------------
P1 = "P1"
P2 = "P2"
P3 = "P3"
COMBINED = "combined"
FINAL = "final"
BEST = "best"
TIME_TO_THRESHOLD = "time_to_threshold"
GROUP = "group"
"""int: index into ``group_names`` of the (first) named group that holds the run, or -1."""
GROUP_COLOR = "group_color"
"""unsigned char (n_runs, 3): RGB of the run's group, grey outside all groups."""
CODE_SUFFIX = "_code"
"""A text column ``optimizer`` has a number column ``optimizer_code`` beside it, for colour."""


def curve_array(metric: str) -> str:
    """Name of the field array of a metric's values: n_steps * n_runs numbers, step by step."""
    return CURVE_PREFIX + metric


def steps_array(metric: str) -> str:
    """Name of the field array of the steps at which a metric was evaluated, shape (n_steps,)."""
    return STEPS_PREFIX + metric


def n_filters_metric(layer: str) -> str:
    """Name of the metric that counts the filters of a layer whose filters may be merged."""
    return N_FILTERS_PREFIX + layer


def tensor_name(layer: str, kind: str) -> str:
    """Directory, series and block name of one layer's tensors of one kind."""
    return f"{layer}.{kind}"


def step_file(step: int) -> str:
    """File name of a recorded step."""
    return f"s{step:06d}{TENSOR_SUFFIX}"


def group_name(index: int) -> str:
    """Directory name of a group."""
    return f"g{index:03d}"
