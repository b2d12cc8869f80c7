"""How much disk an installation takes: the wheel into an empty environment by pip, with the size of what it brought.

    python -m benchmarks.install_size                              # the library
    python -m benchmarks.install_size --extra app --extra train
    python -m benchmarks.install_size --torch torch==2.8.0         # another torch, from the same registries

It needs pip's registries. Sizes are bytes on disk, as `du` counts them, with what pip compiles, and without the empty
environment itself. To show that it works, a small photo is put through `hdrgan generate` there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_LARGE = 4e6  # bytes from which a package has a line of its own


def disk(folder: Path) -> int:
    """Bytes on disk of everything below a folder, links not followed."""
    inodes = {}
    for path, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(os.path.join(path, name))
            # Windows has no blocks.
            inodes[stat.st_dev, stat.st_ino] = getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512
    return sum(inodes.values())


def packages(site: Path) -> dict[str, int]:
    """Bytes on disk of what lies side by side in ``site-packages``, libraries counted with their package."""
    found: dict[str, int] = {}
    for path in site.iterdir():
        name = path.name.split("-")[0].removesuffix(".libs").split(".")[0]
        size = disk(path) if path.is_dir() else path.lstat().st_blocks * 512
        found[name] = found.get(name, 0) + size
    return found


def text_of(sizes: dict[str, int], empty: dict[str, int], total: int) -> str:
    """A table of what was added, largest first."""
    added = {name: size - empty.get(name, 0) for name, size in sizes.items()}
    rows = sorted(((size, name) for name, size in added.items() if size >= _LARGE), reverse=True)
    lines = [f"{size / 1e6:8.1f} MB  {name}" for size, name in rows]
    others = total - sum(size for size, _ in rows)
    return "\n".join(
        [*lines, f"{others / 1e6:8.1f} MB  others", f"{total / 1e6:8.1f} MB  in all, {total / 2**30:.2f} GiB"]
    )


def main() -> None:
    """Install, measure, print, and generate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", default=[], help="of the wheel; may be given several times")
    parser.add_argument("--torch", default="torch", help="requirement, such as torch==2.13.0")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from hdrgan.hub.distribution import WHEEL_NAME, build_wheel

    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        wheel = home / WHEEL_NAME
        wheel.write_bytes(build_wheel())
        subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
        python = home / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        (site,) = (home / "venv").glob("**/site-packages")
        before, empty = disk(home / "venv"), packages(site)
        extras = f"[{','.join(args.extra)}]" if args.extra else ""
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"{wheel}{extras}", args.torch], check=True)
        total, sizes = disk(home / "venv") - before, packages(site)
        photo = ROOT / "examples" / "dandelions.jpg"
        command = [str(python), "-m", "hdrgan", "generate", str(photo), "-o", str(home / "out")]
        subprocess.run(command, cwd=home, check=True, stdout=subprocess.DEVNULL)
    print(text_of(sizes, empty, total))  # noqa: T201


if __name__ == "__main__":
    main()
