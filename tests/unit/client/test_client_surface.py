"""The two clients have the same methods, and call what modules may call, all of it and nothing else."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import intertie_client
from access_tables import promises
from intertie_client import AsyncClient, AsyncRun, Client, Run, operations
from intertie_client.cached_records import AsyncCachedRecords, CachedRecords
from intertie_client.row_streams import AsyncRowStream, RowStream

PAIRS = [(Client, AsyncClient), (Run, AsyncRun), (CachedRecords, AsyncCachedRecords), (RowStream, AsyncRowStream)]
#: ReadCache gives the same, and a reader that was cut off goes on where it was; ListModuleSystems says more
LEFT_OUT = {"/intertie.ingest.v1.IngestService/ListCachedRecords", "/intertie.registry.v1.RegistryService/ListSystems"}


def public(cls: type) -> dict[str, Any]:
    """What users see of a class."""
    return {name: value for name, value in inspect.getmembers_static(cls) if not name.startswith("_")}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS, ids=lambda cls: cls.__name__)
def test_both_clients_have_the_same_methods(blocking: type, asynchronous: type) -> None:
    """Names, parameters with their defaults and types, answers, and what they promise."""
    assert list(public(blocking)) == list(public(asynchronous))
    for name, method in public(blocking).items():
        other = public(asynchronous)[name]
        assert inspect.getdoc(other) == inspect.getdoc(method), name
        if inspect.isfunction(method):
            assert not inspect.iscoroutinefunction(method), name
            assert _types(other) == _types(method), name
    assert _types(asynchronous.__init__) == _types(blocking.__init__)  # type: ignore[misc]


def _types(method: Callable[..., Any]) -> str:
    return re.sub(r"\w+\.(?=\w)", "", str(inspect.signature(method))).replace("Async", "")


def test_what_waits_is_a_coroutine() -> None:
    """All but what gives an iterator, or the client itself."""
    plain = {name for name, value in public(AsyncClient).items() if not inspect.iscoroutinefunction(value)}
    assert plain == {"from_env", "read_cache", "stream_database"}


def test_the_client_calls_what_modules_may_call() -> None:
    """Each operation is open to modules in docs/access.md, at the process that it goes to; and none is missing."""
    question = operations.database_query("s", "SELECT 1", None, "", 0, 0)
    made = [
        operations.push("s", "m", b"{}", ""),
        operations.read_cache("s", "", "", 1, ""),
        operations.query_database(question),
        operations.stream_database(question),
        operations.query_api("s", "", "", None, "", 0),
        operations.start_sync("s", "m", "", "", ""),
        operations.get_run("r"),
        operations.record_checkpoint("t", 1, "s", "sent", None, None, ""),
        operations.list_systems("m"),
        operations.check_access("m", "s", "read"),
    ]
    makers = {name for name, value in vars(operations).items() if inspect.isfunction(value)}
    assert len(made) == len(makers - {"database_query", "dataclass"})
    open_to_modules = {promise.path: promise.process for promise in promises() if promise.module}
    assert {one.path: one.process for one in made} == {
        path: process for path, process in open_to_modules.items() if path not in LEFT_OUT
    }
    assert set(open_to_modules) >= LEFT_OUT


def test_everything_public_is_named() -> None:
    """And there."""
    assert all(hasattr(intertie_client, name) for name in intertie_client.__all__)
    assert sorted(intertie_client.__all__) == intertie_client.__all__
