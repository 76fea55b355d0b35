"""What mpiexec tells its ranks in the environment, which processes that they start must not get.

They would take themselves for ranks, and wait for a job that does not know them.
"""

from __future__ import annotations

from collections.abc import Mapping

OF_MPI = ("OMPI_", "PMIX_", "PMI_", "MV2_", "PRTE_")


def outside_mpi(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a process that is no rank."""
    return {key: value for key, value in environment.items() if not key.startswith(OF_MPI)}
