"""What the paper states: S. Hamid et al., "Visual Ensemble Analysis to Study the Influence of
Hyper-parameters on Training Deep Neural Networks", MLVis 2019, sections 4 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

CYAN = (0.0059049, 0.31381059609)
"""Learning rate and momentum of the run that the paper picked at the cyan end (both low)."""
RED = (0.0161051, 0.9)
"""The same at the red end (both high)."""
P1_STEP = 100
INTERVAL = (100, 600)
"""Closed interval of steps of P2 and P3."""
SIMILARITY_STEP = 500
SIMILARITY_LAYER = "conv2"
THRESHOLD = 0.7
"""Above it a correlation is called high."""
CLAMPS = {"P1": (0.85, 0.93), "P2": (0.93, 0.98), "P3": (1.5, 3.0)}
"""Ranges of figure 1, stated for MNIST: accuracies, and standard deviation in percentage points."""


@dataclass(frozen=True)
class DataSet:
    """One data set of the study.

    Attributes
    ----------
    title : str
    preset : str
        Of ``pvensemble train``.
    steps : int
        Training steps of the paper, or of our choice where it did not use the data set.
    in_paper : bool
    clamps : dict
        Ranges of the measures; those the paper does not state are taken from the runs.
    settings : tuple of str
        Of ``pvensemble train`` where not the whole grid is trained.
    """

    title: str
    preset: str
    steps: int
    in_paper: bool
    clamps: dict
    settings: tuple[str, ...] = ()


EVERY_SECOND = (
    "session.space.learning_rate=[0.0059049,0.00729,0.009,0.011,0.01331,0.0161051]",
    "session.space.momentum=[0.31381059609,0.387420489,0.4782969,0.59049,0.729,0.9]",
)
"""Every second value of either hyper-parameter: where all runs would take too long."""

DATA_SETS = {
    "mnist": DataSet("MNIST", "mnist", 1000, True, CLAMPS),
    "cifar10": DataSet("CIFAR-10", "cifar10", 4000, True, {}),
    "cifar10-longer": DataSet(
        "CIFAR-10, fewer runs for longer", "cifar10", 4000, True, {}, EVERY_SECOND
    ),
    "fashion-mnist": DataSet("Fashion-MNIST", "fashion-mnist", 1000, False, {}),
}

CLAIMS = {
    "1": "P1, P2 and P3 agree: the runs that are high on P1 are high on all three, the low ones "
    "low on all.",
    "2": "The axes of learning rate and momentum show no clear pattern by themselves.",
    "3": "The best runs form a bright diagonal stripe in the heat map of P1 and P2, so learning "
    "rate and momentum are strongly inter-dependent.",
    "4": "There is no monotonic trend in the heat map.",
    "5": "Runs that are better early stay better throughout, so quality can be judged early.",
    "6": "In the embedding of conv2 at step 500 there are some green outliers, a cyan cluster, "
    "and the other colours are mixed.",
    "7a": "The cyan run (both parameters low) has strongly correlated filters in conv2, the red "
    "run (both high) weakly correlated ones.",
    "7b": "After an initial phase cyan has the most pairs of highly correlated filters and red "
    "the fewest, and the colours in the graph mix less with time.",
    "8a": "On CIFAR-10, unlike MNIST, high accuracy comes with a low measure of stability "
    "(the accuracies anti-correlate with the standard-deviation axis).",
    "8b": "The heat map of CIFAR-10 is strikingly similar to that of MNIST.",
    "9a": "On CIFAR-10 colours change smoothly in the embedding, unlike on MNIST.",
    "9b": "Filter correlations are lower on CIFAR-10 than on MNIST.",
    "9c": "On CIFAR-10, red has few high correlations after an initial phase, cyan many until "
    "very late.",
}
