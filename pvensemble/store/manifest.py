"""The file ``X.pvens``: what the ensemble is about. Written once; events are in the indexes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvensemble.errors import CorruptFileError, SchemaError, StoreError
from pvensemble.schema import DATA_SUFFIX, MANIFEST_SUFFIX, SCHEMA_VERSION
from pvensemble.store.files import read_file
from pvensemble.store.records import (
    HyperParameter,
    SessionInfo,
    hyper_parameter_to_json,
    session_to_json,
)

FORMAT = "pvensemble"


@dataclass(frozen=True)
class Manifest:
    """Content of the manifest."""

    name: str
    sessions: tuple
    hyper_parameters: tuple
    provenance: Mapping
    schema_version: int = SCHEMA_VERSION


def manifest_path(path: object) -> Path:
    """Return the manifest's path for ``X.pvens``, ``X.pvens.d`` or something inside the latter."""
    path = Path(path)
    for candidate in (path, *path.parents):
        if candidate.name.endswith(DATA_SUFFIX):
            return candidate.with_name(candidate.name[: -len(".d")])
    return path


def data_directory(manifest: Path) -> Path:
    """Return the directory that belongs to a manifest."""
    return manifest.with_name(manifest.name + ".d")


def check_new_path(path: Path) -> None:
    """Raise `StoreError` unless an ensemble can get this name."""
    if path.suffix != MANIFEST_SUFFIX or path.name == MANIFEST_SUFFIX:
        raise StoreError(
            f"{path}: the name of an ensemble ends in '{MANIFEST_SUFFIX}', for example "
            f"'{path.with_suffix(MANIFEST_SUFFIX).name}'"
        )
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the directory {path.parent} does not exist; create it first")


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the file's content.

    Raises
    ------
    StoreError
        The provenance or a search space holds what JSON cannot.
    """
    content = {
        "format": FORMAT,
        "schema_version": manifest.schema_version,
        "name": manifest.name,
        "sessions": [session_to_json(s) for s in manifest.sessions],
        "hyper_parameters": [hyper_parameter_to_json(p) for p in manifest.hyper_parameters],
        "provenance": dict(manifest.provenance),
    }
    try:
        return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"ensemble '{manifest.name}': the manifest cannot be written as JSON: {error}"
        ) from error


def find_ensemble(path: object) -> tuple[Path, Manifest]:
    """Return manifest path and manifest of an ensemble that is there, whole as far as that goes.

    Raises
    ------
    StoreError, SchemaError
        As `read_manifest`.
    CorruptFileError
        Its data directory is missing.
    """
    path = manifest_path(path)
    manifest = read_manifest(path)
    directory = data_directory(path)
    if not directory.is_dir():
        raise CorruptFileError(
            f"{directory}: the data directory of the ensemble is missing; copy or move it "
            f"together with {path.name}"
        )
    return path, manifest


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    StoreError
        It is missing or cannot be read.
    SchemaError
        It is something else, or of a newer schema version.
    CorruptFileError
        It is damaged.
    """
    if not path.exists():
        raise StoreError(
            f"{path}: there is no such ensemble; give the path of a file that ends in "
            f"'{MANIFEST_SUFFIX}'{_others(path)}"
        )
    if path.is_dir():
        raise SchemaError(
            f"{path}: this is a directory, not an ensemble; give the file that ends in "
            f"'{MANIFEST_SUFFIX}'{_others(path / 'x')}"
        )
    text = read_file(path, what="the manifest")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(
            f"{path}: the manifest is not JSON ({error}); it is truncated or not an ensemble: copy "
            "it again from where it came from"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SchemaError(
            f'{path}: this JSON file is no manifest of an ensemble (no "format": "{FORMAT}"); give '
            "the file that `pvensemble train` or a Recorder wrote"
        )
    version = content.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SchemaError(f"{path}: schema version {version!r}; expected a whole number from 1 on")
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"{path}: schema version {version}, but this pvensemble reads versions up to "
            f"{SCHEMA_VERSION}; update pvensemble"
        )
    try:
        content["provenance"].get("versions", {}).keys()
        return Manifest(
            str(content["name"]),
            tuple(SessionInfo(**s) for s in content["sessions"]),
            tuple(HyperParameter(**p) for p in content["hyper_parameters"]),
            dict(content["provenance"]),
            version,
        )
    except (KeyError, TypeError, ValueError, AttributeError, StoreError) as error:
        raise CorruptFileError(
            f"{path}: the manifest is incomplete ({error!r}); copy it again from where it came from"
        ) from error


def _others(path: Path) -> str:
    try:
        names = sorted(p.name for p in path.parent.glob("*" + MANIFEST_SUFFIX))
    except OSError:
        names = []
    return f"; in {path.parent} there are: {', '.join(names[:8])}" if names else ""


def merge_named(first: Sequence, *more: Sequence) -> list:
    """Return all records of several lists; the first of each name wins."""
    merged = {}
    for records in (first, *more):
        for record in records:
            merged.setdefault(record.name, record)
    return list(merged.values())
