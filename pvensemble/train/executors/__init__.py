"""Executors: who trains the runs of a group, and how.

An executor has a method ``run(jobs, control)``, which trains the runs of all jobs and yields
events (:mod:`.events`); it is called any number of times, then ``close()``. Two ways: one run at a
time (:mod:`.sequential`) and all runs of a group in one step (:mod:`.vectorized`); and two places:
in this process, or in worker processes (:mod:`.pool`). :func:`choose` takes the fastest that fits
the device. Its attributes say which it is: ``vectorized``, ``width`` (number of processes that
train) and ``device`` (of the first).
"""

from __future__ import annotations

from pvensemble.train.executors.choice import choose
from pvensemble.train.executors.in_process import InProcess

__all__ = ["InProcess", "choose"]
