"""Reads the text options of plots: lists of names, ``name=value`` lists and ranges.

Entries are separated by semicolons or new lines; lists of names also by commas, unless the whole
entry is the name of a column.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pvensemble.errors import OptionError


def parse_names(text: str, known: Collection[str] = ()) -> list[str]:
    """Return the names in a text, in order.

    Parameters
    ----------
    text : str
        ``"learning_rate; momentum"``; empty for none.
    known : collection of str
        Names that are taken whole although they hold a comma.

    Returns
    -------
    list of str
    """
    names: list[str] = []
    for entry in _entries(text):
        names.extend([entry] if entry in known else _entries(entry.replace(",", ";")))
    return names


def parse_pairs(text: str, option: str) -> dict[str, str]:
    """Return ``{"a": "1", "b": "2"}`` for ``"a = 1; b = 2"``.

    Raises
    ------
    OptionError
        An entry without ``=``, with an empty side, or a name twice; the message names ``option``.
    """
    pairs: dict[str, str] = {}
    for entry in _entries(text):
        name, sign, value = (part.strip() for part in entry.rpartition("="))
        if not (name and sign and value):
            raise OptionError(f"{option}: got {entry!r}, expected entries like 'name=value'")
        if name in pairs:
            raise OptionError(f"{option}: {name!r} is given twice")
        pairs[name] = value
    return pairs


def parse_ranges(text: str, option: str = "Ranges") -> dict[str, tuple[float, float]]:
    """Return ``{"P1": (0.85, 0.93)}`` for ``"P1 = 0.85, 0.93"``.

    Raises
    ------
    OptionError
        As `parse_pairs`, or a value that is not two numbers.
    """
    ranges = {}
    for name, value in parse_pairs(text, option).items():
        parts = [p for p in re.split(r"[,\s]+", value.strip("[]() ")) if p]
        try:
            low, high = (float(p) for p in parts)
        except ValueError:
            raise OptionError(
                f"{option}: {name!r}: got {value!r}, expected two numbers like '0.85, 0.93'"
            ) from None
        ranges[name] = (low, high)
    return ranges


def _entries(text: str) -> list[str]:
    """Return the non-empty entries of a text, stripped."""
    return [e.strip() for e in re.split(r"[;\n]", text or "") if e.strip()]
