"""Show the doctests of a docstring as code; outside of an "Examples" section, markdown takes >>> for a quotation."""

import re

import griffe

_DOCTEST = re.compile(r"^>>> .*(?:\n(?!\s*$).+)*", re.M)


class Doctests(griffe.Extension):
    """Fence every doctest."""

    def on_instance(self, *, obj, **_):
        """Called for each module, class, function and attribute when it is read."""
        if obj.docstring:
            obj.docstring.value = _DOCTEST.sub(_fenced, obj.docstring.value)


def _fenced(match):
    code = re.sub(r" *# doctest: .*$", "", match[0], flags=re.M)
    return f"```pycon\n{code}\n```"
