"""What is signed without an id takes effect once, on both stores, whatever header it comes under, whoever is first."""

import asyncio
import hashlib
import hmac
from typing import Any

import pytest
from sqlalchemy import event

from ingest_samples import JSON, SECRET, configuration, desk, mapping, raw, system
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.configuration import Configuration
from intertie_ingest.errors import Clash
from intertie_ingest.model import Accepted, Delivery
from intertie_ingest.retention_store import RetentionStore

A, B = b'{"id": "1", "title": "A"}', b'{"id": "1", "title": "B"}'
NOW = 1_700_000_000.0
GITHUB = configuration(system(mapping(), webhook_auth="github", webhook_secret=SECRET))
TIMED = {"header": "x-sig", "signed": "{timestamp}.{body}", "timestamp_header": "x-time"}


def generic(**options: Any) -> Configuration:
    return configuration(
        system(mapping(), webhook_auth="hmac", webhook_secret=SECRET, webhook_hmac={"header": "x-sig", **options})
    )


def mac(content: bytes) -> bytes:
    return hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest().encode()


def github(body: bytes, key: bytes | None) -> Delivery:
    headers = {**JSON, "x-hub-signature-256": [b"sha256=" + mac(body)]}
    if key is not None:
        headers["x-github-delivery"] = [key]
    return _taken(GITHUB, body, headers)


def timed(body: bytes, at: int) -> Delivery:
    time = b"%d" % (NOW + at)
    return _taken(generic(**TIMED), body, {**JSON, "x-sig": [mac(time + b"." + body)], "x-time": [time]})


def _taken(config: Configuration, body: bytes, headers: dict[str, list[bytes]]) -> Delivery:
    taken = desk(config, now=NOW).take(raw(body, headers=headers))
    assert isinstance(taken, Delivery)
    return taken


async def commit(ingest: Any, *group: Delivery) -> list[bool]:
    """Whether each was a duplicate."""
    folded = await ingest.store.commit(list(group), entries_of_group)
    assert all(isinstance(outcome, Accepted) for outcome in folded.outcomes)
    return [outcome.is_duplicate for outcome in folded.outcomes]


async def title(ingest: Any) -> str:
    return str((await ingest.sql("SELECT data_json FROM {cache}"))[0][0])


@pytest.mark.parametrize("at_once", [False, True], ids=["one-by-one", "in-one-group"])
@pytest.mark.parametrize("keys", [(b"1", b"2", b"3"), (None, None, None)], ids=["new-headers", "no-header"])
async def test_the_same_body_of_github_is_the_same_delivery(ingest: Any, keys: tuple[Any, ...], at_once: bool) -> None:
    """A, B, A again: the last one is the first."""
    group = [github(body, key) for body, key in zip((A, B, A), keys, strict=True)]
    if at_once:
        assert await commit(ingest, *group) == [False, False, True]
    else:
        assert [await commit(ingest, one) for one in group] == [[False], [False], [True]]
    assert await title(ingest) == B.decode()
    assert await ingest.count("inbound_deliveries") == 2
    assert await ingest.count("inbound_delivery_replays") == 2


async def test_a_signed_time_tells_a_replay_from_a_state_that_comes_back(ingest: Any) -> None:
    """The same time and body again is nothing new; signed at another time the old state is one that came back."""
    assert await commit(ingest, timed(A, 0)) == [False]
    assert await commit(ingest, timed(A, 1)) == [True]  # the state that is there
    assert await commit(ingest, timed(B, 2)) == [False]
    assert await commit(ingest, timed(A, 0), timed(A, 1)) == [True, True]
    assert await title(ingest) == B.decode()
    assert await commit(ingest, timed(A, 3)) == [False]
    assert await title(ingest) == A.decode()


@pytest.mark.parametrize(
    ("options", "final"), [({}, A), ({"replay": "refuse_same_body"}, B)], ids=["default", "refused"]
)
async def test_a_generic_signature_of_the_body_says_itself(ingest: Any, options: dict[str, Any], final: bytes) -> None:
    """A, B, A may be three states, unless its connection says otherwise."""
    config = generic(**options)
    for body in (A, B, A):
        await commit(ingest, _taken(config, body, {**JSON, "x-sig": [mac(body)]}))
    assert await title(ingest) == final.decode()


async def test_two_replicas_take_one_of_two_at_once(ingest: Any, make_ingest: Any) -> None:
    """Who commits second reads again, and finds a duplicate."""
    other = await make_ingest(GITHUB)

    async def persist(store: Any, delivery: Delivery) -> list[bool]:
        for _ in range(10):
            try:
                return await commit(store, delivery)
            except Clash:
                continue
        raise AssertionError("clashes for ever")

    found = await asyncio.gather(persist(ingest, github(A, b"1")), persist(other, github(A, b"2")))
    assert sorted(duplicate for (duplicate,) in found) == [False, True]
    assert await ingest.count("inbound_deliveries") == 1


async def test_systems_without_such_schemes_ask_and_write_nothing(ingest: Any) -> None:
    """What it costs is paid by those whom it protects."""
    statements: list[str] = []
    writer = ingest.database._writer.sync_engine
    event.listen(writer, "before_cursor_execute", lambda *call: statements.append(call[2]))
    await ingest.commit({"id": "1"}, key="a")
    assert [statement for statement in statements if "inbound_deliveries" in statement]
    assert not [statement for statement in statements if "replays" in statement]
    assert await ingest.count("inbound_delivery_replays") == 0


async def test_marks_go_with_their_delivery(ingest: Any) -> None:
    """Retention forgets both; one that somebody deleted by hand is a replay all the same, and no error."""
    await commit(ingest, github(A, b"1"), github(B, b"2"))
    await ingest.sql("DELETE FROM {prefix}inbound_deliveries WHERE delivery_key = '1'")
    assert await commit(ingest, github(A, b"3")) == [True]
    (kept,) = await ingest.sql("SELECT delivery_id FROM {prefix}inbound_deliveries")
    await RetentionStore(ingest.database, ingest.tables).delete_deliveries([kept[0]])
    assert await ingest.count("inbound_delivery_replays") == 1
    assert await commit(ingest, github(B, b"4")) == [False]
