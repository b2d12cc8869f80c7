"""What is said in several papers of the repository is said the same in all of them."""

import re
import subprocess
import tomllib

from hdrgan import __version__


def test_version_is_the_same_in_all_papers(root):
    newest = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.M)[1]
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(), re.M)[1]
    assert {newest, cited} == {__version__}


def test_address_of_the_repository_is_set_in_one_place(root):
    with (root / "pyproject.toml").open("rb") as file:
        urls = tomllib.load(file)["project"]["urls"]
    address = urls["Repository"]
    assert all(url.startswith(address) for url in urls.values())
    for name in ("README.md", "CONTRIBUTING.md"):
        cloned = re.findall(r"git clone (\S+)", (root / name).read_text())
        assert cloned == [address], f"{name} does not clone the address of pyproject.toml"
    cited = re.search(r'^repository-code: "(.*)"$', (root / "CITATION.cff").read_text(), re.M)[1]
    assert cited == address
    linked = re.findall(r"https://github\.com/[^\"\s]+", (root / "hdrgan/page/look.py").read_text())
    assert linked == [f"{address}/blob/main/docs/formats.md"]
    assert (root / "docs/formats.md").is_file()


def test_before_a_commit_the_same_checks_run_as_in_ci(root):
    before = re.findall(r"entry: (.*)", (root / ".pre-commit-config.yaml").read_text())
    lane = (root / "tests/run").read_text()
    checks = [line.removesuffix(" .") for line in lane.splitlines() if line.startswith(("ruff", "mypy"))]
    assert before == [*checks, "bash tests/run quick"]


def test_every_folder_of_the_package_is_on_the_map(root):
    tracked = subprocess.run(["git", "ls-files", "hdrgan"], cwd=root, capture_output=True, text=True, check=True).stdout
    folders = {name.split("/")[1] for name in tracked.splitlines() if name.count("/") > 1}
    listed = set(re.findall(r"`hdrgan/(\w+)/` \|", (root / "CONTRIBUTING.md").read_text()))
    assert folders <= listed, "CONTRIBUTING.md, Where things are"


def test_actions_of_ci_are_pinned_by_commit(root):
    for workflow in (root / ".github/workflows").glob("*.yml"):
        for used in re.findall(r"uses: (\S+)", workflow.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), f"{workflow.name}: {used}"


def test_the_published_repository_is_named_as_it_is_spelled(root):
    for name in ("README.md", "model_card.md"):
        text = (root / name).read_text().replace("\\_", "_")
        assert "GAN_Based_Mutli-Exposure_Model" in text, name
        assert "Multi-Exposure_Model" not in text, name


def test_a_space_is_uploaded_and_not_pushed_with_git(root):
    """The Hub refuses weights and pictures that come through git without LFS."""
    said = "\n".join(page.read_text() for page in (root / "README.md", *(root / "docs").rglob("*.md")))
    assert "--repo-type space" in said
    assert "push this repository" not in said
    assert "git+https://huggingface.co" not in said
