"""The ParaView server that scenes are built on: this process, or a pvserver elsewhere.

Proxies are defined by the plugin that the server has loaded; that of the client counts for nothing
once it is connected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paraview import print_error, servermanager, simple

import pvensemble
from pvensemble.errors import SceneError

READER = "EnsembleReader"
NO_PLUGIN = (
    "ParaView has not loaded the pvensemble plugin; start it with 'pvensemble paraview', or load "
    "pvplugins/pvensemble_plugin.py in Tools > Manage Plugins"
)
NO_PLUGIN_THERE = (
    "the server {} has not loaded the pvensemble plugin, which must be there, where the data are, "
    "also when this side has it; start the server with 'pvensemble pvserver', which loads it, and "
    "connect again"
)


def connect(address: str) -> None:
    """Connect to a pvserver, ``HOST:PORT``; what is open is closed.

    Raises
    ------
    SceneError
        None answers, or its plugin will not do.
    """
    host, _, port = address.rpartition(":")
    try:
        connection = simple.Connect(host, int(port), timeout=0)
    except RuntimeError:  # ParaView 6; 5 returns None
        connection = None
    if connection is None:
        simple.Connect()  # otherwise there is no session at all, and a window can open nothing
        raise SceneError(
            f"no pvserver answers at {address}; start 'pvensemble pvserver' on that machine first "
            f"(and the ssh tunnel to it, where there is one), then connect again"
        )
    need_plugin()


def watch_connections() -> None:
    """Say so at once whenever somebody connects to a server whose plugin will not do."""

    def changed(*_event: Any) -> None:
        try:
            if is_remote():
                need_plugin()
        except SceneError as error:
            print_error(f"pvensemble: {error}")

    manager = _manager()
    manager.AddObserver(manager.ActiveSessionChanged, changed)


def is_remote() -> bool:
    """Whether data are read and filters run in another process than this."""
    session = _manager().GetActiveSession()
    return session is not None and bool(session.IsA("vtkSMSessionClient"))


def server_name() -> str:
    """Return the address of the server that is connected."""
    return _manager().GetActiveSession().GetURI()


def need_plugin() -> None:
    """Check that the plugin is loaded where the data are, of the same version as this package.

    Raises
    ------
    SceneError
        It is not; the message says which of the two sides lacks what.
    """
    if not _session().GetProxyDefinitionManager().HasDefinition("sources", READER):
        raise SceneError(NO_PLUGIN_THERE.format(server_name()) if is_remote() else NO_PLUGIN)
    version, ours = _ask_reader("PackageVersion"), pvensemble.__version__
    if version != ours:
        where = f"the server {server_name()}" if is_remote() else "the plugin"
        raise SceneError(
            f"{where} has pvensemble {version or 'of another version'}, this side has {ours}; "
            f"install the same version on both"
        )


def same_file(one: str, other: str) -> bool:
    """Whether two paths of the server name the same file, as far as can be told from here."""
    if is_remote():
        return str(one) == str(other)
    return Path(one).absolute() == Path(other).absolute()


def check_readable(path: str) -> None:
    """Let the server open an ensemble for a trial, before there are sources that fail.

    Raises
    ------
    SceneError
        It cannot; with the reader's own message.
    """
    problem = _ask_reader("Problem", path)
    if problem:
        raise SceneError(f"{problem} (on the server {server_name()})" if is_remote() else problem)


def _ask_reader(name: str, path: str = "") -> str:
    """Ask a reader that nobody sees for a text; "" where it has none."""
    # Python's wrapper of the proxy would let it read.
    reader = _session().NewProxy("sources", READER)
    reader.GetProperty("FileName").SetElement(0, path)
    reader.UpdateVTKObjects()
    asked = reader.GetProperty(name)
    if asked is None:
        return ""
    reader.UpdatePropertyInformation(asked)
    return (asked.GetElement(0) or "") if asked.GetNumberOfElements() else ""


def _manager() -> Any:
    return servermanager.vtkSMProxyManager.GetProxyManager()


def _session() -> Any:
    """What makes proxies of the session that is active."""
    return _manager().GetActiveSessionProxyManager()
