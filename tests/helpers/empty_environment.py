"""An environment that has what pip would install for a wheel and nothing else, made of this one's packages at once.

The requirements are those that the wheel states, followed as pip follows them, markers and extras included. A package
that is imported and not asked for is missing there, as it is for a user; no registry is asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Python runs this before anything else: a connection to any other machine ends the program that tries.
NO_NETWORK = """
import socket
import sys

def refuse(event, arguments):
    if event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        if arguments[1][0] not in ("127.0.0.1", "::1", "localhost"):
            raise SystemExit(f"this test is offline, and something connects to {arguments[1]}")
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "", "127.0.0.1", "::1", "localhost", "0.0.0.0"):
        raise SystemExit(f"this test is offline, and something looks up {arguments[0]}")

sys.addaudithook(refuse)
"""


def metadata_of(wheel: Path) -> list[str]:
    """What a wheel requires: its Requires-Dist lines."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist") or []


def closure(requires: Iterable[str], extras: Iterable[str] = ()) -> dict[str, Distribution]:
    """Every distribution that these requirements bring, by name; AssertionError where this environment's does not fit.

    Args:
        requires: lines as in a wheel's metadata.
        extras: that are asked for.
    """
    found: dict[str, Distribution] = {}
    done: set[tuple[str, str]] = set()

    def follow(lines: Iterable[str], extras: frozenset[str]) -> None:
        for line in lines:
            wanted = Requirement(line)
            if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": e}) for e in extras | {""}):
                continue
            there = distribution(wanted.name)
            assert wanted.specifier.contains(there.version, prereleases=True), f"{line}, but {there.version} is here"
            name = canonicalize_name(wanted.name)
            found[name] = there
            new = {(name, extra) for extra in wanted.extras | {""}} - done
            if new:
                done.update(new)
                follow(there.requires or (), frozenset(extra for _, extra in new))

    follow(requires, frozenset(extras))
    return found


def size_of(distributions: Iterable[Distribution]) -> int:
    """Bytes of their files."""
    paths = {Path(there.locate_file(file)) for there in distributions for file in there.files or ()}
    return sum(path.stat().st_size for path in paths if path.is_file())


class EmptyEnvironment:
    """A virtual environment in a new folder; ``command`` is its ``hdrgan``.

    Args:
        folder: where to; must not exist.
        wheel: of hdrgan.
        extras: of the wheel that are installed as well.
        startup: code that Python runs there before anything else.
    """

    def __init__(self, folder: Path, wheel: Path, *extras: str, startup: str = ""):
        self.packages = closure(metadata_of(wheel), extras)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = folder / "bin" / "python"
        self.command = folder / "bin" / "hdrgan"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        for there in self.packages.values():
            for top in {file.parts[0] for file in there.files or ()} - {"..", "__pycache__"}:
                link, source = site / top, Path(there.locate_file(top))
                if not link.is_symlink() and source.exists():
                    link.symlink_to(source)
        install = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps"]
        subprocess.run([*install, "--no-index", str(wheel)], check=True, cwd=folder)
        (site / "sitecustomize.py").write_text(startup)

    def environment(self, home: Path) -> dict[str, str]:
        """For its processes: nothing that leads elsewhere, and no download."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_", "PIP_"))}
        return kept | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def run(self, *words: object, cwd: Path, code: int = 0) -> str:
        """Run its ``hdrgan``; what it said."""
        line = [str(self.command), *map(str, words)]
        options = {"capture_output": True, "text": True, "timeout": 1800, "check": False}
        done = subprocess.run(line, cwd=cwd, env=self.environment(cwd / "home"), **options)
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout + done.stderr
