"""``pvensemble render``: pictures and animations of an ensemble, without a screen."""

from __future__ import annotations

import argparse

HELP = "render a scene of an ensemble to pictures, and to an animation over the training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens", help="the ensemble")
    parser.add_argument(
        "--scene",
        default="performance",
        help="scene, or a scene file of your own, ….py (default: %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default=None,
        help="folder for the pictures (default: X-SCENE beside the ensemble, with --server here)",
    )
    parser.add_argument("--animate", action="store_true", help="also animate over the training")
    parser.add_argument(
        "--size",
        type=_size,
        default=(1920, 1200),
        metavar="WxH",
        help="size of the whole layout in pixels (default: 1920x1200)",
    )
    parser.add_argument(
        "--frames", type=_positive, default=60, help="at most so many frames (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=8.0, help="frames a second (default: %(default)g)"
    )
    parser.add_argument(
        "--paraview", metavar="DIR", default=None, help="installation of ParaView to use"
    )
    parser.add_argument(
        "--server",
        metavar="HOST[:PORT]",
        default=None,
        help="pvserver ('pvensemble pvserver') to read the ensemble on; it is a path there",
    )


def run(args: argparse.Namespace) -> int:
    """Render and print the files."""
    from pathlib import Path

    from pvensemble.launcher.pictures import join_frames, render
    from pvensemble.launcher.scenes import check_ensemble, scene_file
    from pvensemble.store import Ensemble

    scene = scene_file(args.scene)
    source = Path(args.ensemble)
    if args.server is None:
        source = check_ensemble(source)
        Ensemble.open(source)  # a bad file is named here, better than ParaView could
    name = f"{source.stem}-{scene.stem}"
    folder = Path(args.output or (name if args.server else source.with_name(name)))
    made = render(
        source,
        folder,
        scene=args.scene,
        size=args.size,
        n_frames=args.frames if args.animate else 0,
        prefix=args.paraview,
        server=args.server,
    )
    for file in made.files:
        print(file)
    if args.animate:
        film = join_frames(made.frames, folder.absolute() / "animation", rate=args.rate)
        frames = f"{len(made.frames)} frames in {folder.absolute() / 'frames'}"
        print(film or f"{frames} (neither ffmpeg nor Pillow is there to join them)")
    return 0


def _size(text: str) -> tuple[int, int]:
    from pvensemble.launcher.pictures import SIZES, picture_size

    size = picture_size(text)
    if size is None:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {SIZES}")
    return size


def _positive(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected a positive number")
