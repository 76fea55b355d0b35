"""Changing what is recorded of a group while it trains.

A change holds from a step on that no run of the group has passed, so that everything before it is
recorded of all runs as it was, and everything after it as is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pvensemble.errors import ConfigError
from pvensemble.train.config import RecordConfig
from pvensemble.train.config.check import Where, check_value, fields_of
from pvensemble.train.executors.events import Era, Job
from pvensemble.train.recording import Schedule


def changed_record(record: RecordConfig, wanted: Mapping, where: str) -> RecordConfig:
    """Return the table ``[record]`` with other values.

    Raises
    ------
    ConfigError
        A value is not possible; the message begins with ``where``.
    """
    fields, place = fields_of(RecordConfig), Where(where, "record")
    known = {k: v for k, v in wanted.items() if k in fields}
    if len(known) < len(wanted):
        raise ConfigError(f"{where}: record: got {', '.join(wanted)}")
    return replace(record, **{k: check_value(fields[k], v, place.error) for k, v in known.items()})


def changed_job(job: Job, wanted: Job, step: int) -> Job:
    """Return a job whose layers and recorded steps are those of another from a step on."""
    era = Era(step, job.layers, job.schedule.stops)
    schedule = spliced(job.schedule, wanted.schedule, step)
    return replace(job, schedule=schedule, layers=wanted.layers, earlier=(*job.earlier, era))


def spliced(old: Schedule, new: Schedule, step: int) -> Schedule:
    """Return the old schedule before a step and the recorded steps of the new one from it on."""

    def joined(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([s for s in before if s < step] + [s for s in after if s >= step])

    return replace(
        old,
        recorded=joined(old.recorded, new.recorded),
        networks=joined(old.networks, new.networks) if old.networks else (),
    )
