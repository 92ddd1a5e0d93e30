"""Audit as its callers meet it: a real server, real tokens, both databases."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr
from sqlalchemy import text

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_audit import assembly
from intertie_audit.auditor import audited
from intertie_audit.clients import Systems
from intertie_audit.export import Export
from intertie_audit.export_store import ExportStore
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.migrations.triggers import triggers
from intertie_audit.service import DESCRIPTOR, AuditService
from intertie_audit.settings import AuditSettings
from intertie_audit.store import Store
from intertie_audit.tail import Tail
from intertie_chassis import clients
from intertie_chassis.chain_format import read_checkpoint
from intertie_chassis.chain_signatures import ChainPublicKeys
from intertie_chassis.database import Database
from intertie_chassis.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from intertie_chassis.identity import FixedToken, KeyRing, MintedToken, Verifier
from intertie_chassis.ids import new_ulid
from intertie_chassis.server import Server
from waiting import eventually

PREFIX = "campaign_department_"
REGISTRY = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """A registry that knows one system; its other methods are not asked."""

    asked = 0

    async def ListSystems(  # noqa: N802
        self, request: registry_pb2.ListSystemsRequest, context: Any
    ) -> registry_pb2.ListSystemsResponse:
        """Two pages, so that audit must walk them."""
        self.asked += 1
        if not request.page_token:
            return registry_pb2.ListSystemsResponse(
                systems=[registry_pb2.System(id=1, system_name="law_enforcement")], next_page_token="2"
            )
        return registry_pb2.ListSystemsResponse(systems=[registry_pb2.System(id=7, system_name="fire_rescue")])


Registry.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


class Installation:
    """Audit and what it needs, with a stub for each role."""

    def __init__(
        self, keys: KeyRing, database: Database, registry: Server, audit: Server, chain: assembly.Chain
    ) -> None:
        self.chain = chain
        self.database = database
        self.registry = registry
        self.audit = audit
        self._keys = keys
        self._channels: dict[str, clients.Channel] = {}

    def stub(self, role: str) -> audit_pb2_grpc.AuditServiceStub:
        """Audit as a caller of this role meets it; an empty role sends rubbish for a token."""
        if role not in self._channels:
            token = MintedToken(self._keys, role) if role else FixedToken("rubbish")
            self._channels[role] = clients.connect(f"127.0.0.1:{self.audit.port}", token)
        return audit_pb2_grpc.AuditServiceStub(self._channels[role])

    async def append(self, *entries: audit_pb2.Entry) -> int:
        """Append as ingest does."""
        answer = await self.stub("service:ingest").AppendEntries(audit_pb2.AppendEntriesRequest(entries=entries))
        return answer.appended

    async def php_insert(self, system_id: int) -> None:
        """Insert as the PHP application does."""
        statement = text(
            f"INSERT INTO {PREFIX}integration_query_logs (system_id, query_type, status) "
            "VALUES (:id, 'select', 'success')"
        )
        await self.database.transaction(lambda connection: connection.execute(statement, {"id": system_id}))

    async def close(self) -> None:
        """Ends all."""
        for channel in self._channels.values():
            await channel.close()
        await self.audit.stop()
        await self.registry.stop()


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    """Audit with a registry, both on ports of their own."""
    keys = KeyRing(tmp_path / "data")
    keys.ensure()
    registry = Server("registry", "127.0.0.1:0", Verifier(keys.jwks_path), drain_seconds=1)
    registry.add(registry_pb2_grpc.add_RegistryServiceServicer_to_server, Registry(), REGISTRY)
    await registry.start()
    database = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    audit = Server("audit", "127.0.0.1:0", Verifier(keys.jwks_path), drain_seconds=1)
    audit.resources.push_async_callback(database.close)
    channel = clients.connect(f"127.0.0.1:{registry.port}", MintedToken(keys, "service:audit"))
    audit.resources.push_async_callback(channel.close)
    store = Store(database)
    chain = assembly.chain(AuditSettings(data_dir=tmp_path / "data"), database, store)
    export = Export(chain.links, ExportStore(database))
    tail = Tail(store, most_followers=2, also_wake=chain.sealer.wake)
    service = AuditService(store, tail, Systems(channel), export, chain)
    audit.run_in_background("sealer", chain.sealer.run)
    audit.resources.push_async_callback(chain.sealer.finish)
    audit.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, service, DESCRIPTOR)
    await audit.start()
    installation = Installation(keys, database, registry, audit, chain)
    yield installation
    await installation.close()


def entry(**fields: Any) -> audit_pb2.Entry:
    """A valid entry, with these fields otherwise."""
    return audit_pb2.Entry(**{"entry_id": new_ulid(), "query_type": "webhook", "status": "success", **fields})


async def test_what_a_service_appends_a_viewer_reads(running: Installation) -> None:
    """Appended once although sent twice; listed and got with all its fields."""
    sent = entry(
        system="law_enforcement",
        system_id=1,
        request_payload=b'{"size":12}',
        response_status=202,
        created_at=Timestamp(seconds=1_700_000_000, nanos=123_456_000),
        actor="system:law_enforcement",
        delivery_id=new_ulid(),
    )
    assert await running.append(sent, entry()) == 2
    assert await running.append(sent) == 0
    viewer = running.stub("viewer")

    async def sealed() -> audit_pb2.Entry | None:
        listed = await viewer.ListEntries(audit_pb2.ListEntriesRequest(delivery_id=sent.delivery_id))
        return listed.logs[0] if listed.logs[0].sequence else None

    kept = await eventually(sealed)
    assert kept is not None
    assert await viewer.GetEntry(audit_pb2.GetEntryRequest(id=kept.id)) == kept
    assert kept.sequence == 1
    kept.ClearField("id")
    kept.ClearField("sequence")
    assert kept == sent


@pytest.mark.parametrize("role", ["viewer", "operator", "admin", "module:events"])
async def test_only_services_append(running: Installation, role: str) -> None:
    """Nobody else writes the log, the admin included."""
    with pytest.raises(PermissionDenied):
        await running.stub(role).AppendEntries(audit_pb2.AppendEntriesRequest(entries=[entry()]))
    assert not (await running.stub("viewer").ListEntries(audit_pb2.ListEntriesRequest())).logs


@pytest.mark.parametrize("role", ["module:events", "service:gateway", ""])
async def test_only_people_read(running: Installation, role: str) -> None:
    """A module sees no log, a service needs none, and nobody gets in without a token."""
    stub = running.stub(role)
    refused = PermissionDenied if role else Unauthenticated
    with pytest.raises(refused):
        await stub.ListEntries(audit_pb2.ListEntriesRequest())
    with pytest.raises(refused):
        await stub.GetEntry(audit_pb2.GetEntryRequest(id=1))
    with pytest.raises(refused):
        await anext(aiter(stub.TailEntries(audit_pb2.TailEntriesRequest())))


async def test_a_bad_entry_refuses_its_batch(running: Installation) -> None:
    """The answer names the entry and the field, and nothing of the batch is stored."""
    with pytest.raises(InvalidArgument) as refused:
        await running.append(entry(), entry(request_payload=b"{"))
    assert refused.value.violations == (("entries[1].request_payload", "must be JSON"),)
    assert not (await running.stub("viewer").ListEntries(audit_pb2.ListEntriesRequest())).logs


async def test_pages(running: Installation) -> None:
    """The newest first, page by page until the token is empty; offset skips."""
    await running.append(*(entry(query_string=str(number)) for number in range(5)))
    viewer = running.stub("viewer")
    seen: list[str] = []
    request = audit_pb2.ListEntriesRequest(limit=2)
    while True:
        page = await viewer.ListEntries(request)
        seen += [each.query_string for each in page.logs]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == ["4", "3", "2", "1", "0"]
    skipped = await viewer.ListEntries(audit_pb2.ListEntriesRequest(limit=2, offset=3))
    assert [each.query_string for each in skipped.logs] == ["1", "0"]


async def test_refused_arguments(running: Installation) -> None:
    """Each with the field at fault; a number that is not there has its own reason."""
    viewer = running.stub("viewer")
    for arguments in ({"limit": -1}, {"offset": -1}, {"status": "failed"}, {"page_token": "x"}):
        with pytest.raises(InvalidArgument) as refused:
            await viewer.ListEntries(audit_pb2.ListEntriesRequest(**arguments))
        assert [field for field, _ in refused.value.violations] == list(arguments)
    with pytest.raises(InvalidArgument):
        await viewer.GetEntry(audit_pb2.GetEntryRequest())
    with pytest.raises(NotFound) as missing:
        await viewer.GetEntry(audit_pb2.GetEntryRequest(id=1))
    assert missing.value.reason == "ENTRY_NOT_FOUND"


async def test_rows_of_php_have_the_name_that_registry_knows(running: Installation) -> None:
    """They are shown with it and found by it, also from registry's second page."""
    await running.php_insert(7)
    await running.append(entry(system="fire_rescue", system_id=7), entry(system="law_enforcement", system_id=1))
    answer = await running.stub("viewer").ListEntries(audit_pb2.ListEntriesRequest(system="fire_rescue"))
    assert [(each.system, bool(each.entry_id)) for each in answer.logs] == [
        ("fire_rescue", True),
        ("fire_rescue", False),
    ]


async def test_without_registry_the_log_can_be_read(running: Installation) -> None:
    """A filter by system then finds the entries that name it, and PHP's rows are listed without a name."""
    await running.registry.stop()
    await running.php_insert(7)
    await running.append(entry(system="fire_rescue", system_id=7))
    viewer = running.stub("viewer")
    filtered = await viewer.ListEntries(audit_pb2.ListEntriesRequest(system="fire_rescue"))
    assert [each.entry_id != "" for each in filtered.logs] == [True]
    everything = await viewer.ListEntries(audit_pb2.ListEntriesRequest())
    assert [each.system for each in everything.logs] == ["fire_rescue", ""]


async def test_a_tail_shows_what_comes(running: Installation) -> None:
    """First the last ones, then what is appended while it is open, the system's name added where it is missing."""
    await running.append(entry(query_string="1"), entry(query_string="2"))
    tail = running.stub("viewer").TailEntries(audit_pb2.TailEntriesRequest(last=1))
    assert await _next(tail) == ["2"]
    await running.append(entry(query_string="3"))
    assert await _next(tail) == ["3"]
    await running.php_insert(1)
    answers = aiter(tail)
    async with asyncio.timeout(10):
        (shown,) = (await anext(answers)).entries
    assert shown.system == "law_enforcement"
    tail.cancel()


async def test_a_cancelled_tail_frees_its_place(running: Installation) -> None:
    """More tails than allowed are refused; a caller that leaves makes room."""
    viewer = running.stub("viewer")
    await running.append(entry(query_string="1"))
    request = audit_pb2.TailEntriesRequest(last=1)
    tails = [viewer.TailEntries(request) for _ in range(2)]
    for tail in tails:
        await _next(tail)
    with pytest.raises(ResourceExhausted):
        await _next(viewer.TailEntries(request))
    tails[0].cancel()

    async def has_room() -> bool:
        try:
            again = viewer.TailEntries(request)
            return await _next(again) == ["1"]
        except ResourceExhausted:
            return False

    await eventually(has_room)
    tails[1].cancel()


async def test_stopping_ends_the_tails(running: Installation) -> None:
    """A tail does not hold up a stopping server; its reader is told to come again."""
    tail = running.stub("viewer").TailEntries(audit_pb2.TailEntriesRequest())
    waiting = asyncio.create_task(_next(tail))
    await asyncio.wait([waiting], timeout=0.2)
    await running.audit.stop()
    with pytest.raises(Unavailable):
        await waiting


async def _next(tail: Any) -> list[str]:
    async with asyncio.timeout(10):
        return [each.query_string for each in (await anext(aiter(tail))).entries]


async def test_the_chain_is_verified(running: Installation, tmp_path: Path) -> None:
    """Over the wire with progress and verdict, with checkpoints that the caller kept, and by an auditor alone."""
    await running.append(entry(actor="one"), entry(actor="two"), entry(actor="three"))
    viewer = running.stub("viewer")
    running.chain.verification._patience = 0.0

    async def verified(**fields: Any) -> audit_pb2.VerifyChainResponse:
        *_, last = [answer async for answer in viewer.VerifyChain(audit_pb2.VerifyChainRequest(**fields))]
        return last

    # Of the sealer, which knows a moment after the database where the chain ends, and signs what it knows.
    await eventually(lambda: running.chain.sealer._place.sequence == 3)
    await running.chain.sealer.sign_now()
    last = await verified()
    assert (last.verified, last.total) == (3, 3)
    assert last.verdict.is_intact
    assert (last.verdict.sequence, last.verdict.checkpoint.sequence, last.verdict.unsealed) == (3, 3, 0)
    listed = await viewer.ListChainCheckpoints(audit_pb2.ListChainCheckpointsRequest(page_size=1))
    assert listed.checkpoints[0] == last.verdict.checkpoint
    keys = ChainPublicKeys(listed.keys)
    assert keys.verifies(read_checkpoint(listed.checkpoints[0].signed_text, listed.checkpoints[0].signature))
    settings = AuditSettings(
        data_dir=tmp_path / "data",
        audit_database_url=SecretStr(running.database._writer.url.render_as_string(hide_password=False)),
    )
    assert await audited(settings) == 0
    for name in triggers(PREFIX, running.database.dialect):
        drop = text(f"DROP TRIGGER {name}")
        await running.database.transaction(partial(_execute, drop))
    change = text(f"UPDATE {PREFIX}integration_query_logs SET actor = 'nobody' WHERE actor = 'two'")
    await running.database.transaction(partial(_execute, change))
    found = [one async for answer in viewer.VerifyChain(audit_pb2.VerifyChainRequest()) for one in answer.findings]
    assert [(one.kind, one.sequence, one.entry_id) for one in found] == [("ENTRY_ALTERED", 2, 2)]
    assert (await verified(from_sequence=3)).verdict.is_intact
    assert not (await verified(to_sequence=2)).verdict.is_intact
    assert await audited(settings) == 1
    with pytest.raises(InvalidArgument):
        await verified(kept_checkpoints=[audit_pb2.ChainCheckpoint(signed_text="intertie", signature=b"x")])
    with pytest.raises(InvalidArgument):
        await verified(from_sequence=3, to_sequence=2)
    with pytest.raises(PermissionDenied):
        await anext(aiter(running.stub("module:events").VerifyChain(audit_pb2.VerifyChainRequest())))


async def _execute(statement: Any, connection: Any) -> None:
    await connection.execute(statement)
