"""The house: which folder may import which, and what importing the package must not cost."""

import ast
import json
import re
import subprocess
import sys
from functools import cache

import pytest
from new_features import BEFORE, FEWER, NEW_FEATURES

# Each may import what stands in the rows above its own, and its own folder; `__init__` names the public names of all.
ORDER = [
    "version",
    "light",
    "files",
    "models data",
    "result",
    "pipeline",
    "evaluation page batch",
    "hub training",
    "cli",
]
ORDER += ["__init__", "__main__"]
ROW = {part: row for row, parts in enumerate(ORDER) for part in parts.split()}
ONLY_IN = {
    "gradio": ("hdrgan/page/",),
    "click": ("hdrgan/cli/",),
    "accelerate": ("train_accelerate.py",),
}


DECODERS = set("exr gif_bmp_webp heif isobmff jpeg kinds png radiance raw rgbe scene tiff".split())
"""Modules of ``hdrgan/files/`` that take a stranger's bytes apart."""

LONG = {"train_accelerate.py"}  # the loop reads best whole


def modules(root):
    """Every module that is shipped."""
    return [*sorted((root / "hdrgan").rglob("*.py")), root / "app.py", root / "train_accelerate.py"]


@cache
def parsed(path):
    """The syntax tree of a file that does not change while the tests run."""
    return ast.parse(path.read_text())


def imports_of(path):
    """Modules that a file imports, wherever in the file; ``from hdrgan import part`` counts as ``hdrgan.part``."""
    for node in ast.walk(ast.parse(path.read_text())):
        assert getattr(node, "level", 0) == 0, f"{path} imports by a relative name"
        yield from imports_in(node)


def imports_in(node):
    """The same of one statement, and what may be a module in a folder of the package."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.module != "hdrgan":
            yield node.module
        if node.module in ("hdrgan", "hdrgan.files"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward(package):
    """Imports of a package that do not go down; a file that stands in no row is an AssertionError."""
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).parts[0].removesuffix(".py")
        assert part in ROW, f"{path.relative_to(package)} stands in no row of ORDER"
        for name in imports_of(path):
            top, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if top == "hdrgan" and other != part and ROW.get(other, ROW["__init__"]) >= ROW[part]:
                yield f"{path.relative_to(package)} imports {name}"


def test_imports_only_go_down(root):
    assert not list(upward(root / "hdrgan"))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("light/tonemap.py", "from hdrgan.files.photo import Photo"),
        ("files/photo.py", "from hdrgan import models"),
        ("data/camera.py", "import hdrgan.models.ein"),
        ("page/guard.py", "def late():\n    from hdrgan import Photo"),
        ("hub/card.py", "import hdrgan"),
        ("pipeline.py", "from hdrgan.evaluation import metrics"),
        ("page/main.py", "from hdrgan.evaluation import report"),
    ],
)
def test_an_import_that_goes_up_is_seen(file, line, tmp_path):
    for name in ("pipeline.py", "models/ein.py", file):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("from hdrgan.light import merge\n")
    assert not list(upward(tmp_path))
    (tmp_path / file).write_text(line + "\n")
    assert len(list(upward(tmp_path))) == 1


def test_a_file_that_has_no_place_is_an_error(tmp_path):
    (tmp_path / "utils.py").write_text("")
    with pytest.raises(AssertionError, match="stands in no row"):
        list(upward(tmp_path))


def test_what_the_package_holds_lives_in_folders(root):
    assert len(list((root / "hdrgan").glob("*.py"))) <= 6


def test_no_module_is_too_long(root):
    lines = {path.relative_to(root).as_posix(): len(path.read_text().splitlines()) for path in modules(root)}
    assert not {name: count for name, count in lines.items() if count > 450 and name not in LONG}
    assert all(lines[name] > 450 for name in LONG), "it is short enough now: take it out of LONG"


def lines_of(root, place):
    """Lines of a place of `NEW_FEATURES`."""
    place, _, before = place.partition("-")
    module, _, name = place.partition(":")
    path = root / module if (root / module).exists() else root / "hdrgan" / module
    if path.is_dir():
        return sum(len(file.read_text().splitlines()) for file in path.rglob("*.py"))
    text = path.read_text()
    if not name:
        return max(0, len(text.splitlines()) - int(before or 0))
    inside = parsed(path).body
    for part in name.split("."):
        node = next((node for node in inside if part in names_of(node)), None)
        assert node is not None, f"{place}: there is no such function, class or constant any more"
        inside = getattr(node, "body", [])
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return max(0, node.end_lineno - first + 1 - int(before or 0))


def names_of(node):
    """What a statement defines: a function, a class, or constants."""
    targets = [*getattr(node, "targets", []), getattr(node, "target", None)]
    return {getattr(node, "name", None)} | {target.id for target in targets if isinstance(target, ast.Name)}


def imported_lines(root, new):
    """Lines with which modules that are not new import those that are."""
    total = 0
    for path in modules(root):
        if not is_new(path, root, new):
            for node in ast.walk(parsed(path)):
                home = getattr(node, "module", None) or ""
                if isinstance(node, ast.ImportFrom) and is_new(root / (home.replace(".", "/") + ".py"), root, new):
                    total += node.end_lineno - node.lineno + 1
    return total


def is_new(path, root, new):
    """Whether a file is a module, or in a folder, that is named as a whole."""
    name = path.relative_to(root).as_posix().removeprefix("hdrgan/")
    return name in new or any(name.startswith(place) for place in new if place.endswith("/"))


def test_what_could_be_done_before_takes_fewer_lines(root):
    places = [place for places in NEW_FEATURES.values() for place in places]
    assert len(set(places)) == len(places)
    whole = {place.partition("-")[0] for place in places if ":" not in place}
    assert not [place for place in places if ":" in place and place.partition(":")[0] in whole], "counted twice"
    named = {place.partition("-")[0] for place in places}
    assert not [place for place in named if ":" in place and place.rpartition(".")[0] in named], "counted twice"
    everything = sum(len(path.read_text().splitlines()) for path in modules(root))
    new = sum(lines_of(root, place) for place in places) + imported_lines(root, whole)
    same_features = everything - new
    assert same_features <= BEFORE - FEWER, f"{same_features} lines for what took {BEFORE}"


def test_the_srgb_curve_stands_in_one_place_for_arrays_and_in_one_for_tensors(root):
    copies = {path.relative_to(root).as_posix() for path in modules(root) if "0.04045" in path.read_text()}
    assert copies == {"hdrgan/light/srgb.py", "hdrgan/light/radiometry.py"}


def test_the_default_evs_stand_in_one_place(root):
    written = re.compile(r"-4(\.0)?, ?-2(\.0)?, ?0(\.0)?, ?2(\.0)?, ?4(\.0)?\)")
    copies = {path.relative_to(root).as_posix() for path in modules(root) if written.search(path.read_text())}
    assert copies == {"hdrgan/light/evs.py"}


def loggers_in(tree):
    """The loggers of a module, by what they are called there and how they are made."""
    for node in tree.body:
        for call in ast.walk(node) if isinstance(node, ast.Assign | ast.AnnAssign) else ():
            if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in ("getLogger", "Logger"):
                yield *sorted(names_of(node) - {None}), ast.unparse(call)


def test_a_logger_is_called_log_and_bears_the_name_of_its_module(root):
    found = {path.relative_to(root).as_posix(): list(loggers_in(parsed(path))) for path in modules(root)}
    assert not {n: made for n, made in found.items() if made not in ([], [("log", "logging.getLogger(__name__)")])}
    assert len([made for made in found.values() if made]) > 10
    for odd in ("logger = logging.getLogger(__name__)", "log = getLogger('hdrgan')", "log: Any = logging.getLogger()"):
        assert list(loggers_in(ast.parse(odd))) != [("log", "logging.getLogger(__name__)")]


def test_each_door_alone_imports_its_framework(root):
    wrong = [
        f"{place} imports {package}"
        for path in modules(root)
        for package in {name.split(".")[0] for name in imports_of(path)} & set(ONLY_IN)
        if not (place := path.relative_to(root).as_posix()).startswith(ONLY_IN[package])
    ]
    assert not wrong


@pytest.mark.parametrize("heavy", ["torch", "gradio", "accelerate", "numpy"])
def test_importing_the_package_and_asking_for_help_imports_nothing_heavy(heavy):
    code = f"import hdrgan, hdrgan.cli, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def decoders_in(path):
    """What a module names that decodes in its own process: the name under which it can be called, and the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        called = {getattr(node, "id", None), getattr(node, "attr", None)}
        if isinstance(node, ast.Import | ast.ImportFrom):
            called = {alias.name.rpartition(".")[2] for alias in node.names}
        places = set(imports_in(node)) & {f"hdrgan.files.{name}" for name in DECODERS}
        for name in {name for name in called if name in ("load_photo", "load_radiance")} | places:
            yield f"{path.name}:{node.lineno} {name}"
        if isinstance(node, ast.Attribute) and node.attr.endswith("_decode"):
            yield f"{path.name}:{node.lineno} {node.attr}"


def test_the_page_decodes_photos_in_the_guarded_process_alone(root):
    page = sorted((root / "hdrgan/page").rglob("*.py"))
    assert any("load_photo_guarded(" in path.read_text() or "load_photo_guarded," in path.read_text() for path in page)
    assert not [found for path in [*page, root / "app.py"] for found in decoders_in(path)]


@pytest.mark.parametrize(
    "line",
    [
        "from hdrgan.files.photo import load_photo",
        "from hdrgan.files.photo import load_photo as open_it",
        "from hdrgan.files import photo\nphoto.load_photo(path)",
        "import hdrgan\nread = partial(hdrgan.load_photo, path)",
        "from hdrgan import load_radiance",
        "from hdrgan.files import jpeg",
        "from hdrgan.files.raw import decode",
        "import hdrgan.files.heif",
        "imagecodecs.jpeg8_decode(data)",
    ],
)
def test_a_decoder_within_the_page_is_seen(line, tmp_path):
    (tmp_path / "part.py").write_text("from hdrgan.files.guarded import load_photo_guarded\nload_photo_guarded(path)\n")
    assert not list(decoders_in(tmp_path / "part.py"))
    (tmp_path / "part.py").write_text(f"{line}\n")
    assert list(decoders_in(tmp_path / "part.py"))


def test_public_names_are_there():
    import hdrgan

    for name in hdrgan.__all__:
        assert getattr(hdrgan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hdrgan.nonsense


@pytest.mark.slow
def test_importing_modules_changes_nothing_for_others(root):
    """Every module, where other packages that any of them imports have been imported before."""
    ours = [".".join(path.relative_to(root).with_suffix("").parts) for path in modules(root)]
    ours = [name.removesuffix(".__init__") for name in ours]
    theirs = {name for path in modules(root) for name in imports_of(path)}
    theirs = sorted(name for name in theirs if name.partition(".")[0] not in {"hdrgan", "spaces", *ours})
    code = """
import contextlib, importlib, json, logging, os, signal, sys, warnings
ours, theirs = json.loads(sys.argv[1])
for name in theirs:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
def state():
    levels = {name: logging.getLogger(name).level for name in ("imagecodecs", "hdrgan", "")}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    return dict(os.environ), list(warnings.filters), levels, handlers
before, changed, done = state(), [], 0
for name in ours:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert not error.name.startswith("hdrgan"), error  # one of another package, an extra
    else:
        done += 1
    if state() != before:
        changed.append(name)
        before = state()
print(json.dumps([changed, done]))
"""
    arguments = [sys.executable, "-c", code, json.dumps([ours, theirs])]
    ran = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, cwd=root)
    changed, done = json.loads(ran.stdout.splitlines()[-1])
    assert not changed
    assert done > 100
