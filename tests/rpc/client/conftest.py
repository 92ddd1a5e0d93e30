"""A scripted server, and both kinds of client that call it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from client_rig import KINDS, Calling, Scripted, serving
from intertie_chassis.identity import KeyRing


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    """The installation's keys."""
    made = KeyRing(tmp_path / "data")
    made.ensure()
    return made


@pytest.fixture
def scripted() -> Scripted:
    """What the services answer."""
    return Scripted()


@pytest.fixture
async def address(keys: KeyRing, scripted: Scripted) -> AsyncIterator[str]:
    """Where they listen."""
    async with serving(keys, scripted) as found:
        yield found


@pytest.fixture(params=KINDS)
async def new_client(request: pytest.FixtureRequest, keys: KeyRing) -> AsyncIterator[Callable[..., Calling]]:
    """Makes clients of a module, of the kind whose turn it is."""
    async with AsyncExitStack() as stack:

        def make(address: str | None = None, **options: Any) -> Calling:
            options = {"token": keys.issue("module:events", "tester"), **options}
            calling = Calling(request.param, address, **options)
            stack.push_async_callback(calling, "close", grace=0)
            return calling

        yield make


@pytest.fixture
def client(new_client: Callable[..., Calling], address: str) -> Calling:
    """A client of the server."""
    return new_client(address)
