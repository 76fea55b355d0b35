"""Which groups a process trains, where several share an ensemble without talking to each other."""

from __future__ import annotations

from collections.abc import Iterator

from pvensemble.errors import GroupBusyError
from pvensemble.train.plan import Plan
from pvensemble.train.standing import Standing
from pvensemble.train.steered_output import SteeredOutput

MOST_GROUPS = 256
"""A process holds the index of each group open that it has claimed."""


def claims(plan: Plan, standing: Standing, size: int) -> Iterator[list[SteeredOutput]]:
    """Yield groups to train next, until nothing is left that nobody trains.

    A group is claimed by the lock on its index: it is released when its process has done it, keeps
    its state, or dies. So what a dead process leaves is taken by whoever comes next, from the
    last checkpoint.

    An executor in this process takes one group at a time. One with worker processes waits for the
    slowest of them at the end of every claim, so it takes a fair part of what is left: the fewer
    groups there are, the smaller it is, so that all processes end together.
    """
    executor = plan.task.executor
    plan.opener.hold = True
    taken: set[str] = set()
    portion = 1 / (2 * size) if executor.width > 1 and not executor.vectorized else 0.0
    while True:
        standing.refresh()
        left = [group for group in standing.left() if group.name not in taken]
        wanted = portion * sum(standing.cost(group) for group in left)
        claim: list[SteeredOutput] = []
        cost, n_runs = 0.0, 0
        for group in left:
            try:
                output = plan.opener.open(group)
            except GroupBusyError:
                continue
            taken.add(group.name)
            if output.done:  # by whoever has just released it
                output.close()
                continue
            claim.append(output)
            cost, n_runs = cost + standing.cost(group), n_runs + len(output.job.positions)
            if (cost >= wanted and n_runs >= executor.width) or len(claim) == MOST_GROUPS:
                break
        if not claim:
            return
        yield claim
