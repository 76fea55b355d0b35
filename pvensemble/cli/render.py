"""``pvensemble render``: pictures, tables and an animation of a scene, without a screen."""

from __future__ import annotations

import argparse

HELP = "save pictures of a scene (and an animation over the training) without a screen"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--scene", default="performance", metavar="NAME", help="how to show it")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the files")
    parser.add_argument("--size", type=_size, default=(1920, 1200), metavar="WxH", help="in pixels")
    parser.add_argument("--animate", action="store_true", help="also frames and a film over time")
    parser.add_argument(
        "--frames", type=int, default=100, metavar="N", help="frames of the animation at most"
    )
    parser.add_argument("--paraview", metavar="DIR", help="installation of ParaView to use")


def _size(text: str) -> tuple[int, int]:
    """Read ``1920x1200``."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 200):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, at least 200x200")
    return int(width), int(height)


def run(args: argparse.Namespace) -> int:
    """Render and list what was written."""
    from pvensemble.launcher.pictures import render

    written = render(
        args.ensemble,
        args.output,
        scene=args.scene,
        size=args.size,
        frames=max(args.frames, 2) if args.animate else 0,
        prefix=args.paraview,
    )
    frames = [p for p in written if p.parent.name == "frames"]
    for path in written:
        if path not in frames:
            print(path)
    if frames:
        print(f"{frames[0].parent}: {len(frames)} frames")
    if args.animate and not frames:
        print("no animation: the ensemble has fewer than two time steps")
    elif args.animate and not any(p.suffix == ".mp4" for p in written):
        print("no film: ffmpeg is missing; 'apt-get install ffmpeg', or join the frames yourself")
    return 0
