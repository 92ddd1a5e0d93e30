"""What grants let modules do: each method that modules may call, with each kind of grant, against the running suite.

What is expected follows from docs/access.md and from what the grant says; nothing here knows how services look at it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from google.protobuf.message import Message

from access_callers import Callers
from access_tables import promises
from intertie.ingest.v1 import ingest_pb2, query_pb2, sync_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import registry_pb2
from suite import PREFIX, Suite
from waiting import eventually

BOUNDED = {promise.path: promise for promise in promises() if promise.module}
BOTH = frozenset({"read", "write"})
#: each module's grant on the system, and what it allows
GRANTS: dict[str, tuple[dict[str, Any] | None, frozenset[str]]] = {
    "none": (None, frozenset()),
    "read": ({"access_type": "read"}, frozenset({"read"})),
    "write": ({"access_type": "write"}, frozenset({"write"})),
    "read_write": ({"access_type": "read_write"}, BOTH),
    "ending": ({"access_type": "read_write", "expires_at": "2037-12-31T23:59:59Z"}, BOTH),
    "ended": ({"access_type": "read_write", "expires_at": "2020-01-01T00:00:00Z"}, frozenset()),
    "inactive": ({"access_type": "read_write", "is_active": False}, frozenset()),
    "elsewhere": (None, frozenset()),
}
#: metadata by which a caller might hope to be taken for somebody else
CLAIMS = (
    ("module", "objects.read_write"),
    ("x-module", "objects.read_write"),
    ("x-intertie-module", "objects.read_write"),
    ("role", "admin"),
    ("x-role", "admin"),
    ("x-forwarded-client-cert", "URI=spiffe://intertie/service/registry"),
)
ON, ELSEWHERE, OFF, UNKNOWN = "objects", "objects.elsewhere", "objects.off", "objects.unknown"
Ask = Callable[[str, str], Message]
"""The request of a module about a system; it asks for what does not exist, so that nothing comes of it."""


def _statement(query: str, module: str, system: str) -> query_pb2.QueryDatabaseRequest:
    return query_pb2.QueryDatabaseRequest(system=system, query=query, module=module)


def _stream(query: str, module: str, system: str) -> query_pb2.StreamDatabaseRequest:
    return query_pb2.StreamDatabaseRequest(query=_statement(query, module, system))


def _endpoint(method: str, module: str, system: str) -> query_pb2.QueryApiRequest:
    return query_pb2.QueryApiRequest(system=system, endpoint="/nothing", method=method, module=module)


def _report(_module: str, system: str) -> mapper_pb2.RecordCheckpointRequest:
    return mapper_pb2.RecordCheckpointRequest(
        target_table=f"{PREFIX}events", target_id=2**40, system=system, integration_status="sent"
    )


def _run(_module: str, system: str) -> sync_pb2.GetRunRequest:
    return sync_pb2.GetRunRequest(run_id=RUNS.get(system) or "01KAP3A0000000000000000000")


#: a run of each system, by the system's name
RUNS: dict[str, str] = {}
INGEST, QUERY = "/intertie.ingest.v1.IngestService", "/intertie.ingest.v1.QueryService"
SYNC, REGISTRY = "/intertie.ingest.v1.SyncService", "/intertie.registry.v1.RegistryService"
SELECT, DELETE = "SELECT id FROM nothing", "DELETE FROM nothing WHERE id = 1"
#: method, the access that the request needs, and the request
ASKED: list[tuple[str, str, Ask]] = [
    (f"{INGEST}/Push", "write", lambda _, system: ingest_pb2.PushRequest(system=system, mapping="nothing", data=b"{}")),
    (f"{INGEST}/ReadCache", "read", lambda _, system: ingest_pb2.ReadCacheRequest(system=system)),
    (f"{INGEST}/ListCachedRecords", "read", lambda _, system: ingest_pb2.ListCachedRecordsRequest(system=system)),
    (
        f"{SYNC}/RunSync",
        "read",
        lambda module, system: sync_pb2.RunSyncRequest(system=system, mapping="nothing", module=module),
    ),
    (f"{SYNC}/GetRun", "read", _run),
    (f"{QUERY}/QueryDatabase", "read", partial(_statement, SELECT)),
    (f"{QUERY}/QueryDatabase", "write", partial(_statement, DELETE)),
    (f"{QUERY}/StreamDatabase", "read", partial(_stream, SELECT)),
    (f"{QUERY}/StreamDatabase", "write", partial(_stream, DELETE)),
    (f"{QUERY}/QueryApi", "read", partial(_endpoint, "GET")),
    (f"{QUERY}/QueryApi", "write", partial(_endpoint, "POST")),
    ("/intertie.mapper.v1.MapperService/RecordCheckpoint", "write", _report),
]
#: whose answers are about the module itself
OWN = {f"{REGISTRY}/{method}" for method in ("ListSystems", "ListModuleSystems", "CheckAccess")}
NEEDS = {"grant to read": {"read"}, "grant to write": {"write"}, "grant for what it asks": {"read", "write"}}
#: a run is no run for who may not read its system
REFUSALS = {"RUN_NOT_FOUND", "PERMISSION_DENIED", "GRANT_EXPIRED", "QUERY_NOT_PERMITTED", "MODULE_MISMATCH"}


@pytest.fixture
async def callers(suite: Suite) -> AsyncIterator[Callers]:
    """Modules with each kind of grant on a system; the last one has one on another system only."""
    async with Callers(suite) as made:
        if suite.request("GET", f"/systems/{ON}").status_code != 200:
            _configure(suite)
        for name in (ON, ELSEWHERE, OFF):
            RUNS[name] = suite.get("/sync/runs", system=name)["runs"][0]["run_id"]
        yield made


def _configure(suite: Suite) -> None:
    for name in (ON, ELSEWHERE, OFF):
        _post(suite, "/systems", {"system_name": name, "system_type": "hybrid"})
        _post(
            suite,
            "/connections",
            {"system": name, "connection_type": "database", "db_driver": "sqlite", "db_name": "/nowhere/at.all"},
        )
        # What is allowed gets as far as the address, which nobody may reach.
        api = {"system": name, "connection_type": "api", "api_base_url": "http://127.0.0.1:9", "api_auth_type": "none"}
        _post(suite, "/connections", api)
        suite.add_mapping(name, "pushed", {"field_mappings": {"title": "event_title"}})
        _start_run(suite, name)
    for name, (grant, _) in GRANTS.items():
        if grant is not None:
            for system in (ON, OFF):
                _post(suite, "/grants", {"module_name": f"objects.{name}", "system": system, **grant})
    elsewhere = {"module_name": "objects.elsewhere", "system": ELSEWHERE, "access_type": "read_write"}
    _post(suite, "/grants", elsewhere)
    assert suite.request("PATCH", f"/systems/{OFF}", json={"is_active": False}).status_code == 200


def _start_run(suite: Suite, system: str) -> None:
    """Starts a run of the mapping without a source; pull may learn of it a moment after registry."""
    deadline = time.monotonic() + 15
    while True:
        response = suite.request("POST", "/sync", json={"system": system, "mapping": "pushed"})
        if response.status_code == 200:
            return
        assert time.monotonic() < deadline, response.text
        time.sleep(0.05)


def _post(suite: Suite, path: str, body: dict[str, Any]) -> Any:
    response = suite.request("POST", path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def _allowed(module: str, system: str) -> frozenset[str]:
    """What the module may do there: a grant counts on a system that is switched on."""
    if system == ON:
        return GRANTS[module][1]
    return BOTH if (system, module) == (ELSEWHERE, "elsewhere") else frozenset()


def _refusal(path: str, module: str, system: str) -> str:
    """The reason with which what is not allowed is refused."""
    if system == ON and module == "ended":
        return "GRANT_EXPIRED"
    if path == f"{SYNC}/GetRun":
        return "RUN_NOT_FOUND"
    is_read_by_the_word = BOUNDED[path].module == "grant for what it asks" and _allowed(module, system)
    return "QUERY_NOT_PERMITTED" if is_read_by_the_word else "PERMISSION_DENIED"


def test_every_method_that_modules_may_call_is_asked_here_for_each_access_that_it_can_need() -> None:
    """So a method that is opened to modules is held against every kind of grant, too."""
    asked = {path: {need for other, need, _ in ASKED if other == path} for path, _, _ in ASKED}
    assert asked == {path: NEEDS[one.module] for path, one in BOUNDED.items() if one.module != "about itself"}
    assert {path for path, one in BOUNDED.items() if one.module == "about itself"} == OWN


async def test_a_module_does_what_its_grant_allows_and_nothing_else(callers: Callers) -> None:
    """Whatever its metadata claims; of systems that it has no grant on it learns not even whether they exist."""

    async def fault(path: str, need: str, ask: Ask, module: str, system: str) -> str:
        expected = "let in" if need in _allowed(module, system) else _refusal(path, module, system)
        message = ask("", system).SerializeToString()
        found, _ = await callers.answer(BOUNDED[path].process, path, f"module:objects.{module}", message, CLAIMS)
        found = found if found in REFUSALS else "let in"
        return "" if found == expected else f"{path} ({need}) of {system} as {module}: {found}, not {expected}"

    systems = (ON, ELSEWHERE, OFF, UNKNOWN)
    cells = [(*asked, module, system) for asked in ASKED for module in GRANTS for system in systems]
    wrong = [text for text in await asyncio.gather(*(fault(*cell) for cell in cells)) if text]
    assert not wrong, "\n".join(wrong)


async def test_a_module_is_told_of_its_own_grants_alone(callers: Callers) -> None:
    """The systems that it may use now, and whether it may use one in a way."""
    for module in GRANTS:
        caller, usable = f"module:objects.{module}", {name for name in (ON, ELSEWHERE) if _allowed(module, name)}
        _, raw = await callers.answer("registry", f"{REGISTRY}/ListSystems", caller, b"", CLAIMS)
        listed = {one.system_name for one in registry_pb2.ListSystemsResponse.FromString(raw).systems if one.is_active}
        asked = registry_pb2.ListModuleSystemsRequest(module=f"objects.{module}").SerializeToString()
        _, raw = await callers.answer("registry", f"{REGISTRY}/ListModuleSystems", caller, asked, CLAIMS)
        own = {one.system_name for one in registry_pb2.ListModuleSystemsResponse.FromString(raw).systems}
        assert (listed, own) == (usable, usable), module
        for system in (ON, ELSEWHERE, OFF, UNKNOWN):
            for access in ("read", "write"):
                check = registry_pb2.CheckAccessRequest(module=f"objects.{module}", system=system, access=access)
                _, raw = await callers.answer(
                    "registry", f"{REGISTRY}/CheckAccess", caller, check.SerializeToString(), CLAIMS
                )
                told = registry_pb2.CheckAccessResponse.FromString(raw)
                assert told.allowed == (access in _allowed(module, system)), (module, system, access)


async def test_a_module_that_names_another_is_refused(callers: Callers) -> None:
    """Whether it has a grant itself or not; the other one's counts for nobody else."""
    other = "objects.read_write"
    naming = [(path, ask(other, ON)) for path, _, ask in ASKED if ask(other, ON) != ask("", ON)]
    naming += [
        (f"{REGISTRY}/ListModuleSystems", registry_pb2.ListModuleSystemsRequest(module=other)),
        (f"{REGISTRY}/CheckAccess", registry_pb2.CheckAccessRequest(module=other, system=ON)),
    ]
    assert len(naming) == 9
    for path, message in naming:
        for module in ("none", "read"):
            found, _ = await callers.answer(
                BOUNDED[path].process, path, f"module:objects.{module}", message.SerializeToString(), CLAIMS
            )
            assert found == "MODULE_MISMATCH", (path, module, found)


async def test_a_change_of_a_grant_counts_everywhere_within_five_seconds(suite: Suite, callers: Callers) -> None:
    """Made by a call, made by SQL, and made by time itself, which nobody tells."""
    grant = {"module_name": "objects.changing", "system": ON, "access_type": "read_write"}
    number = _post(suite, "/grants", grant)["id"]
    some = [one for one in ASKED if one[0].endswith(("/ReadCache", "/QueryApi", "/RunSync", "/RecordCheckpoint"))]

    async def refusals() -> tuple[set[str], bool]:
        """How what the grant allowed is refused by each process, nothing where all is allowed; and what a check says.
        While a change is on its way the one may know of it before the other."""
        found: list[Awaitable[tuple[str, bytes]]] = [
            callers.answer(BOUNDED[path].process, path, "module:objects.changing", ask("", ON).SerializeToString())
            for path, _, ask in some
        ]
        reasons = {reason if reason in REFUSALS else "" for reason, _ in await asyncio.gather(*found)}
        check = registry_pb2.CheckAccessRequest(module="objects.changing", system=ON).SerializeToString()
        _, raw = await callers.answer("registry", f"{REGISTRY}/CheckAccess", "module:objects.changing", check)
        return reasons, registry_pb2.CheckAccessResponse.FromString(raw).allowed

    async def become(expected: str) -> None:
        async def has_become() -> bool:
            return await refusals() == ({expected}, not expected)

        await eventually(has_become, timeout=5)  # type: ignore[arg-type]

    def change(**values: Any) -> None:
        assert suite.request("PATCH", f"/grants/{number}", json=values).status_code == 200

    def by_sql(values: str, *parameters: Any) -> None:
        suite.sql(
            "registry", f"UPDATE {PREFIX}module_system_mappings SET {values} WHERE id = %s", [*parameters, number]
        )

    await become("")
    change(is_active=False)
    await become("PERMISSION_DENIED")
    change(is_active=True)
    await become("")
    suite.cli("grants", "update", f"objects.changing/{ON}", "--expires", "2020-01-01T00:00:00Z")
    await become("GRANT_EXPIRED")
    suite.cli("grants", "update", str(number), "--expires", "never")
    await become("")
    by_sql("expires_at = %s", "2020-01-01 00:00:00")
    await become("GRANT_EXPIRED")
    by_sql("expires_at = NULL")
    await become("")
    by_sql("is_active = 0")
    await become("PERMISSION_DENIED")
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    change(is_active=True, expires_at=ends.isoformat())

    async def is_allowed_meanwhile() -> bool:
        return await refusals() == ({""}, True) or datetime.now(UTC) >= ends

    await eventually(is_allowed_meanwhile, timeout=5)  # type: ignore[arg-type]
    await become("GRANT_EXPIRED")
    assert datetime.now(UTC) >= ends
    assert suite.request("DELETE", f"/grants/{number}").status_code == 200
    await become("PERMISSION_DENIED")

    def is_told() -> bool:
        entries = suite.get("/logs", query_type="access", limit=1000)["logs"]
        return any(entry["request_payload"]["reason"] == "GRANT_EXPIRED" for entry in entries)

    await eventually(is_told)
