"""``pvensemble paraview|pvpython|pvbatch|pvserver``: ParaView's programs with our plugin."""

from __future__ import annotations

import argparse

HELPS = {
    "paraview": "open the ParaView window with the plugin, and an ensemble in a scene",
    "pvpython": "run ParaView's Python with the plugin",
    "pvbatch": "run a ParaView script with the plugin, also under mpiexec",
    "pvserver": "serve the plugin to a ParaView window elsewhere",
}
HELP = HELPS["paraview"]

USAGE = """\
usage: pvensemble {name} [--paraview DIR] [--scene NAME] [--server HOST[:PORT]] [X.pvens]
       [arguments of {name}]

{help}.

  X.pvens         an ensemble to open
  --scene NAME    how to show it (default: performance); scenes: {scenes}; several with commas
  --paraview DIR  installation of ParaView to use (default: $PVENSEMBLE_PARAVIEW, then PATH)
  --server HOST[:PORT]
                  open it on a pvserver that was started by 'pvensemble pvserver' (default port:
                  11111); X.pvens is then a path on that machine
{more}
Everything else goes to {name} as it is; `pvensemble {name} -- --help` shows its own options."""


TRAINING = """\
  --sym -- train …
                  run 'pvensemble train …' inside pvbatch, also under mpiexec
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the launcher's own options."""
    parser.add_argument("--paraview", metavar="DIR", default=None)
    parser.add_argument("--scene", metavar="NAME", default=None)
    parser.add_argument("--server", metavar="HOST[:PORT]", default=None)
    parser.add_argument("-h", "--help", action="store_true")


def run_program(name: str, argv: list[str]) -> int:
    """Start ``name`` with ``argv``; returns only where the system cannot replace a process."""
    from pvensemble.launcher import launch
    from pvensemble.launcher.launch import split_ensemble
    from pvensemble.launcher.scenes import check_ensemble, scene_names
    from pvensemble.launcher.training import is_training, program, training_variables
    from pvensemble.store import Ensemble

    own, rest = _split(argv)
    parser = argparse.ArgumentParser(prog=f"pvensemble {name}", add_help=False, allow_abbrev=False)
    add_arguments(parser)
    options, unknown = parser.parse_known_args(own)
    if options.help:
        scenes = ", ".join(scene_names()) or "none"
        helped = HELPS[name][0].upper() + HELPS[name][1:]
        more = TRAINING if name == "pvbatch" else ""
        print(USAGE.format(name=name, help=helped, scenes=scenes, more=more))
        return 0
    if name == "pvbatch" and is_training(rest):
        args = [*unknown, str(program()), *rest]
        return launch(name, args, prefix=options.paraview, variables=training_variables())
    ensemble, _ = split_ensemble([*unknown, *rest])
    if ensemble is not None and options.server is None:
        Ensemble.open(check_ensemble(ensemble))  # a bad file is named before a window opens
    own_options = {"scene": options.scene, "server": options.server}
    return launch(name, [*unknown, *rest], prefix=options.paraview, **own_options)


def run(args: argparse.Namespace) -> int:
    """Start the ParaView window (for callers that parsed the options themselves)."""
    from pvensemble.launcher import launch

    return launch("paraview", [], prefix=args.paraview, scene=args.scene, server=args.server)


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split before a script or ``--``: what follows is not ours to read."""
    for k, arg in enumerate(argv):
        if arg == "--":
            return argv[:k], argv[k + 1 :]
        if arg.endswith(".py") and not arg.startswith("-"):
            return argv[:k], argv[k:]
    return list(argv), []
