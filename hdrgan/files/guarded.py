"""Decode untrusted photos in a separate process with a limit on time and memory.

`load_photo` refuses what it can recognise as hostile, but the libraries behind it are written in C, and a flaw
in one of them crashes the process. A server, and a batch of many photos, decode in a worker process: one that crashes,
hangs or takes too much memory is killed and replaced, and one photo is refused in a sentence. A worker is started once
and kept; it imports no torch, so that it starts in a fraction of a second and stays small.

Only JSON and raw pixels come back: a worker that was taken over cannot run code in its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from hdrgan.files.codec_logs import silence_codecs
from hdrgan.files.photo import DEFAULT, Photo, PhotoError, PhotoLimits, load_photo, safe_stem
from hdrgan.files.transport import pack_photo, unpack_photo
from hdrgan.light.cancellation import check_cancelled, token_in_force

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("<Q")
_LONGEST_REPLY = 1 << 16
_MOST_PIXEL_BYTES = 6 + 12 + 2 + 6 + 6  # of a pixel: picture, light, opacity, gain map, wide colours
_PIPE_SIZE = 1 << 20  # Linux gives 64 KB unasked, which costs a change of process for every 64 KB of pixels
_READY = b"+"  # what a worker says first
DECODE_SECONDS = 10
"""That opening a photo may take where the page's settings say nothing else."""

_START_S = 60.0  # that a worker may take to start
_LOOK_S = 0.05  # between two looks whether a photo is still wanted
_REQUESTS_PER_WORKER = 200  # then a fresh one, so that what libraries leak does not pile up
_START = "import sys; sys.path.insert(0, sys.argv[1]); from hdrgan.files.guarded import serve; serve()"


def load_photo_guarded(
    source: str | os.PathLike[str] | bytes,
    *,
    timeout_s: float = DECODE_SECONDS,
    memory_mb: int = 2048,
    limits: PhotoLimits = DEFAULT,
    gain_map: bool = True,
    scenes: bool = False,
    keep: int = 2,
) -> Photo:
    """Open a photo as `load_photo` does, in a worker process, which ends at once when the work is cancelled.

    Args:
        source: a path, or the bytes of a file.
        timeout_s: seconds after which the worker is killed.
        memory_mb: megabytes that the worker may take for this photo; 100 megapixels need about 1,000 (enforced on
            Linux and other Unix systems).
        limits, gain_map, scenes: as for `load_photo`.
        keep: workers that are kept for the next photos, at most; more are ended when they are done.

    Raises:
        PhotoError: for every reason that `load_photo` has, and when the time or memory is used up or a decoder crashes.
        CancelledError: the token that is in force was set meanwhile (`hdrgan.light.cancellation`).
    """
    try:
        worker = _take(memory_mb)
    except OSError as error:
        log.error("no decoding worker can be started: %s", error)
        raise PhotoError("There is no room to open a photo right now; try again in a moment.") from error
    try:
        photo = worker.load(source, timeout_s, limits, {"gain_map": gain_map, "scenes": scenes})
    except PhotoError:
        _give_back(worker, keep)
        raise
    except BaseException:
        worker.close()  # an interrupted exchange leaves half a reply in the pipe
        _working.discard(worker)
        raise
    _give_back(worker, keep)
    # A worker that was taken over must not choose what files are called, nor how the photo is turned.
    if photo.jpeg_orientation not in range(1, 9):
        raise PhotoError("The decoder crashed on this file; save it again as JPEG or PNG.")
    given = isinstance(source, (bytes, bytearray, memoryview))
    return replace(photo, name="photo" if given else safe_stem(os.fspath(source)))  # type: ignore[arg-type]


class _Worker:
    """A process that loads one photo at a time."""

    def __init__(self, memory_mb: int) -> None:
        self.memory_mb = memory_mb
        self.requests = 0
        self.alive = True
        self._is_ready = False
        package_home = str(Path(__file__).resolve().parents[2])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, package_home, str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders log every hostile file in their own words
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C is for its parent, which ends workers in order
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe_in, self._pipe_out = self._process.stdin, self._process.stdout
        _widen_pipe(self._pipe_out)

    def load(
        self,
        source: str | os.PathLike[str] | bytes,
        timeout_s: float,
        limits: PhotoLimits,
        options: dict[str, bool],
    ) -> Photo:
        self.requests += 1
        given = isinstance(source, (bytes, bytearray, memoryview))
        if given:
            limits.check_bytes(len(source))  # type: ignore[arg-type]
        request = {"path": None if given else os.fspath(source), "limits": asdict(limits), "options": options}
        # The time of a photo starts when its worker is there: starting one may take seconds on a busy machine.
        watch = _Watch(self._process, timeout_s if self._is_ready else _START_S)
        try:
            with watch:
                if not self._is_ready:
                    _read_exactly(self._pipe_out, len(_READY))
                    self._is_ready = True
                    watch.allow(timeout_s)
                _send(self._pipe_in, json.dumps(request).encode(), source if given else b"")  # type: ignore[arg-type]
                photo = _receive_photo(self._pipe_out, limits)
            if watch.killed:  # after its last word
                self.close()
            return photo
        except (OSError, EOFError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)  # who ended it is known once it has ended
            by_system = self._process.returncode == -9
            self.close()
            check_cancelled()
            if watch.expired:
                raise PhotoError(
                    f"This photo took longer than {timeout_s:g} seconds to open; save it again as JPEG or PNG."
                ) from error
            log.warning("a decoding worker ended with status %s", self._process.returncode)
            if by_system:  # for want of memory, as a rule: nothing is known against the file
                raise PhotoError("The system ended the decoder of this photo; try again in a moment.") from error
            raise PhotoError("The decoder crashed on this file; save it again as JPEG or PNG.") from error

    def kill(self) -> None:
        """End the process, while another thread waits for its answer."""
        self._process.kill()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.alive = False
        self._process.kill()
        for pipe in (self._pipe_in, self._pipe_out):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None


class _Watch(threading.Thread):
    """Kills a process when its time is up, or when the work of the thread that waits for it is cancelled."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        super().__init__(daemon=True)
        self.expired = self.killed = False
        self._process, self._token = process, token_in_force()
        self._over, self._ending = threading.Event(), threading.Lock()
        self.allow(seconds)

    def allow(self, seconds: float) -> None:
        """Give it so many seconds from now."""
        self._end = time.monotonic() + seconds

    def run(self) -> None:
        while not self._over.wait(_LOOK_S):
            cancelled = self._token is not None and self._token.cancelled
            if cancelled or time.monotonic() > self._end:
                with self._ending:  # never a process that works on somebody else's photo by now
                    if not self._over.is_set():
                        self.expired, self.killed = not cancelled, True
                        self._process.kill()
                return

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        with self._ending:
            self._over.set()


_lock = threading.Lock()
_idle: list[_Worker] = []
_working: set[_Worker] = set()
_owner = os.getpid()


def _take(memory_mb: int) -> _Worker:
    global _owner
    with _lock:
        if _owner != os.getpid():  # after a fork the pipes belong to the parent
            _idle.clear()
            _working.clear()
            _owner = os.getpid()
        for worker in list(_idle):
            if worker.has_ended:  # the system may have ended it while it waited
                _idle.remove(worker)
                worker.close()
            elif worker.memory_mb == memory_mb:
                _idle.remove(worker)
                _working.add(worker)
                return worker
    worker = _Worker(memory_mb)
    _working.add(worker)
    return worker


def _give_back(worker: _Worker, keep: int) -> None:
    _working.discard(worker)
    if not worker.alive:
        return
    with _lock:
        if worker.requests < _REQUESTS_PER_WORKER and len(_idle) < keep:
            _idle.append(worker)
            return
    worker.close()


@atexit.register
def close_decoders() -> None:
    """End the decoders of this process, also those at work."""
    with _lock:
        workers, working = (list(_idle), list(_working)) if _owner == os.getpid() else ([], [])
        _idle.clear()
    for worker in workers:
        worker.close()
    for worker in working:  # or they would work on after the end of their owner
        worker.kill()


# What goes through the pipes: a JSON object led by its length, then the raw bytes that it announces.


def _send(pipe: IO[bytes], head: bytes, *bodies: bytes | memoryview) -> None:
    pipe.write(_LENGTH.pack(len(head)) + head)
    for body in bodies:
        pipe.write(_LENGTH.pack(len(body)))
        pipe.write(body)
    pipe.flush()


def _widen_pipe(pipe: IO[bytes]) -> None:
    """Ask for a larger pipe; systems that have none, and accounts that used up theirs, keep the usual one."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def _read_exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _read_block(pipe: IO[bytes], most: int) -> bytes:
    length = _LENGTH.unpack(_read_exactly(pipe, _LENGTH.size))[0]
    if length > most:
        raise EOFError
    return _read_exactly(pipe, length)


def _receive_photo(pipe: IO[bytes], limits: PhotoLimits) -> Photo:
    head: dict[str, Any] = json.loads(_read_block(pipe, _LONGEST_REPLY))
    if "refused" in head:
        raise PhotoError(head["refused"])
    try:
        return unpack_photo(
            head,
            partial(_fill, pipe),
            lambda: _read_block(pipe, 1 << 31),
            most_bytes=_MOST_PIXEL_BYTES * int(limits.megapixels * 1e6) + (1 << 20),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EOFError("what a worker sent is no photo") from error


def _fill(pipe: IO[bytes], whole: memoryview) -> None:
    """Read the next part straight into an array."""
    length = _LENGTH.unpack(_read_exactly(pipe, _LENGTH.size))[0]
    if length != len(whole) or pipe.readinto(whole) != length:  # type: ignore[attr-defined]
        raise EOFError


def serve() -> None:
    """Answer requests on standard input until it closes: the whole life of a worker."""
    pipe_in, pipe_out = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing that a library prints may end up between two replies
    silence_codecs()
    _confine(int(sys.argv[2]))
    pipe_out.write(_READY)
    pipe_out.flush()
    while True:
        try:
            request = json.loads(_read_block(pipe_in, 1 << 20))
            given = _read_block(pipe_in, 1 << 40)
        except EOFError:
            return
        try:
            source = given if request["path"] is None else request["path"]
            photo = load_photo(source, limits=PhotoLimits(**request["limits"]), **request["options"])
        except PhotoError as error:
            _send(pipe_out, json.dumps({"refused": str(error)}).encode())
            continue
        finally:
            del given
        head, parts = pack_photo(photo)
        _send(pipe_out, json.dumps(head).encode(), *parts)
        del photo, parts, source


def _confine(memory_mb: int) -> None:
    """Bound the memory of this process, and take away its right to write files and dump core."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the time limit holds there as well
        return
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (memory_mb << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (0, 0))
