"""Start a page in a process of its own, as somebody who has only the folder or only the wheel would."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Program:
    """``python app.py`` of a checkout, started and serving: its ``url``, its ``process``, and what it ``said``.

    Args:
        root: the checkout.
        temporary: its folder for temporary files.
        before: Python that its process runs first.
        settings: of its environment.
    """

    def __init__(self, root: Path, temporary: Path, before: str = "", **settings: str) -> None:
        # Two that start at once must not find the same port free.
        environ = os.environ | {"TMPDIR": str(temporary), "HDRGAN_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
        environ |= {"GRADIO_SERVER_PORT": str(free_port())} | settings
        for variable in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
            environ.pop(variable, None)  # the program itself must see to it
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{before}\nimport runpy; runpy.run_path('app.py', run_name='__main__')"]
            if before
            else [sys.executable, "app.py"],
            cwd=root,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            if "The page is at" in line:
                break
        else:
            raise AssertionError("app.py ended before it served the page:\n" + "".join(self.said))
        # The pipe is kept empty, or the program would wait for somebody to read it.
        threading.Thread(target=self.said.extend, args=(self.process.stderr,), daemon=True).start()
        self.url = re.search(r"http://\S+", self.said[-1])[0]

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def page(command: list[str], folder: Path, env: Mapping[str, str], seconds: float = 900) -> Iterator[str]:
    """Run a command in a folder until its page answers; yield the address, and stop it by its process id.

    Args:
        command: what starts the page.
        folder: where it runs; takes ``server.log``.
        env: its environment; the address is added.
        seconds: how long to wait for the first answer.
    """
    port = free_port()
    env = {**env, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    address = f"http://127.0.0.1:{port}/"
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        end = time.monotonic() + seconds
        while True:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, f"no answer in {seconds} s: {log.read_text()}"
            try:
                fetch(address)
                break
            except OSError:
                time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=120)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def fetch(address: str) -> str:
    """What a GET of the address answers."""
    with urllib.request.urlopen(address, timeout=120) as answer:
        return answer.read().decode()


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that leads to the checkout or to somebody's account."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HF_TOKEN", "HF_ENDPOINT")}
