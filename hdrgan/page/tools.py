"""What language models are answered by the page's tools."""

from __future__ import annotations

import asyncio
from typing import Any


async def _answers(self: object, job: Any) -> list[Any]:
    result = await asyncio.to_thread(job.result)
    return list(result) if isinstance(result, tuple) else [result]


def answer_one_by_one() -> None:
    """Let each answer of a tool be content of its own, so that a picture arrives as a picture.

    Gradio 6.31 does so only for callers that ask for progress; for others all answers become one text.
    """
    from gradio.mcp import GradioMCPServer  # only where tools are offered: it needs a package of its own

    GradioMCPServer._execute_tool_without_progress = _answers  # type: ignore[method-assign]
