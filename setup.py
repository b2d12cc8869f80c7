"""Put the files of the top level that the library reads into the package that is built, as ``hdrgan/project``.

In a checkout, and where it is installed editable, they are read where they are; see `hdrgan.models.finding`.
"""

import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

with open("pyproject.toml", "rb") as project:
    PROJECT_FILES = tomllib.load(project)["tool"]["hdrgan"]["project-files"]


class BuildWithProjectFiles(build_py):
    """Build the package, and copy what pyproject.toml lists beside its modules."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for source, target in self._project_files():
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))

    def get_outputs(self, *arguments, **options):
        return super().get_outputs(*arguments, **options) + [str(target) for _, target in self._project_files()]

    def get_source_files(self):
        return super().get_source_files() + [str(source) for source, _ in self._project_files()]

    def _project_files(self):
        home = Path(self.build_lib) / "hdrgan" / "project"
        return [(Path(name), home / name) for name in PROJECT_FILES if Path(name).is_file()]  # a Space has not all


setup(cmdclass={"build_py": BuildWithProjectFiles})
