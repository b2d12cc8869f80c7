"""Several photos in one archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hdrgan.files.photo import safe_stem
from hdrgan.result import Result

NAME = "hdrgan_photos.zip"


class Archive:
    """A zip that grows by the exposures and the finished picture of one photo after the other, all as JPEG.

    Args:
        folder: takes the archive, and the files of one photo until they are in it.

    Attributes:
        failed: what was wrong, by the name of a photo; goes into the archive as ``failed.txt``.
        count: photos that are in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed: dict[str, str] = {}
        self.count = 0
        self._names: set[str] = set()
        self._zip = zipfile.ZipFile(folder / NAME, "w", zipfile.ZIP_STORED)

    def name_for(self, file_name: str) -> str:
        """What the files of a photo begin with: two photos of one name are told apart by a number."""
        stem = name = safe_stem(file_name)
        number = 1
        while name.lower() in self._names:
            number += 1
            name = f"{stem}_{number}"
        self._names.add(name.lower())
        return name

    def add(self, result: Result) -> None:
        """Put one photo's files in."""
        inside = self.folder / "inside"
        for path in result.save(inside, format="jpg", hdr=("finished",)):
            self._zip.write(path, path.name)
            path.unlink()
        self.count += 1

    def close(self) -> Path:
        """End the archive; where it is."""
        if self.failed:
            lines = "".join(f"{name}: {says}\n" for name, says in self.failed.items())
            self._zip.writestr("failed.txt", lines)
        self._zip.close()
        return self.folder / NAME
