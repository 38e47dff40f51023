"""Rolling restarts of an old and a new version under load, behind a proxy that leads new connections to whoever is next.

Both versions use one Redis. The successor is started and ready before its predecessor is asked to stop (SIGTERM), as a deployment
does; the roles change with each round, so messages of both versions are handled by both. The old version is the commit that
`FAULTS_OLD` names, by default the newest tag before this commit, else the commit before this one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.acceptance.harness import ROOT, until
from tests.faults.load import Profile
from tests.faults.scene import Case
from tests.simulators.run import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.scene import Scene
    from tests.faults.verdict import Verdict

STOP_SECONDS = 45.0
# Errors that a sender sees when a connection ends under its request; a refusal would be a status.
BROKEN = ("EOFError", "IncompleteReadError", "ConnectionResetError", "ConnectionRefusedError", "BrokenPipeError", "TimeoutError")


def git(*words: str) -> str:
    """What git says. Raises subprocess.CalledProcessError."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def old_commit() -> str:
    """The version before this one."""
    if named := os.environ.get("FAULTS_OLD"):
        return named
    try:
        return git("describe", "--tags", "--abbrev=0", "HEAD~1")
    except subprocess.CalledProcessError:
        return git("rev-parse", "--short", "HEAD~1")


@contextlib.contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="old-version-") as folder:
        place = Path(folder) / "tree"
        git("worktree", "add", "--detach", "--force", str(place), commit)
        try:
            yield place
        finally:
            git("worktree", "remove", "--force", str(place))


@dataclass
class Tree:
    """One `capsule-relay up` of one version, on a port of its own."""

    code: Path
    data: Path
    port: int
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, scene: Scene, code: Path, number: int) -> Tree:
        """Starts it and waits until its receiver is ready."""
        installation = scene.installation
        data, port = installation.directory / f"data-{number}", free_port()
        environment = installation.env | {
            "PYTHONPATH": str(code),
            "RELAY_DATA_DIR": str(data),
            "RELAY_WEB_PORT": str(port),
            "RELAY_CONSOLE_PORT": str(free_port()),
        }
        with (installation.directory / "up.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "workers", "up"], cwd=code, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        tree = cls(code, data, port, process)
        until(tree.ready, f"the receiver of {code} is ready", seconds=60, every=0.1)
        return tree

    def ready(self) -> bool:
        """Whether its receiver admits deliveries."""
        assert self.process.poll() is None, f"up ended with {self.process.poll()}"
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/ready", timeout=2, trust_env=False).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def stop(self) -> tuple[int, float]:
        """SIGTERM, and its exit status with the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        return code, round(time.monotonic() - began, 1)


def rolling(scene: Scene) -> None:
    """One version after the other, until the time is over; in the end the installation's own tree runs alone again."""
    installation = scene.installation
    front = installation.front
    assert front is not None
    stops: list[float] = []
    commit = old_commit()
    scene.figures["old version"] = commit
    with worktree(commit) as old:
        versions = (old, ROOT)
        running: Tree | None = None
        number = 0
        while not scene.over() or number % 2:
            number += 1
            successor = Tree.start(scene, versions[(number - 1) % 2], number)
            front.target = successor.port
            if running is None:
                installation.down()
            else:
                code, seconds = running.stop()
                stops.append(seconds)
                scene.faults["exit status not 0"] += code != 0
            scene.faults["restart into the old version" if successor.code == old else "restart into the new version"] += 1
            running = successor
            scene.wait(1.0, 3.0)
        installation.up()
        front.target = installation.web_port
        if running is not None:
            code, seconds = running.stop()
            stops.append(seconds)
    scene.figures["longest stop"] = max(stops)
    load = scene.load
    assert load is not None
    answers = load.sent.answers
    scene.figures["answers"] = dict(answers)
    scene.figures["failed requests"] = sum(answers[name] for name in BROKEN) + sum(
        number for name, number in answers.items() if name.isdigit() and name != "202"
    )


def all_answered(scene: Scene, verdict: Verdict) -> None:
    """No request failed, no stop took too long."""
    if scene.figures["failed requests"] or scene.faults["exit status not 0"]:
        verdict.bugs += 1
        verdict.say(f"requests that failed: {scene.figures['answers']}; {dict(scene.faults)}")
    if scene.figures["longest stop"] >= 30:
        verdict.bugs += 1
        verdict.say(f"a stop took {scene.figures['longest stop']} s")


ROLLING = Case(
    "rolling",
    "24",
    "old and new version in turn, SIGTERM under load",
    rolling,
    {"own_redis": True, "behind_front": True},
    # A connection that is kept may be closed by a server that stops in the moment in which it is used; a proxy drains those.
    profile=Profile(edits=10.0, kept=False),
    alone=True,
    short=False,
    check=all_answered,
)
