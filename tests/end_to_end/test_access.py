"""The matrix of docs/access.md against the running suite: each method, and each route, as each kind of caller.

Over gRPC each call sends bytes that are no message: who is let in is told so, and nothing can come of it. What a
message that means nothing comes to is asked once more of whoever is let in, where that does no harm.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from access_callers import NOBODY, PROCESSES, Callers
from access_tables import PEOPLE, SERVICES, promises
from intertie_chassis import reflection
from suite import API, Suite

PROMISES = list(promises())
ROLES = [*PEOPLE, "module:stranger", *(f"service:{name}" for name in SERVICES)]
REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED")
NO_MESSAGE = b"\xff"
#: an empty message takes records away from mapper, or seals what others' tests have
HARMFUL = {"LeaseRecords", "SealSecrets", "RotateSecrets"}
#: a message that names nobody names another than the caller; see test_access_objects.py
OWN = "about itself"
#: no more than the gateway asks of a body before it asks who sends it
BODIES: dict[str, dict[str, Any]] = {"POST": {}, "PATCH": {"is_active": True}}
_AT_ONCE = 24
# Who may call what has nothing to do with the store.
pytestmark = pytest.mark.parametrize("suite", ["sqlite"], indirect=True)


@pytest.fixture
async def callers(suite: Suite) -> AsyncIterator[Callers]:
    """Everybody who may call."""
    async with Callers(suite) as made:
        yield made


async def check(cells: Iterable[tuple[str, Awaitable[str], str]]) -> None:
    """Runs the calls side by side. AssertionError names all that end otherwise than is expected."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def fault(name: str, call: Awaitable[str], expected: str) -> str:
        async with slots:
            found = await call
        return "" if found == expected else f"{name}: {found}, not {expected}"

    wrong = [text for text in await asyncio.gather(*(fault(*cell) for cell in cells)) if text]
    assert not wrong, "\n".join(wrong)


async def test_each_method_lets_in_whom_the_page_names_and_nobody_else(callers: Callers) -> None:
    """Everybody without a valid token is nobody; who is let in is told that the bytes are no message."""

    def cells() -> Iterator[tuple[str, Awaitable[str], str]]:
        for promise in PROMISES:
            for caller in (*NOBODY, *ROLES):
                allowed = "MALFORMED_REQUEST" if promise.admits(caller) else "PERMISSION_DENIED"
                expected = "UNAUTHENTICATED" if caller in NOBODY else allowed
                outcome = callers.outcome(promise.process, promise.path, caller, NO_MESSAGE)
                yield f"{promise.path} as {caller}", outcome, expected

    await check(cells())


async def test_who_is_let_in_is_not_turned_away_behind_the_door(callers: Callers) -> None:
    """An empty message is refused for what it says or answered, but not for who sends it."""

    def cells() -> Iterator[tuple[str, Awaitable[str], str]]:
        for promise in PROMISES:
            for caller in ROLES if promise.method not in HARMFUL else ():
                if promise.admits(caller) and not (promise.module == OWN and caller.startswith("module:")):
                    outcome = callers.outcome(promise.process, promise.path, caller, b"")
                    yield f"{promise.path} as {caller}", _other_than_refused(outcome), "let in"

    await check(cells())


async def test_every_process_tells_its_health_to_all_and_its_contracts_to_tokens(callers: Callers) -> None:
    """Health is asked by those who watch over processes and have no token; a path that no service has needs one."""
    asked = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    asked_health = health_pb2.HealthCheckRequest().SerializeToString()

    def cells() -> Iterator[tuple[str, Awaitable[str], str]]:
        for process in PROCESSES:
            for caller in (*NOBODY, *ROLES):
                refused = "UNAUTHENTICATED" if caller in NOBODY else ""
                for path, message, expected in (
                    ("/grpc.health.v1.Health/Check", asked_health, "OK"),
                    *((path, asked, refused or "OK") for path in reflection.PATHS),
                    ("/intertie.registry.v1.RegistryService/Nothing", b"", refused or "UNIMPLEMENTED"),
                ):
                    outcome = callers.outcome(process, path, caller, message)
                    yield f"{path} of {process} as {caller}", outcome, expected

    await check(cells())


async def test_each_route_lets_in_whom_the_page_names_and_nobody_else(suite: Suite, callers: Callers) -> None:
    """401, 403, or something that has to do with what is asked for, which does not exist."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{suite.port}", timeout=30, trust_env=False) as client:

        async def status(verb: str, url: str, caller: str, body: Any) -> str:
            answer = await client.request(verb, url, headers=callers.headers(caller), json=body)
            if '"ROUTE_NOT_FOUND"' in answer.text:
                return "no such route"
            return {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}.get(answer.status_code, "let in")

        def cells() -> Iterator[tuple[str, Awaitable[str], str]]:
            for promise in PROMISES:
                for verb, template in promise.routes:
                    for caller in (*NOBODY, *ROLES):
                        allowed = "let in" if promise.admits(caller) else "PERMISSION_DENIED"
                        expected = "UNAUTHENTICATED" if caller in NOBODY else allowed
                        body = BODIES.get(verb)
                        url = _filled(template)
                        yield f"{verb} {url} as {caller}", status(verb, url, caller, body), expected
            pushed = {"system": "nobody", "mapping": "nothing", "data": {}}
            for caller in (*NOBODY, *ROLES):
                allowed = "let in" if caller in ("admin", "operator") else "PERMISSION_DENIED"
                expected = "UNAUTHENTICATED" if caller in NOBODY else allowed
                yield f"push as {caller}", status("POST", f"{API}/push", caller, pushed), expected

        await check(cells())


async def _other_than_refused(outcome: Awaitable[str]) -> str:
    found = await outcome
    return found if found in REFUSALS else "let in"


def _filled(template: str) -> str:
    """The path with names and numbers of what does not exist; the module is the one that asks."""
    path = template
    for field in ("id", "connection.id", "mapping.id", "grant.id", "target_id"):
        path = path.replace(f"{{{field}}}", "4294967295")
    path = path.replace("{module}", "stranger")
    while "{" in path:
        path = f"{path[: path.index('{')]}nobody{path[path.index('}') + 1 :]}"
    return path
