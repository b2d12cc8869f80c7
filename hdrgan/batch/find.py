"""Which photos a command means: files, folders and lists; results of hdrgan itself are left out."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from hdrgan.batch.records import Record
from hdrgan.files.exif import SOFTWARE

SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .jps .mpo .png .webp .avif .gif .bmp .tif .tiff .heic .heif .hif".split())
RAW_SUFFIXES = frozenset(".dng .cr2 .cr3 .nef .nrw .arw .sr2 .raf .orf .rw2 .pef .srw".split())
"""Camera raw files, which are taken where rawpy (the extra ``hdrgan[raw]``) is installed."""
_OURS = re.compile(r"(_ev[+-][0-9.e+-]+\.(png|jpg|tiff)|_(ultrahdr|finished)\.jpg)$")  # as `hdrgan.result` names them


@dataclass(frozen=True, slots=True)
class InputPhoto:
    """A photo, and the folder that it was found in.

    Args:
        path: as the user would write it.
        root: the folder that was named, from whose inner folders results keep their structure; "" for a photo that was
            named itself.
    """

    path: str
    root: str = ""


@dataclass
class PhotoSearch:
    """The photos, and what was left out."""

    photos: list[InputPhoto] = field(default_factory=list)
    own: int = 0
    raw: int = 0
    others: Counter[str] = field(default_factory=Counter)
    folders_within: bool = False

    def left_out(self) -> list[str]:
        """What was left out of the photos, a line each."""
        lines = [f"left out: {self.own:,} results of hdrgan among the photos"] if self.own else []
        raw = f"left out: {self.raw:,} camera raw files, which need another package: pip install rawpy"
        return lines + [raw] * (self.raw > 0)

    def why_nothing(self, named: Sequence[str]) -> str:
        """One sentence for a search without photos."""
        place = ", ".join(named) or "the list"
        if self.own:
            return f"no photos in {place} but {self.own} that hdrgan itself wrote"
        if self.raw:
            return (
                f"no photos in {place} but {self.raw} camera raw files, which need another package: pip install rawpy"
            )
        if self.folders_within:
            return f"no photos in {place}; it holds folders, into which --recursive looks"
        if self.others:
            kinds = ", ".join(f"{count} {kind or 'without suffix'}" for kind, count in self.others.most_common(3))
            return f"no photos in {place}, only files of other kinds ({kinds}); name a photo itself to have it tried"
        return f"no photos in {place}"


def find_photos(named: Sequence[str], *, recursive: bool = False, listed: Sequence[str] = ()) -> PhotoSearch:
    """The photos that are named, those in the folders that are named, and those of a list; each once.

    Of what a folder or a list holds, every result of hdrgan is left out. A photo that was named by itself is meant:
    such a file is left out only where the record beside it says that a batch wrote it.

    Args:
        named: photos and folders.
        recursive: look into folders within folders.
        listed: more photos, as `read_list` gives them. Errors of one of them are reported when it is done.

    Raises:
        FileNotFoundError: something named is not there.
    """
    search, seen = PhotoSearch(), set[str]()

    def add(path: str, root: str, *, meant: bool = False) -> None:
        key = os.path.normpath(os.path.join(os.getcwd(), path))
        if key in seen:
            return
        seen.add(key)
        if is_own_result(path) and not (meant and not is_recorded(path)):
            search.own += 1
        else:
            search.photos.append(InputPhoto(path, root))

    for name in named:
        if os.path.isdir(name):
            for path in _photos_within(name, recursive, search):
                add(path, name)
        elif os.path.exists(name):
            add(name, "", meant=True)
        else:
            raise FileNotFoundError(f"{name} does not exist")
    for path in listed:
        add(path, "")
    return search


def read_list(source: str) -> list[str]:
    """The paths in a file, or in standard input for ``-``: one a line, or separated by zero bytes as ``find -print0``
    writes them.

    Raises:
        OSError: the file cannot be read.
    """
    if source == "-":
        standard: BinaryIO = sys.stdin.buffer
        data = standard.read()
    else:
        data = Path(source).read_bytes()
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def is_own_result(path: str) -> bool:
    """Whether a file is an exposure or an Ultra HDR picture that hdrgan wrote and that was not edited since."""
    if not _OURS.search(path) or not os.path.isfile(path):  # opening a pipe would wait for its writer
        return False
    try:
        with Image.open(path) as picture:
            return str(picture.getexif().get(SOFTWARE, "")).startswith("hdrgan")
    except Exception:  # no picture, or one that Pillow cannot read: the loader reports what is wrong
        return False


def is_recorded(path: str) -> bool:
    """Whether the record beside a file says that a batch wrote it, as it is now."""
    folder, file = os.path.split(path)
    name = _OURS.sub("", file)
    record = Record.read(Path(folder), name)
    if record is None:
        return False
    entry = record.files.get(file)
    return file in record.claimed or (entry is not None and entry["bytes"] == os.path.getsize(path))


def _photos_within(folder: str, recursive: bool, search: PhotoSearch) -> Iterator[str]:
    """Photos of a folder in order, hidden files and folders left out (``._x.jpg`` of macOS is no photo)."""
    inner = []
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith("."):
            continue
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.is_dir(follow_symlinks=False):
            inner.append(entry.path)
        elif suffix in SUFFIXES or (suffix in RAW_SUFFIXES and find_spec("rawpy") is not None):
            yield entry.path
        elif suffix in RAW_SUFFIXES:
            search.raw += 1
        else:
            search.others[suffix] += 1
    if recursive:
        for path in inner:
            yield from _photos_within(path, recursive, search)
    elif inner:
        search.folders_within = True
