"""What language models are answered by the page's tools, and what programs are told of their arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any

from gradio.utils import get_function_description


async def _answers(self: object, job: Any) -> list[Any]:
    result = await asyncio.to_thread(job.result)
    return list(result) if isinstance(result, tuple) else [result]


def answer_one_by_one() -> None:
    """Let each answer of a tool be content of its own, so that a picture arrives as a picture.

    Gradio 6.31 does so only for callers that ask for progress; for others all answers become one text.
    """
    from gradio.mcp import GradioMCPServer  # only where tools are offered: it needs a package of its own

    GradioMCPServer._execute_tool_without_progress = _answers  # type: ignore[method-assign]


def described(api_info: Callable[..., Any], functions: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Let what programs are told of each argument hold its description; Gradio tells it to language models alone.

    Args:
        api_info: Gradio's own answer to programs that ask what there is.
        functions: what is offered, by its address.
    """

    @wraps(api_info)
    def told(*arguments: Any, **named: Any) -> Any:
        info = api_info(*arguments, **named)
        for name in functions.keys() & info["named_endpoints"].keys():
            words = get_function_description(functions[name])[1]
            for parameter in info["named_endpoints"][name]["parameters"]:
                parameter["python_type"]["description"] = words[parameter["parameter_name"]]
        return info

    return told
