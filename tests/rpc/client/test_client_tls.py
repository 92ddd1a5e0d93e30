"""Both clients over TLS: whom they believe, who their certificate says they are, and certificates that change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from client_rig import Calling, Scripted, serving
from intertie_chassis.identity import KeyRing, current_principal
from intertie_chassis.settings import Settings
from intertie_chassis.tls_files import TlsFiles
from intertie_cli.authority import Authority, Holder
from intertie_client import IntertieError, Tls, Unavailable
from intertie_client import tls as client_tls

NewClient = Callable[..., Calling]
PUSH = ("push", "police", "incidents", {"id": 1})


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority with certificates of ingest and of a module; the client looks at its files each time."""
    monkeypatch.setattr(client_tls, "_LOOK_EVERY", 0.0)
    made = Authority.make(tmp_path / "certs", 10)
    for holder in (Holder("service", "ingest"), Holder("service", "registry"), Holder("module", "events")):
        made.issue(holder, [], 5)
    return made


def tls_of(authority: Authority, **options: Any) -> Tls:
    """The module's files."""
    directory = authority.directory
    return Tls(directory / "ca.pem", directory / "module-events.pem", directory / "module-events.key", **options)


@pytest.fixture
def callers(scripted: Scripted) -> list[str]:
    """Who pushed."""
    found: list[str] = []

    async def answer(_request: Any, _context: Any) -> None:
        found.append(current_principal().label)

    scripted.answers["Push"] = answer
    return found


@pytest.fixture
async def ingest(keys: KeyRing, scripted: Scripted, authority: Authority) -> AsyncIterator[str]:
    """A server with ingest's certificate, that lets nobody in without one."""
    files = TlsFiles.of(Settings(tls_dir=authority.directory), "ingest")
    async with serving(keys, scripted, tls=files) as found:
        yield found


async def test_the_certificate_says_which_module_calls(
    new_client: NewClient, ingest: str, authority: Authority, callers: list[str]
) -> None:
    """With no token at all, or with the module's own besides."""
    await new_client(ingest=ingest, token=None, tls=tls_of(authority))(*PUSH)
    await new_client(ingest=ingest, tls=tls_of(authority))(*PUSH)
    await new_client(ingest, tls=tls_of(authority, server_name="ingest"))(*PUSH)
    assert callers == ["module:events"] * 3


async def test_who_is_called_is_known_by_name(
    new_client: NewClient, ingest: str, authority: Authority, callers: list[str], tmp_path: Path
) -> None:
    """Another service of the same authority is not taken for the one that is meant; nor one of another authority."""
    with pytest.raises(Unavailable):
        await new_client(registry=ingest, tls=tls_of(authority), timeout=1)("list_systems")
    stranger = Authority.make(tmp_path / "strange", 10)
    strange = Tls(
        stranger.directory / "ca.pem", *(authority.directory / f"module-events.{end}" for end in ("pem", "key"))
    )
    with pytest.raises(Unavailable):
        await new_client(ingest=ingest, tls=strange, timeout=1)(*PUSH)
    with pytest.raises(Unavailable):
        await new_client(ingest=ingest, tls=Tls(authority.directory / "ca.pem"), timeout=1)(*PUSH)
    assert callers == []


async def test_a_renewed_certificate_needs_no_new_client(
    new_client: NewClient, ingest: str, authority: Authority, scripted: Scripted
) -> None:
    """New calls go out with it, one under way ends on the old connection; files that do not fit change nothing."""
    peers: list[str] = []
    here, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_request: Any, context: Any) -> None:
        peers.append(context.peer())
        if len(peers) == 1:
            here.set()
            await go_on.wait()

    scripted.answers["Push"] = answer
    calling = new_client(ingest=ingest, token=None, tls=tls_of(authority))
    first = asyncio.create_task(calling(*PUSH))
    await here.wait()
    authority.issue(Holder("module", "events"), [], 5)
    await calling(*PUSH)
    (authority.directory / "module-events.key").write_text("half a key")
    await calling(*PUSH)
    go_on.set()
    assert (await first).delivery_id == "D"
    assert peers[0] != peers[1] == peers[2]


async def test_a_module_cannot_use_another_s_token_with_its_certificate(
    new_client: NewClient, ingest: str, authority: Authority, keys: KeyRing
) -> None:
    """The service says why."""
    with pytest.raises(IntertieError) as error:
        await new_client(ingest=ingest, token=keys.issue("module:hr", "tester"), tls=tls_of(authority))(*PUSH)
    assert error.value.reason == "CERTIFICATE_REFUSED"
