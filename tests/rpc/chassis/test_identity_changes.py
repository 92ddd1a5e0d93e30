"""Running servers while tokens are revoked and keys change: refused within 5 s, on every machine, with no call lost."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue as Text

import processes
from intertie.api.v1 import identity_pb2, identity_pb2_grpc
from intertie_chassis import identity_feed
from intertie_chassis.clients import Channel, connect
from intertie_chassis.errors import PermissionDenied, Unauthenticated
from intertie_chassis.identity import FixedToken, KeyRing, MintedToken, Verifier, told_path
from intertie_chassis.process import Process
from intertie_chassis.server import Server
from intertie_chassis.settings import Settings
from intertie_chassis.signing_key import key_id_of
from waiting import eventually

EFFECTIVE = 5
"""Seconds within which a revocation is effective."""


def _beside(keys: KeyRing) -> KeyRing:
    """The same directory as another process has it, such as the command."""
    return KeyRing(keys.admin_token_path.parent)


def _token_id(keys: KeyRing, token: str) -> str:
    return Verifier(keys.jwks_path).verify(token).token_id


def _refuses(call: Callable[[], Any]) -> Any:
    """A probe: whether the call is refused for its token."""

    async def is_refused() -> bool:
        try:
            await call()
        except Unauthenticated:
            return True
        return False

    return is_refused


async def test_a_running_server_refuses_what_is_revoked(echo: Any, keys: KeyRing) -> None:
    revoked, other = keys.issue("viewer"), echo.channel()
    async with connect(f"127.0.0.1:{echo.port}", FixedToken(revoked)) as channel:
        say = echo.method("Say", channel)
        assert (await say(Text(value="a"))).value == "a"
        _beside(keys).revoke([_token_id(keys, revoked)])
        await eventually(_refuses(lambda: say(Text(value="a"))), timeout=EFFECTIVE)
    assert (await echo.method("Say", other)(Text(value="b"))).value == "b"


@pytest.mark.parametrize("how", ["revoked", "withdrawn", "expired"])
async def test_an_open_stream_ends_with_its_token(
    echo: Any, keys: KeyRing, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, go_on = asyncio.Event(), asyncio.Event()

    async def twice(request: Any, _context: Any) -> AsyncIterator[Any]:
        try:
            yield request
            await go_on.wait()
            yield request
        finally:
            ended.set()

    echo.servicer.answers = twice
    token, key = keys.issue("viewer", days=1), keys.listed_keys()[0].id
    async with connect(f"127.0.0.1:{echo.port}", FixedToken(token)) as channel:
        doomed = echo.method("Count", channel)(Text(value="a"))
        await anext(doomed)
        if how == "withdrawn":
            _beside(keys).rotate()
        kept = echo.method("Count", echo.channel())(Text(value="b"))
        await anext(kept)
        if how == "withdrawn":
            _beside(keys).withdraw(key)
        elif how == "revoked":
            _beside(keys).revoke([_token_id(keys, token)])
        else:
            later = time.time() + 2 * 86_400
            monkeypatch.setattr(time, "time", lambda: later)
        with pytest.raises(Unauthenticated):
            async with asyncio.timeout(EFFECTIVE):
                await anext(doomed)
        await asyncio.wait_for(ended.wait(), EFFECTIVE)
        go_on.set()
        assert (await anext(kept)).value == "b"


async def test_keys_change_under_load_and_no_call_fails(echo: Any, keys: KeyRing) -> None:
    token, seen, is_done = MintedToken(_beside(keys), "service:gateway"), set[str](), False
    async with connect(f"127.0.0.1:{echo.port}", token) as channel:
        say = echo.method("Say", channel)

        async def call() -> int:
            count = 0
            while not is_done:
                seen.add(key_id_of(token.token()))
                await say(Text(value="a"))
                count += 1
            return count

        callers = [asyncio.create_task(call()) for _ in range(4)]
        try:
            for rotation in range(3):
                if rotation == 1:
                    await asyncio.to_thread(_beside(keys).stage)
                await asyncio.to_thread(_beside(keys).rotate)
                await eventually(partial(_has, seen, rotation + 2))
        finally:
            is_done = True
        assert all(await asyncio.gather(*callers))


def _has(seen: set[str], least: int) -> bool:
    return len(seen) >= least


class Machine:
    """A process on a machine of its own: it has a copy of the public keys, and a token."""

    def __init__(self, directory: Path, keys: KeyRing, registry: str) -> None:
        directory.mkdir()
        shutil.copy(keys.jwks_path, directory / "public.json")
        (directory / "token").write_text(keys.issue("service:audit"))
        self.settings = Settings(
            data_dir=directory / "data",
            identity_keys=directory / "public.json",
            service_token_file=directory / "token",
            registry_address=registry,
            drain_seconds=1,
        )
        self.process = Process("audit", self.settings, "127.0.0.1:0")


def _registry(keys: KeyRing, address: str) -> Process:
    settings = Settings(data_dir=keys.admin_token_path.parent, drain_seconds=1)
    process = Process("registry", settings, address)
    feed = identity_feed.IdentityFeed(process.verifier)
    process.server.add(identity_pb2_grpc.add_IdentityFeedServicer_to_server, feed, identity_feed.DESCRIPTOR)
    return process


async def test_a_machine_with_a_copy_of_the_keys_learns_what_is_refused(
    keys: KeyRing, echo_on: Callable[[Server], Any], tmp_path: Path
) -> None:
    """It refuses what was revoked before it ran, and while; also when it starts anew and registry is away."""
    address = f"127.0.0.1:{processes.free_port()}"
    before, during, fine = (keys.issue("viewer") for _ in range(3))
    keys.revoke([_token_id(keys, before)])
    async with AsyncExitStack() as stack:
        registry = _registry(keys, address)
        stack.push_async_callback(registry.server.stop)
        await registry.server.start()
        machine = Machine(tmp_path / "machine", keys, address)
        stack.push_async_callback(machine.process.server.stop)
        served, says = echo_on(machine.process.server), {}
        port = await machine.process.server.start()
        for name, token in {"before": before, "during": during, "fine": fine}.items():
            channel = await stack.enter_async_context(connect(f"127.0.0.1:{port}", FixedToken(token)))
            says[name] = served.method("Say", channel)

        await eventually(_refuses(lambda: says["before"](Text())), timeout=EFFECTIVE)
        assert not await _refuses(lambda: says["during"](Text()))()
        keys.revoke([_token_id(keys, during)])
        await eventually(_refuses(lambda: says["during"](Text())), timeout=EFFECTIVE)
        await registry.server.stop()
        assert await _refuses(lambda: says["during"](Text()))()
        assert not await _refuses(lambda: says["fine"](Text()))()

    later = Verifier.from_settings(machine.settings)
    assert told_path(machine.settings).stat().st_mode & 0o777 == 0o600
    for token in (before, during):
        with pytest.raises(Unauthenticated):
            later.verify(token)
    assert later.verify(fine).role == "viewer"


@pytest.fixture
async def feed(keys: KeyRing) -> AsyncIterator[Callable[[str], Channel]]:
    """A registry's feed, as callers of each role reach it."""
    registry = _registry(keys, "127.0.0.1:0")
    port = await registry.server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(registry.server.stop)

        def channel(role: str) -> Channel:
            made = connect(f"127.0.0.1:{port}", MintedToken(keys, role))
            stack.push_async_callback(made.close)
            return made

        yield channel


async def test_the_feed_says_all_and_then_what_is_new(
    feed: Callable[[str], Channel], keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_feed, "_SIGN_OF_LIFE", 0.0)
    first, second, key = keys.issue("viewer"), keys.issue("viewer"), keys.listed_keys()[0].id
    ids = [_token_id(keys, token) for token in (first, second)]
    keys.rotate()
    keys.revoke(ids[:1])
    stub: Any = identity_pb2_grpc.IdentityFeedStub(feed("service:mapper"))
    async with aclosing(stub.WatchIdentity(identity_pb2.WatchIdentityRequest())) as answers:
        snapshot = await anext(answers)
        assert (snapshot.snapshot, [each.token_id for each in snapshot.revocations]) == (True, ids[:1])
        assert await anext(answers) == identity_pb2.WatchIdentityResponse()
        keys.revoke(ids[1:])
        told = await _said(answers)
        assert (told.snapshot, [each.token_id for each in told.revocations]) == (False, ids[1:])
        keys.withdraw(key)
        assert list((await _said(answers)).withdrawn_key_ids) == [key]


async def _said(answers: Any) -> identity_pb2.WatchIdentityResponse:
    """The next message that says something."""
    while (message := await anext(answers)) == identity_pb2.WatchIdentityResponse():
        continue
    response: identity_pb2.WatchIdentityResponse = message
    return response


@pytest.mark.parametrize("role", ["admin", "module:events"])
async def test_only_services_are_told(feed: Callable[[str], Channel], role: str) -> None:
    stub: Any = identity_pb2_grpc.IdentityFeedStub(feed(role))
    with pytest.raises(PermissionDenied):
        await anext(stub.WatchIdentity(identity_pb2.WatchIdentityRequest()))
