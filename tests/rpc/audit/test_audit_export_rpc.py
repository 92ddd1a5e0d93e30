"""ExportEntries over gRPC, taken by the command's own writer and checked by its own check, on both databases."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from audit_chain import NOON, Chain, entry
from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie_audit import assembly, export
from intertie_audit.chain import START, leaf, next_head
from intertie_audit.model import EntryFilter, SystemFilter
from intertie_audit.service import DESCRIPTOR, AuditService
from intertie_audit.tail import Tail
from intertie_chassis import clients
from intertie_chassis.chain_signatures import ChainPublicKeys
from intertie_chassis.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from intertie_chassis.identity import KeyRing, MintedToken, Verifier
from intertie_chassis.server import Server
from intertie_cli.audit_check import Checked, check
from intertie_cli.audit_export import Exporter
from intertie_cli.audit_lines import Form
from intertie_cli.audit_proof import Proof, path_beside

REQUEST = '{"id": 1, "note": "Ünï"}'


FILTERS: tuple[tuple[dict[str, Any], list[int]], ...] = (
    ({"system": "law_enforcement"}, [1, 4]),
    ({"module": "events"}, [2, 5]),
    ({"status": "error"}, [2, 6]),
    ({"query_type": "select"}, [3, 5]),
    ({"created_after": Timestamp(seconds=1_737_400_000)}, [5]),
    ({"created_before": Timestamp(seconds=1_737_400_000), "status": "success"}, [1, 3, 4, 7]),
    ({"from_sequence": 2, "to_sequence": 3}, [4, 5]),
    ({"from_sequence": 4}, [6, 7]),
    ({"to_sequence": 1}, [1, 2, 3]),
    ({"from_sequence": 5, "to_sequence": 99}, [7]),
    ({"system": "nobody"}, []),
    ({"query_type": "select", "from_sequence": 2}, [5]),
)


class Systems:
    """Registry's answer: one system has rows that name it by its number only."""

    async def filter(self, name: str) -> Any:
        """As `intertie_audit.clients.Systems`."""
        return SystemFilter(name, 1 if name == "law_enforcement" else None)

    async def names(self) -> dict[int, str]:
        """As there."""
        return {1: "law_enforcement"}


@dataclass
class Running:
    """A server, its chain, and a caller."""

    chain: Chain
    stub: Callable[[str], Any]
    directory: Path

    async def answers(self, role: str = "viewer", **request: Any) -> list[Any]:
        """All messages of an export."""
        return [one async for one in self.stub(role).ExportEntries(audit_pb2.ExportEntriesRequest(**request))]

    async def export(self, form: Form = Form.JSONL, **request: Any) -> tuple[list[dict[str, Any]], Checked]:
        """The lines of an export, and what a check of it found."""
        file = self.directory / "export"
        filters = {name: str(value) for name, value in request.items() if name not in ("from_sequence", "to_sequence")}
        keys = self.chain.keys.jwks_json
        exporter = Exporter(file, form, filters, request.get("to_sequence", 0), keys)
        try:
            await exporter.take(
                self.stub("viewer").ExportEntries(audit_pb2.ExportEntriesRequest(**request)), lambda done, total: None
            )
            exporter.finish()
        finally:
            exporter.abandon()
        lines = file.read_text().split("\n")[:-1]
        checked = check(file, Proof.read(path_beside(file)), ChainPublicKeys(keys))
        return [json.loads(line) for line in lines] if form is Form.JSONL else [], checked


@pytest.fixture
async def running(database_url: str, tmp_path: Path, make_service: Any) -> AsyncIterator[Running]:
    """Audit on a log of seven entries: three from before the chain, four sealed one by one."""
    async with AsyncExitStack() as stack:
        chain = await Chain.open(database_url, tmp_path)
        stack.push_async_callback(chain.database.close)
        await chain.append_found(
            entry(system_id=1, request_payload=REQUEST, entry_id=None),
            entry(module_name="events", status="error", error_message='a "fault",\r\nand more'),
            entry(query_type="select", query_string="=1+1"),
        )
        await chain.seal()
        await chain.append(
            entry(system_name="law_enforcement", system_id=1, request_payload=REQUEST, response_payload="[]"),
            entry(module_name="events", query_type="select", created_at=NOON + timedelta(days=1)),
            entry(status="error", response_payload="{}", query_string=""),
            entry(query_type="push", actor="Ämt \U0001f512 \u2028"),
        )
        keys = KeyRing(tmp_path / "data")
        keys.ensure()
        server = Server("audit", "127.0.0.1:0", Verifier(keys.jwks_path), drain_seconds=1)
        server.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, make_service(chain), DESCRIPTOR)
        await server.start()
        stack.push_async_callback(server.stop)

        def stub(role: str) -> Any:
            channel = clients.connect(f"127.0.0.1:{server.port}", MintedToken(keys, role))
            stack.push_async_callback(channel.close)
            return audit_pb2_grpc.AuditServiceStub(channel)

        yield Running(chain, stub, tmp_path)


@pytest.fixture
def make_service() -> Callable[[Chain], AuditService]:
    """The service over a chain."""
    return lambda chain: AuditService(
        chain.log,
        Tail(chain.log),
        Systems(),  # type: ignore[arg-type]
        chain.export,
        assembly.Chain(chain.keys, chain.links, chain.seals, chain.sealer, chain.verification),
    )


@pytest.mark.parametrize("form", list(Form))
async def test_all_is_exported_and_proven(running: Running, form: Form) -> None:
    """Every entry, the old ones too, with payloads, in the order of the chain."""
    lines, checked = await running.export(form)
    assert (checked.findings, checked.lines, checked.withheld) == ([], 7, 0)
    if lines:
        assert [line["sequence"] for line in lines] == [1, 1, 1, 2, 3, 4, 5]
        assert [line["id"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
        assert [line["request_payload"] for line in lines] == [REQUEST, None, None, REQUEST, None, None, None]
        assert lines[1]["error_message"] == 'a "fault",\r\nand more'
        assert (lines[5]["query_string"], lines[4]["query_string"]) == ("", None)


async def test_filters_choose_and_the_rest_proves(running: Running) -> None:
    """The digests of what was left out lead from the anchor to the head that is signed."""
    for fields, expected in FILTERS:
        lines, checked = await running.export(**fields)
        assert (checked.findings, [line["id"] for line in lines]) == ([], expected), fields
        answers = await running.answers(**fields)
        anchor, head, count = answers[0].anchor, answers[0].anchor.head, 0
        assert anchor.sequence == max(fields.get("from_sequence", 1) - 1, 0)
        for answer in answers:
            for link in answer.links:
                assert not (link.canonical and link.digest) or leaf(link.canonical) == link.digest
                if link.digest:
                    head, count = next_head(head, link.digest), count + 1
        signed = answers[-1].checkpoint
        assert (signed.head, signed.sequence) == (head.hex(), anchor.sequence + count)
        assert anchor.total == count
        assert anchor.sequence or anchor.head == START


async def test_what_is_sealed_and_not_signed_is_signed_for_it(running: Running) -> None:
    """By the process that seals; by another one the export has no checkpoint, and the check says so."""
    chain = running.chain
    await chain.log.append([entry()])
    await chain.sealer.step()
    end = (await chain.links.end()).sequence
    assert (await chain.links.newest_checkpoint()) < end
    lines, checked = await running.export()
    assert ([line["sequence"] for line in lines][-1], checked.findings) == (end, [])
    assert await chain.links.newest_checkpoint() == end
    # Sealed while the export begins: it goes to what is signed, though more was asked for than there was.
    await chain.log.append([entry()])

    async def seal_and_sign() -> None:
        await chain.sealer.step()
        await chain.sealer.sign_now()

    chain.export._sign_now = seal_and_sign
    await chain.log.append([entry()])
    await chain.sealer.step()
    await chain.log.append([entry()])
    lines, checked = await running.export(to_sequence=99)
    assert ([line["sequence"] for line in lines][-1], checked.findings) == (end + 3, [])
    await chain.log.append([entry()])
    await chain.sealer.step()
    chain.export._sign_now = None
    assert [one.kind for one in (await running.export())[1].findings] == ["NOT_SIGNED"]


async def test_payloads_that_have_expired_are_withheld(running: Running) -> None:
    """The export is proven by their digests; and says how many it lacks."""
    stub = running.stub("viewer")
    assert not any(entry.is_payload_expired for entry in (await stub.ListEntries(audit_pb2.ListEntriesRequest())).logs)
    await running.chain.retention(1).round()
    await running.chain.seal()
    listed = (await stub.ListEntries(audit_pb2.ListEntriesRequest())).logs
    assert {one.id for one in listed if one.is_payload_expired} == {1, 4, 6}
    assert {one.id: one.sequence for one in listed} == {1: 1, 2: 1, 3: 1, 4: 2, 5: 3, 6: 4, 7: 5}
    assert (await stub.GetEntry(audit_pb2.GetEntryRequest(id=1))).is_payload_expired
    given = [link.entry for answer in await running.answers() for link in answer.links if link.HasField("entry")]
    assert [one.id for one in given if one.is_payload_expired] == [1, 4, 6]
    lines, checked = await running.export()
    assert (checked.findings, checked.withheld, checked.lines) == ([], 3, 8)
    assert lines[-1]["kind"] == "expired"
    assert not any(line["request_payload"] for line in lines)
    assert sum(line["request_payload_sha256"] is not None for line in lines) == 2


async def test_what_was_changed_in_the_database_does_not_look_sealed(running: Running) -> None:
    """An entry is exported as it was sealed; a payload, an old row or a link that was changed is found by the check."""
    chain = running.chain
    for trigger in await chain.sql(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if chain.database.dialect == "sqlite"
        else "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
    ):
        await chain.sql(f"DROP TRIGGER {trigger[0]}")
    await chain.sql("UPDATE {logs} SET status = 'error' WHERE id = 4")
    lines, checked = await running.export()
    assert (lines[3]["status"], checked.findings) == ("success", [])
    await chain.sql("UPDATE {logs} SET response_payload = '[1]' WHERE id = 4")
    await chain.sql("UPDATE {logs} SET status = 'error' WHERE id = 1")
    checked = (await running.export())[1]
    assert [(one.kind, one.line, one.entry_id) for one in checked.findings] == [
        ("LINE_ALTERED", 1, 1),
        ("PAYLOAD_ALTERED", 4, 4),
    ]
    binary = "BLOB" if chain.database.dialect == "sqlite" else "BINARY"
    changed = f"CAST(REPLACE(canonical, 'push', 'pull') AS {binary})"
    await chain.sql(f"UPDATE {{chain}} SET canonical = {changed} WHERE sequence = 5")
    assert "HEAD_MISMATCH" in {one.kind for one in (await running.export())[1].findings}
    await chain.sql("DELETE FROM {chain} WHERE sequence = 3")
    with pytest.raises(FailedPrecondition) as caught:
        await running.answers()
    assert (caught.value.reason, caught.value.metadata["sequence"]) == ("CHAIN_BROKEN", "3")
    with pytest.raises(FailedPrecondition):
        await running.answers(from_sequence=4)


async def test_messages_are_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is exported: a message ends when it has 1 MiB; walked in small looks, nothing is left out."""
    monkeypatch.setattr(export, "_LINKS_A_LOOK", 3)
    payload = json.dumps("x" * 200_000)
    await running.chain.append(*(entry(request_payload=payload, response_payload=payload) for _ in range(7)))
    answers = await running.answers()
    assert max(answer.ByteSize() for answer in answers) < 1_500_000
    assert len(answers) > 2
    places = [link.sequence for answer in answers for link in answer.links if link.digest]
    assert places == list(range(1, 13))
    assert (await running.export())[1].findings == []


async def test_what_is_no_request_and_who_may_not(running: Running) -> None:
    """Places that cannot be; modules have no part in it."""
    for fields, at_fault in (
        ({"from_sequence": -1}, "from_sequence"),
        ({"to_sequence": -1}, "to_sequence"),
        ({"from_sequence": 3, "to_sequence": 2}, "from_sequence"),
        ({"from_sequence": 99}, "from_sequence"),
        ({"status": "done"}, "status"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await running.answers(**fields)
        assert caught.value.violations[0][0] == at_fault
    with pytest.raises(PermissionDenied):
        await running.answers(role="module:events")


async def test_an_empty_log_is_an_empty_export(database_url: str, tmp_path: Path) -> None:
    """It begins where every chain begins."""
    chain = await Chain.open(database_url, tmp_path)
    outline = await chain.export.outline(export.Wanted(EntryFilter(), 0, 0))
    assert (outline.anchor.sequence, outline.anchor.head, outline.total, outline.checkpoint) == (0, START, 0, None)
    assert [part async for part in chain.export.parts(export.Wanted(EntryFilter(), 0, 0), outline)] == []
    await chain.database.close()
