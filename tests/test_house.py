"""The house: who may import whom, and what importing the package must not cost."""

import ast
import subprocess
import sys

import pytest

FLOORS = {
    0: ["radiometry", "image_io", "hdr_io", "pretrained", "codecs", "guarded_decode", "parallel", "convolution"],
    1: ["models", "bracket", "tonemap", "tiling", "gain_map", "preview", "figures", "serving", "rendering"],
    2: ["viewer", "data", "losses", "ein_loss", "metrics", "report", "checkpoints"],
    3: ["pipeline", "evaluation", "validation", "hub", "convert", "export"],
    4: ["training"],
    5: ["cli", "__main__", "__init__"],
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
# What may be imported from a floor's own level: parts of one folder, and these.
SAME_FLOOR = {
    ("__main__", "cli"),
    ("hdr_io", "codecs"),
    ("image_io", "codecs"),
    ("image_io", "parallel"),
    ("guarded_decode", "image_io"),
}
ONLY_IN = {"gradio": {"app.py"}, "typer": {"cli.py"}, "accelerate": {"train_accelerate.py"}}


def imports_of(path):
    """Top-level packages and ``hdrgan`` parts that a file imports at run time, wherever in the file."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module == "hdrgan":
                yield from (f"hdrgan.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_imports_only_go_down(root):
    wrong = []
    for path in (root / "hdrgan").rglob("*.py"):
        part = path.relative_to(root / "hdrgan").parts[0].removesuffix(".py")
        assert part in FLOOR_OF, f"{path.name} has no floor yet: add it to FLOORS"
        if part == "__init__":
            continue  # lazy: names only
        for name in imports_of(path):
            if not name.startswith("hdrgan.") or name.split(".")[1] not in FLOOR_OF:
                continue
            other = name.split(".")[1]
            down = FLOOR_OF[other] < FLOOR_OF[part]
            together = part == other and part in ("data", "codecs", "models", "training") or (part, other) in SAME_FLOOR
            if not (down or together):
                wrong.append(f"{path.relative_to(root)} imports {name}")
    assert not wrong


def test_each_door_alone_imports_its_framework(root):
    wrong = [
        f"{path.relative_to(root)} imports {package}"
        for path in [*(root / "hdrgan").rglob("*.py"), root / "app.py", root / "train_accelerate.py"]
        for package in {name.split(".")[0] for name in imports_of(path)} & set(ONLY_IN)
        if path.name not in ONLY_IN[package]
    ]
    assert not wrong


@pytest.mark.parametrize("heavy", ["torch", "gradio", "accelerate", "numpy"])
def test_importing_the_package_and_asking_for_help_imports_nothing_heavy(heavy):
    code = f"import hdrgan, hdrgan.cli, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_there():
    import hdrgan

    for name in hdrgan.__all__:
        assert getattr(hdrgan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hdrgan.nonsense
