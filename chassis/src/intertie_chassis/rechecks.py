"""Callers of open streams, asked for again each second: a stream ends soon after its caller is believed no longer."""

import asyncio
from collections.abc import Callable
from typing import Any

from intertie_chassis.errors import IntertieError, Unauthenticated

_EVERY = 1.0


class Rechecks:
    """The streams of one server. It costs a timer while there are any."""

    def __init__(self) -> None:
        self._checks: dict[asyncio.Task[Any], Callable[[], object]] = {}
        self._refusals: dict[asyncio.Task[Any], Unauthenticated] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, check: Callable[[], object]) -> None:
        """Asks `check` again as long as the present task runs; cancels the task when it raises Unauthenticated."""
        task = asyncio.current_task()
        if task is None:
            return
        self._checks[task] = check
        task.add_done_callback(self._forget)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._recheck)

    def take_refusal(self) -> Unauthenticated | None:
        """Why the present task was cancelled, if it was for its caller's sake; then it is watched no longer."""
        task = asyncio.current_task()
        refusal = self._refusals.get(task) if task is not None else None
        if task is not None and refusal is not None:
            self._forget(task)
        return refusal

    def _recheck(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._recheck) if self._checks else None
        for task, check in list(self._checks.items()):
            try:
                check()
            except Unauthenticated as refusal:
                self._refusals[task] = refusal
                task.cancel()
            except IntertieError:
                continue  # nobody can be asked for at this moment

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._checks.pop(task, None)
        self._refusals.pop(task, None)
