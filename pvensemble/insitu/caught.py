"""What a pipeline has said."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Caught:
    """What was said while a script was executed.

    Attributes
    ----------
    failure
        The exception that a script raised, with its place in the script; None if none did.
    messages
        Errors and warnings of VTK, without their headers.
    errors
        All exceptions.
    """

    failure: str | None = None
    messages: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
