"""Hooks of the documentation site: pages that live at the repository's root, and its address from pyproject.toml."""

import re
import tomllib
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}


def on_config(config):
    """Take the repository's address from the one place where it is set."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        config.repo_url = tomllib.load(file)["project"]["urls"]["Repository"]
    config.repo_name = config.site_name
    config.edit_uri = ""
    return config


def on_files(files, config):
    """Add the pages of the repository's root to those of docs/."""
    for name, page in PAGES.items():
        text = re.sub(r"\A---\n.*?\n---\n", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.S)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead links to files that are not part of the site to the repository."""
    above = ROOT if page.file.src_uri in PAGES.values() else ROOT / "docs" / Path(page.file.src_uri).parent

    def target(match):
        path, anchor = match[1], match[2] or ""
        file = (above / path).resolve()
        if not file.exists():
            return match[0]  # mkdocs reports it
        inside = file.relative_to(ROOT).as_posix()
        uri = PAGES.get(inside, inside.removeprefix("docs/"))
        if inside in PAGES or (inside.startswith("docs/") and files.get_file_from_path(uri)):
            depth = page.file.src_uri.count("/")
            return f"]({'../' * depth}{uri}{anchor})"
        return f"]({config.repo_url}/blob/main/{inside}{anchor})"

    return re.sub(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)", target, markdown)
