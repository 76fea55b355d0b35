"""A real ParaView window under a virtual X server, driven by a real mouse."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pvserver_process import pvserver

from pvensemble.launcher import command, find_paraview, paraview_version
from pvensemble.launcher.display import virtual_screen
from pvensemble.launcher.scenes import scene_file

SCREEN = (1600, 1000)
START_SECONDS = 120
ANSWER_SECONDS = 120
POLL = 0.02
MAXIMIZED = """\
<openbox_config xmlns="http://openbox.org/3.4/rc"><applications>
<application name="*" type="normal"><decor>no</decor><maximized>yes</maximized></application>
</applications></openbox_config>
"""


class WindowError(AssertionError):
    """The window did not do what was waited for."""


class Window:
    """ParaView's window; all coordinates are pixels of the screen unless said otherwise."""

    def __init__(self, folder: Path, env: dict[str, str], process: subprocess.Popen) -> None:
        self.folder, self.env, self.process = folder, env, process
        self.number = 0
        self.corners: dict[str, tuple[int, int]] = {}

    def ask(self, what: str, *, seconds: float = ANSWER_SECONDS, **options: Any) -> Any:
        """Ask the side channel and return its answer, which takes so long at most."""
        self.number += 1
        question = {"number": self.number, "what": what, "options": options}
        beside = self.folder / "question.new"
        beside.write_text(json.dumps(question))
        beside.replace(self.folder / "question.json")
        answer = self.wait(self._answer, seconds, f"an answer to {what}")
        if "error" in answer:
            raise WindowError(answer["error"])
        return answer["answer"]

    def _answer(self) -> dict | None:
        path = self.folder / "answer.json"
        if not path.exists():
            return None
        answer = json.loads(path.read_text())
        return answer if answer["number"] == self.number else None

    def wait(self, look: Callable[[], Any], seconds: float, what: str) -> Any:
        """Wait until ``look`` returns something true, and return that."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise WindowError(f"ParaView ended with {self.process.returncode}: {self.log()}")
            found = look()
            if found:
                return found
            time.sleep(POLL)
        raise WindowError(f"no {what} in {seconds} s: {self.log()}")

    def wait_for(self, look: Callable[[], Any], seconds: float) -> Any:
        """Return what ``look`` returns when it is true in time, else None."""
        try:
            return self.wait(look, seconds, "")
        except WindowError:
            return None

    def log(self) -> str:
        """The last of what ParaView printed."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    # -- the mouse -----------------------------------------------------------------------------
    def mouse(self, *arguments: Any) -> None:
        """Run xdotool."""
        subprocess.run(["xdotool", *map(str, arguments)], env=self.env, check=True, timeout=20)

    def find_views(self, names: list[str]) -> None:
        """Find where the lower left corners of views are, by moving the mouse over the window."""
        missing = set(names)
        for y in range(200, SCREEN[1], 90):
            for x in range(SCREEN[0] - 60, 300, -160):
                if not missing:
                    return
                before = self.ask("mouse")["count"]
                self.mouse("mousemove", x, y)
                seen = self._seen(before)
                if seen is not None and seen["view"] in missing:
                    self.corners[seen["view"]] = (x - seen["at"][0], y + seen["at"][1])
                    missing.remove(seen["view"])
                    self._check_extent(seen["view"])
        if missing:
            raise WindowError(f"the mouse met no view {sorted(missing)}")

    def _check_extent(self, view: str) -> None:
        """A view's picture must be as large as the place that it has in the window."""
        size = self.ask("views").get(view)
        if size is None:
            return
        left, bottom = self.corners[view]
        for inside in (2, -3):
            before = self.ask("mouse")["count"]
            self.mouse("mousemove", left + size[0] - inside, bottom - size[1] + 5)
            seen = self._seen(before)
            assert (seen is not None and seen["view"] == view) == (inside > 0), (
                f"{view} is drawn at {size}, which is not its size in the window"
            )

    def _seen(self, before: int) -> dict | None:
        """Where ParaView saw the mouse after it moved; None when it was over nothing of ours."""
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            seen = self.ask("mouse")
            if seen["count"] > before:
                return seen
        return None

    def place(self, view: str, x: float, y: float) -> tuple[int, int]:
        """Pixels of the screen for plot coordinates of a view."""
        across, up = self.ask("pixel", view=view, x=x, y=y)
        left, bottom = self.corners[view]
        return round(left + across), round(bottom - up)

    def click(self, at: tuple[int, int], *keys: str) -> None:
        """Click the left button, keys held."""
        self.drag(at, at, *keys)

    def drag(self, start: tuple[int, int], end: tuple[int, int], *keys: str) -> None:
        """Drag with the left button in six steps, keys held."""
        for key in keys:
            self.mouse("keydown", key)
        moves: list[Any] = ["mousemove", *start, "mousedown", 1]
        if start != end:
            for k in range(1, 7):
                x = round(start[0] + (end[0] - start[0]) * k / 6)
                y = round(start[1] + (end[1] - start[1]) * k / 6)
                moves += ["mousemove", x, y, "sleep", 0.02]
        self.mouse(*moves, "mouseup", 1)
        for key in keys:
            self.mouse("keyup", key)

    # -- what is selected ----------------------------------------------------------------------
    def selected(self) -> dict:
        """What is selected everywhere; see the side channel."""
        return self.ask("selected")

    def wait_selected(self, runs: list[int], seconds: float = 15) -> dict:
        """Wait until ``runs`` are selected in every source and the graph draws just them."""
        last: dict = {}

        def agreed() -> bool:
            last.update(self.selected())
            drawn = runs or list(range(self.n_runs))
            same = all(chosen == runs for chosen in last["chosen"].values())
            return same and last["drawn"] == drawn

        with contextlib.suppress(WindowError):
            self.wait(agreed, seconds, "selection")
        wrong = {n: c for n, c in last["chosen"].items() if c != runs}
        assert wrong == {}, f"expected runs {runs} to be selected, but there are {wrong}"
        assert last["drawn"] == (runs or list(range(self.n_runs)))
        return last

    n_runs = 0
    ensemble: Path | None

    # -- menus and dialogs ---------------------------------------------------------------------
    def choose(self, menu: str, done: Callable[[], Any], position: int = 0) -> None:
        """Choose of the menu that a key opens; wait until it has effect.

        ``position`` counts the entries that are enabled.
        """
        main = ("search", "--onlyvisible", "--name", "^ParaView ")
        self.mouse(*main, "windowfocus", "--sync")  # a dialog that has gone leaves no focus
        self.mouse("key", menu, *["Down"] * position, "Return")
        self.wait(done, 40, f"effect of {menu}")

    def dialogs(self, title: str) -> list[str]:
        """Return the numbers of the dialogs with a title that are seen."""
        search = ["xdotool", "search", "--onlyvisible", "--name", f"^{title}$"]
        done = subprocess.run(search, env=self.env, capture_output=True, text=True, check=False)
        return done.stdout.split()


@contextlib.contextmanager
def open_window(
    folder: Path,
    ensemble: Path | None,
    scene: str | None,
    n_runs: int,
    *,
    state: Path | None = None,
    remote: bool = False,
) -> Iterator[Window]:
    """Start ParaView with a scene, a state file of it, or nothing; the window fills the screen.

    With ``remote`` a pvserver on this machine reads the ensemble and runs the filters.
    """
    with virtual_screen(SCREEN) as screen, contextlib.ExitStack() as stack:
        server = stack.enter_context(pvserver(folder, extra=screen)) if remote else None
        opened = [] if ensemble is None else [str(ensemble)]
        argv, env, _ = command("paraview", opened, scene=scene, server=server)
        env.update(_settings(folder), **screen)
        env["PVENSEMBLE_TEST_SCENE"] = "" if scene is None else str(scene_file(scene))
        env["PVENSEMBLE_SCENE"] = str(Path(__file__).with_name("side_channel.py"))
        env["PVENSEMBLE_TEST_FOLDER"] = str(folder)
        env["PVENSEMBLE_TEST_STATE"] = str(state or "")
        if shutil.which("openbox"):  # the window has its size before it is filled
            (folder / "openbox.xml").write_text(MAXIMIZED)
            manager = ["openbox", "--config-file", str(folder / "openbox.xml")]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            stack.callback(_end, subprocess.Popen(manager, env=env, **quiet))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        stack.callback(_end, process)
        window = Window(folder, {**os.environ, **screen}, process)
        window.n_runs, window.ensemble = n_runs, ensemble
        window.wait((folder / "ready.json").exists, START_SECONDS, "scene")
        _fill_screen(window)
        yield window


def _settings(folder: Path) -> dict[str, str]:
    """Write settings of ParaView for a window without a welcome; return their environment."""
    config = folder / "config" / "ParaView"
    config.mkdir(parents=True)
    version = ".".join(map(str, paraview_version(find_paraview("pvpython")) or ()))
    for name in (f"ParaView{version}.ini", "ParaView.ini"):  # 5 and 6
        (config / name).write_text("[General]\nGeneralSettings.ShowWelcomeDialog=false\n")
    return {"XDG_CONFIG_HOME": str(folder / "config"), "QT_LOGGING_RULES": "*=false"}


def _fill_screen(window: Window) -> None:
    """Without a window manager give the window the size of the screen; wait for constant views."""
    if not shutil.which("openbox"):
        search = ["xdotool", "search", "--onlyvisible", "--name", "^ParaView "]
        found = subprocess.run(search, env=window.env, capture_output=True, text=True, check=True)
        window.mouse("windowsize", found.stdout.split()[0], *SCREEN)
    sizes = [None] * 5

    def settled() -> bool:
        sizes.append(window.ask("views"))
        del sizes[0]
        return all(size == sizes[0] for size in sizes)

    window.wait(settled, 30, "views of constant size")


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def selected_everywhere(window: Window, runs: list[int], *, n_plots: int, seconds: float) -> dict:
    """Wait until runs are selected in all plots of runs, ``n_plots`` of them.

    Returns
    -------
    dict of str to list of int
        Runs that the plots of one run show.
    """
    last: dict = {}

    def agreed() -> bool:
        last.update(window.ask("selected_everywhere"))
        return all(chosen == runs for chosen in last["chosen"].values())

    with contextlib.suppress(WindowError):
        window.wait(agreed, seconds, "selection")
    wrong = {name: chosen for name, chosen in last["chosen"].items() if chosen != runs}
    assert wrong == {}, f"expected runs {runs} to be selected, but there are {wrong}"
    assert len(last["chosen"]) == n_plots
    return last["shown"]
