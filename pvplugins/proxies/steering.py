"""Proxy of what people ask a running training for."""

from pvensemble.filters import training_control

from .properties import button, filter_proxy, group, information, integer, text

PROXIES = ("TrainingControl",)


@filter_proxy(
    """Ask the training of the ensemble for something while it goes on: to stop runs, to record
    something else, to add runs. Fill in, Apply, press a button. The training looks once a second;
    the table is the log of the ensemble, with what became of each request. Works for trainings by
    'pvensemble train', wherever the files are.""",
    group(
        "Stop",
        text("RunsToStop", "", "Run indices, like 3,5-7."),
        text("Reason", "", "Why, in a line; goes to the run table."),
        button("StopRuns", "End these runs; what was recorded of them stays."),
    ),
    group(
        "Record",
        integer("RecordEvery", 0, "Record every so many steps; 0: as now.", low=0),
        text("RecordLayers", "", "Layers, like conv1,conv2; convolutions; all. Empty: as now."),
        text(
            "RecordKinds",
            "",
            "Kinds: weight, gradient, correlation, activation, gram. Empty: as now.",
        ),
        button("ChangeRecording", "Record so from the next step on that no run has passed."),
    ),
    group(
        "Add",
        text(
            "RunsToAdd",
            "",
            """Settings with values, like learning_rate=0.01,0.02 momentum=0.9: all combinations
            become runs of a new session.""",
        ),
        button("AddRuns", "Train these runs as well."),
    ),
    button("Refresh", "Read what was logged since; a shown table does so by itself."),
    information("Answer", "GetAnswer", "What was sent last, or why it was not."),
    hints='<View type="SpreadSheetView"/>',
)
class TrainingControl(training_control.TrainingControl):
    """Filter on runs."""
