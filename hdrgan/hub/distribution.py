"""What of the library is published: the files of the package and of the project, and a wheel made of them.

Only what pyproject.toml lists is ever taken. Other files of a checkout, or beside an installed package, a ``.env``,
a photo or weights of one's own, stay where they are.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from hdrgan.models.finding import project_file
from hdrgan.version import __version__

_PACKAGE = Path(__file__).resolve().parent.parent
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal content, equal wheel

WHEEL_NAME = f"hdrgan-{__version__}-py3-none-any.whl"


@cache
def _project() -> dict[str, Any]:
    return tomllib.loads(project_file("pyproject.toml").read_text(encoding="utf-8"))


def package_files() -> dict[str, Path]:
    """Modules and data of the package by their names in a release, such as ``hdrgan/light/merge.py``."""
    patterns = _project()["tool"]["setuptools"]["package-data"]["hdrgan"]
    found = {path for pattern in ("**/*.py", *patterns) for path in _PACKAGE.glob(pattern) if path.is_file()}
    files = {}
    for path in sorted(found):
        inside = path.relative_to(_PACKAGE)
        if inside.parts[0] == "project" or any(part.startswith((".", "__pycache__")) for part in inside.parts):
            continue
        files[f"hdrgan/{inside.as_posix()}"] = path
    return files


def project_files() -> dict[str, Path]:
    """Files of the top level that the library reads, by their names there, such as ``examples/sunset.jpg``."""
    home = project_file("pyproject.toml").parent
    names = sorted(_project()["tool"]["hdrgan"]["project-files"])
    return {name: home / name for name in names if (home / name).is_file()}  # a Space has not all of them


@cache
def build_wheel() -> bytes:
    """A wheel of the library as it is here, for ``pip install`` from an address; it takes no build tools.

    A source tree on the Hub cannot be installed everywhere: its larger files are pointers for whoever has no git-lfs.
    """
    files = package_files() | {f"hdrgan/project/{name}": path for name, path in project_files().items()}
    contents = {name: path.read_bytes() for name, path in files.items()}
    about = f"hdrgan-{__version__}.dist-info"
    contents |= {
        f"{about}/METADATA": _metadata().encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hdrgan\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": _entry_points().encode(),
        f"{about}/licenses/LICENSE": project_file("LICENSE").read_bytes(),
    }
    record = [f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in contents.items()]
    contents[f"{about}/RECORD"] = "".join([*record, f"{about}/RECORD,,\n"]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _metadata() -> str:
    project = _project()["project"]
    lines = ["Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {__version__}"]
    lines += [f"Summary: {project['description']}", f"License-Expression: {project['license']}"]
    lines += ["License-File: LICENSE", f"Requires-Python: {project['requires-python']}"]
    lines += [f"Classifier: {name}" for name in project["classifiers"]]
    lines += [f"Requires-Dist: {Requirement(text)}" for text in project["dependencies"]]
    for extra, texts in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {Requirement(text)}; extra == "{extra}"' for text in texts]
    return "\n".join([*lines, ""])


def _entry_points() -> str:
    scripts = _project()["project"]["scripts"]
    return "".join(["[console_scripts]\n", *(f"{name} = {target}\n" for name, target in scripts.items())])
