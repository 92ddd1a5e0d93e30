"""Refused calls reach whoever keeps the audit log: soon, again when it was away, and the last ones at the end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue as Text

from intertie_chassis import denials as denials_module
from intertie_chassis import errors
from intertie_chassis.denials import UNKNOWN, Denial
from waiting import eventually


class Log:
    """Takes denials, unless it is away."""

    def __init__(self) -> None:
        self.taken: list[Denial] = []
        self.is_away = False

    async def __call__(self, denials: Sequence[Denial]) -> None:
        if self.is_away:
            raise errors.Unavailable
        self.taken += denials


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def told(new_echo: Callable[..., Any], log: Log, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A started server that tells the log."""
    monkeypatch.setattr(denials_module, "_PERIOD", 0.01)
    echo = new_echo()
    echo.server.tell_denials(log)
    echo.port = await echo.server.start()
    return echo


async def _refused(method: Any, **options: Any) -> None:
    with pytest.raises((errors.Unauthenticated, errors.PermissionDenied)):
        await method(Text(value="a"), **options)


async def test_who_what_why_and_whence(told: Any, log: Log) -> None:
    """No token; a role that may not; a path that is no method, which is not repeated."""
    channel = told.channel("module:events")
    await _refused(told.method("Operate", channel), metadata=[("x-request-id", "my-request-1")])
    with pytest.raises(Exception, match="token"):
        await told.method("Say", told.raw_channel())(Text(value="a"))
    with pytest.raises(Exception, match="token"):
        await told.raw_channel().unary_unary("/made.up/Secret-in-a-path")(b"")
    await eventually(lambda: len(log.taken) == 3)
    operate, say, made_up = log.taken
    assert operate.place.method.endswith("/Operate")
    assert (operate.place.status, operate.place.reason) == (403, "PERMISSION_DENIED")
    assert (operate.place.subject, operate.place.module, operate.place.peer) == ("tester", "events", "127.0.0.1")
    assert (say.place.status, say.place.subject) == (401, "")
    assert made_up.place.method == UNKNOWN


async def test_what_a_handler_refuses_counts_too(told: Any, log: Log) -> None:
    async def refuse(_request: Any, _context: Any) -> Any:
        raise errors.PermissionDenied("not this one: s3cret", reason="QUERY_NOT_PERMITTED")

    told.servicer.answer = refuse
    await _refused(told.method("Say"))
    await eventually(lambda: log.taken)
    (denial,) = log.taken
    assert denial.place.reason == "QUERY_NOT_PERMITTED"
    assert "s3cret" not in repr(denial)


async def test_other_faults_are_no_refusals(told: Any, log: Log) -> None:
    async def fail(_request: Any, _context: Any) -> Any:
        raise errors.InvalidArgument

    told.servicer.answer = fail
    with pytest.raises(errors.InvalidArgument):
        await told.method("Say")(Text(value="a"))
    await _refused(told.method("Operate"))
    await eventually(lambda: log.taken)
    assert [denial.place.status for denial in log.taken] == [403]


async def test_a_flood_is_two_entries(told: Any, log: Log) -> None:
    """The first at once, the others when the server stops, or the minute has passed."""
    operate = told.method("Operate")
    await _refused(operate)
    await eventually(lambda: log.taken)
    await asyncio.gather(*(_refused(operate) for _ in range(50)))
    await told.server.stop()
    assert sum(denial.count for denial in log.taken) == 51
    assert len(log.taken) <= 3  # a minute may have passed in between


async def test_a_log_that_is_away_is_told_later(told: Any, log: Log) -> None:
    log.is_away = True
    await _refused(told.method("Operate"))
    await eventually(lambda: told.server._guard.denials._waiting)
    log.is_away = False
    await eventually(lambda: log.taken)
    assert [denial.count for denial in log.taken] == [1]
