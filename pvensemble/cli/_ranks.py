"""``pvensemble train`` as one of several processes: MPI's ranks, or joined by the file system."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from pvensemble.errors import ConfigError, PVEnsembleError, RankError

if TYPE_CHECKING:
    from pvensemble.train.ranks import Ranks
    from pvensemble.train.training import TrainResult

MISTAKE = 2
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
NUMBERS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")


def add_join(parser: argparse.ArgumentParser) -> None:
    """Declare ``--join``."""
    parser.add_argument(
        "--join",
        type=int,
        metavar="N",
        help="be one of about N processes that share the ensemble's groups without MPI, such as "
        "the tasks of a job array; whoever is first creates it",
    )


def started_by(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return number of this process and of all that mpiexec or srun started; (0, 1) when alone."""
    size = max(_number(environment.get(name), 1) for name in SIZES)
    rank = next((_number(environment[n], 0) for n in NUMBERS if n in environment), 0)
    return (rank, size) if size > 1 else (0, 1)


def grace_advice(environment: Mapping[str, str]) -> str:
    """Return what to set so that ranks of Open MPI can keep their states; "" when it is set."""
    setting = "OMPI_MCA_odls_base_sigkill_timeout"
    if "OMPI_COMM_WORLD_SIZE" not in environment or setting in environment:
        return ""
    return (
        "Ctrl-C at mpiexec leaves ranks one second, which may be too short to keep their states; "
        f"{setting}=15 in its environment gives them 15"
    )


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default


def find_ranks(args: argparse.Namespace, size: int) -> Ranks:
    """Return the processes that train together, of which ``size`` were started at once.

    Raises
    ------
    ConfigError
        The options do not fit, or MPI is not to be had.
    """
    from pvensemble.train.ranks import ALONE, Joined

    if args.join is not None:
        if args.join < 1:
            raise ConfigError(f"--join: got {args.join}, allowed: 1 and more")
        if args.resume:
            raise ConfigError(
                "--join: goes on with what is there by itself; leave out --resume, or give that "
                "alone to try runs again that failed"
            )
        return Joined(args.join)
    if size == 1:
        return ALONE
    from pvensemble.train.mpi import mpi_ranks

    return mpi_ranks(size)


def guarded(ranks: Ranks, work: Callable[[], int]) -> int:
    """Return the status of ``work``; what it raises on one rank ends all of them."""
    try:
        return work()
    except RankError:  # all ranks know; the first one says it
        if ranks.rank > 0:
            return MISTAKE
        raise
    except BaseException as error:
        if ranks.size > 1:
            status = MISTAKE if isinstance(error, PVEnsembleError) else 1
            if status == MISTAKE:
                print(f"[{ranks.name}] pvensemble: {error}", file=sys.stderr, flush=True)
            else:
                print(f"[{ranks.name}] {traceback.format_exc()}", file=sys.stderr, flush=True)
            ranks.abort(status)
        raise


class Messages:
    """What a rank other than the first shows of its progress: new messages.

    Parameters
    ----------
    stream
        Where to write, usually standard error.
    """

    def __init__(self, stream: TextIO, rank: int) -> None:
        self._stream, self._rank, self._said = stream, rank, ""

    def __call__(self, progress: Any) -> None:
        """Show one moment of a training."""
        if progress.message and progress.message != self._said:
            self._said = progress.message
            self.say(progress.message)

    def say(self, text: str) -> None:
        """Write a line."""
        self._stream.write(f"[rank {self._rank}] {text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Show nothing more."""


def share_text(ranks: Ranks, result: TrainResult) -> str:
    """Return in a line what one of several processes did."""
    names = ", ".join(result.groups[:6]) + (" …" if len(result.groups) > 6 else "")
    who = f"[{ranks.name}]"
    if not names:
        return f"{who} had nothing to train"
    return f"{who} trained {names}: {result.run_steps:,} run-steps in {result.seconds:.0f} s"
