"""The command and the trainer as processes of their own, each a fork of one that has torch imported already: quick
enough to start, kill and start again by the dozen."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PRELOADED = {
    "hdrgan.cli": ("hdrgan.batch.failures", "hdrgan.batch.progress", "hdrgan.batch.run", "hdrgan.batch.settings"),
    "train_accelerate": ("torch._dynamo", "torch.onnx", "torchmetrics"),
}
"""The programs, and what they import later than at their start."""


@dataclass
class Done:
    """How a command ended: as `subprocess.CompletedProcess`, negative codes for signals."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Running:
    """A command that runs."""

    pid: int
    base: Path

    def has_ended(self) -> bool:
        return self.base.with_suffix(".code").exists()

    def wait(self, seconds: float = 1800.0) -> Done:
        end = time.monotonic() + seconds
        pause = 0.005
        while not self.has_ended():
            assert time.monotonic() < end, f"not done in {seconds} s: {self.base.with_suffix('.err').read_text()}"
            time.sleep(pause)
            pause = min(1.2 * pause, 0.05)
        texts = (self.base.with_suffix(f".{name}").read_bytes().decode("utf-8", "replace") for name in ("out", "err"))
        return Done(int(self.base.with_suffix(".code").read_text()), *texts)


class Commands:
    """Starts a program with arguments, an environment of its own and standard input from a file.

    Args:
        folder: where its processes work, and what they say is kept.
        program: the module whose ``main`` they run: one of `PRELOADED`.
        environment: that all of them have.
    """

    def __init__(self, folder: Path, program: str = "hdrgan.cli", **environment: str):
        self._folder, self._count = folder, 0
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self._server = subprocess.Popen([sys.executable, __file__, program], env=os.environ | environment, **pipes)
        assert self._server.stdout.readline() == "ready\n"

    def start(self, *arguments: object, stdin: bytes = b"", cwd: Path | None = None, **environment: str) -> Running:
        self._count += 1
        base = self._folder / str(self._count)
        base.with_suffix(".in").write_bytes(stdin)
        for name in ("out", "err"):
            base.with_suffix(f".{name}").touch()
        job = {"arguments": [os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments]}
        job |= {"base": str(base), "cwd": str(cwd or self._folder), "environment": environment}
        self._server.stdin.write(json.dumps(job) + "\n")
        return Running(int(self._server.stdout.readline()), base)

    def __call__(self, *arguments: object, **options) -> Done:
        return self.start(*arguments, **options).wait()

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait(600)


def _serve(program: str) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main = importlib.import_module(program).main
    for name in PRELOADED[program]:
        importlib.import_module(name)
    print("ready", flush=True)  # noqa: T201  # this is how it talks
    for line in sys.stdin:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        told, tell = os.pipe()
        if os.fork() == 0:
            os.close(told)
            _watch(json.loads(line), tell, main)
        os.close(tell)
        with os.fdopen(told) as source:
            print(source.readline().strip(), flush=True)  # noqa: T201


def _watch(job: dict, tell: int, main: Callable[[], int | None]) -> None:
    """Fork the command, say its number, and write its code when it has ended."""
    base = Path(job["base"])
    pid = os.fork()
    if pid == 0:
        os.close(tell)
        os.setsid()
        for number, suffix, flags in ((0, ".in", os.O_RDONLY), (1, ".out", os.O_WRONLY), (2, ".err", os.O_WRONLY)):
            os.dup2(os.open(base.with_suffix(suffix), flags | (os.O_CREAT if number else 0), 0o644), number)
        os.environ.update(job["environment"])
        os.chdir(job["cwd"])
        sys.argv = ["hdrgan", *job["arguments"]]
        try:
            code = main() or 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(bool(error.code))
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        atexit._run_exitfuncs()  # as where Python ends: it ends what the command started
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    os.write(tell, f"{pid}\n".encode())
    os.close(tell)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    part = base.with_suffix(".part")
    part.write_text(str(code))
    part.rename(base.with_suffix(".code"))
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
