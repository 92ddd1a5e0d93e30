"""Export files: what is written is what was sealed, and whatever is changed about a file or its proof is found."""

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from intertie.audit.v1 import audit_pb2
from intertie_chassis.chain_format import (
    ENTRY_COLUMNS,
    START,
    canonical_bytes,
    chain_id,
    checkpoint_text,
    leaf,
    next_head,
)
from intertie_chassis.chain_signatures import ChainPublicKeys
from intertie_cli.audit_check import Checked, check
from intertie_cli.audit_export import Broken, Exporter
from intertie_cli.audit_lines import COLUMNS, Form
from intertie_cli.audit_proof import Proof, path_beside

SEALED_AT = "2025-01-20 12:00:00.123456"
REQUEST, RESPONSE = '{"id": 1, "text": "a \\"quoted\\" text"}', '{"rows":[1,2]}'
TEXTS = (
    "=HYPERLINK(1)",
    'two "quotes", and a comma',
    "lines\r\nand\nmore",
    "",
    None,
    "Ünï\u2028©ode 🙂",
    "@x",
    " spaced ",
)
FORMS = pytest.mark.parametrize("form", list(Form))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def columns(number: int, text: str | None) -> list[Any]:
    """The columns of an entry, of every type that there is."""
    of = dict.fromkeys(ENTRY_COLUMNS) | {
        "id": number, "entry_id": f"{number:026d}", "created_at": SEALED_AT, "system_id": 7, "query_type": "webhook",
        "query_string": text, "response_status": 202, "status": "success",
    }  # fmt: skip
    return list(of.values())


class Chain:
    """A chain of two blocks of found entries, notes and entries, of which some were chosen."""

    def __init__(self, is_filtered: bool = True) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.links: list[audit_pb2.ChainLink] = []
        self.head, self.first = START, b""
        rows = [columns(number, TEXTS[number]) for number in (0, 1, 2)]
        listed = [
            [row[0], hashlib.sha256(canonical_bytes(row)).hexdigest(), sha256(REQUEST) if row[0] else None, None]
            for row in rows
        ]
        block = [1, "found", SEALED_AT, 0, 2, 3, listed]
        self._link(block, is_chosen=True)
        for row in rows[1:] if is_filtered else rows:
            entry = audit_pb2.Entry(id=row[0], request_payload=REQUEST.encode() if row[0] else b"")
            self.links.append(audit_pb2.ChainLink(sequence=1, canonical=canonical_bytes(row), entry=entry))
        for place, text in enumerate(TEXTS, 2):
            digests = [sha256(REQUEST), sha256(RESPONSE) if place % 2 else None]
            is_expired = place == 4
            entry = audit_pb2.Entry(
                id=place + 100,
                request_payload=b"" if is_expired else REQUEST.encode(),
                response_payload=RESPONSE.encode() if place % 2 else b"",
            )
            values = [place, "entry", SEALED_AT, *columns(place + 100, text), *digests]
            self._link(values, entry, is_chosen=not is_filtered or place != 5)
        note = [len(TEXTS) + 2, "expired", SEALED_AT, "payloads of sequences up to 4 expired"]
        self._link(note, is_chosen=not is_filtered)

    def _link(self, values: list[Any], entry: audit_pb2.Entry | None = None, *, is_chosen: bool) -> None:
        canonical = canonical_bytes(values)
        link = audit_pb2.ChainLink(sequence=values[0], digest=leaf(canonical))
        if is_chosen:
            link.canonical = canonical
            if entry is not None:
                link.entry.CopyFrom(entry)
        self.head = next_head(self.head, link.digest)
        self.first = self.first or self.head
        self.links.append(link)

    @property
    def jwks(self) -> bytes:
        raw = base64.urlsafe_b64encode(self.key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": raw}]}).encode()

    @property
    def keys(self) -> ChainPublicKeys:
        return ChainPublicKeys(self.jwks)

    def checkpoint(self) -> audit_pb2.ChainCheckpoint:
        (key_id,) = self.keys.ids
        end = self.links[-1].sequence
        text = checkpoint_text(chain_id(self.first), end, self.head, 0, datetime(2025, 1, 21), key_id)
        return audit_pb2.ChainCheckpoint(signed_text=text, signature=self.key.sign(text.encode()))

    async def answers(self) -> AsyncIterator[audit_pb2.ExportEntriesResponse]:
        """As audit streams them, in messages of three."""
        anchor = audit_pb2.ChainAnchor(sequence=0, head=START, total=self.links[-1].sequence)
        yield audit_pb2.ExportEntriesResponse(anchor=anchor)
        for start in range(0, len(self.links), 3):
            yield audit_pb2.ExportEntriesResponse(links=self.links[start : start + 3])
        yield audit_pb2.ExportEntriesResponse(checkpoint=self.checkpoint())

    async def export(self, file: Path, form: Form, *, is_filtered: bool = True, **options: Any) -> Exporter:
        filters = {"status": "success"} if is_filtered else {}
        exporter = Exporter(file, form, filters, 0, self.jwks, **options)
        await exporter.take(self.answers(), lambda done, total: None)
        exporter.finish()
        return exporter


def checked(file: Path, chain: Chain) -> Checked:
    return check(file, Proof.read(path_beside(file)), chain.keys)


def lines_of(file: Path, form: Form) -> list[bytes]:
    """The lines of a file, as a program of others tells them apart."""
    lines = re.findall(rb"[^\n]*\n", file.read_bytes())
    if form is Form.JSONL:
        return lines
    reader = csv.reader((line.decode() for line in lines), strict=True)
    ends = [0, *(reader.line_num for _cells in reader)]
    return [b"".join(lines[start:end]) for start, end in pairwise(ends)]


@FORMS
async def test_a_file_is_what_was_sealed(tmp_path: Path, form: Form) -> None:
    """Lines in the chain's order with all their values, and nothing to be found about it."""
    chain = Chain()
    exporter = await chain.export(tmp_path / "export", form)
    found = checked(tmp_path / "export", chain)
    assert (found.findings, found.lines, found.withheld) == ([], 9, 1)
    assert (exporter.lines, exporter.withheld, exporter.signed, exporter.altered) == (9, 1, 10, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "export.proof.json"]
    if form is Form.CSV:
        rows = list(csv.DictReader(io.StringIO((tmp_path / "export").read_bytes().decode(), newline="")))
    else:
        rows = [json.loads(line) for line in (tmp_path / "export").read_text().split("\n")[:-1]]
    assert [str(row["sequence"]) for row in rows] == ["1", "1", "2", "3", "4", "6", "7", "8", "9"]
    assert [row["query_string"] or "" for row in rows[2:]] == [TEXTS[index] or "" for index in (0, 1, 2, 4, 5, 6, 7)]
    assert {row["request_payload"] for row in rows} == {REQUEST, None if form is Form.JSONL else ""}
    assert all(set(row) - {"types"} == set(COLUMNS) for row in rows)


@FORMS
async def test_an_export_of_all_lacks_none(tmp_path: Path, form: Form) -> None:
    """Notes too; a proof of all from which a place or an entry of a block was taken is found out."""
    chain = Chain(is_filtered=False)
    file = tmp_path / "export"
    await chain.export(file, form, is_filtered=False)
    assert (checked(file, chain).findings, checked(file, chain).lines) == ([], 12)
    proof = Proof.read(path_beside(file))
    for index in (1, 5, 11):
        shorter = Proof.read(path_beside(file))
        place, number = shorter.lines.pop(index)
        shorter.withheld = {line - (line > index): names for line, names in proof.withheld.items()}
        kinds = {(one.kind, one.sequence, one.line > 0) for one in check(file, shorter, chain.keys).findings}
        assert ("LINE_MISSING", place, False) in kinds, number
        assert ("LINE_ADDED", place, True) in kinds


@FORMS
async def test_every_changed_byte_is_found_in_its_line(tmp_path: Path, form: Form) -> None:
    """Of whatever it is a part: a value, a quote, the name of a member, the end of a line."""
    chain = Chain()
    file = tmp_path / "export"
    await chain.export(file, form)
    raw, lines = file.read_bytes(), lines_of(file, form)
    starts = [sum(map(len, lines[:index])) for index in range(len(lines) + 1)]
    for at in range(0, len(raw), 31):
        for changed in (raw[at] ^ 1, ord("\n")):
            if changed == raw[at]:
                continue
            file.write_bytes(raw[:at] + bytes([changed]) + raw[at + 1 :])
            number = next(index for index in range(len(lines)) if at < starts[index + 1]) + 1
            found = checked(file, chain).findings
            assert any(one.line == number for one in found), (at, changed, found)


def without(lines: list[bytes], index: int) -> list[bytes]:
    return lines[:index] + lines[index + 1 :]


@FORMS
async def test_lines_removed_added_and_moved_are_named(tmp_path: Path, form: Form) -> None:
    """By the place that a missing one had, and by the number of the line otherwise."""
    chain = Chain()
    file = tmp_path / "export"
    await chain.export(file, form)
    lines = lines_of(file, form)
    first = 1 if form is Form.CSV else 0
    places = [1, 1, 2, 3, 4, 6, 7, 8, 9]

    def found(changed: list[bytes]) -> list[tuple[str, int, int]]:
        file.write_bytes(b"".join(changed))
        return [(one.kind, one.line, one.sequence) for one in checked(file, chain).findings]

    for index, place in enumerate(places):
        assert found(without(lines, index + first)) == [("LINE_MISSING", 0, place)]
        again = [*lines[: first + 4], lines[first + index], *lines[first + 4 :]]
        assert next(kind for kind, _line, at in found(again) if at == place) == "LINE_ADDED"
    moved = [*lines[: first + 2], *without(lines[first + 2 :], 0)[:3], lines[first + 2], *lines[first + 6 :]]
    assert found(moved) == [("LINE_MOVED", first + 6, 2)]
    assert found([*lines[:first], *lines[first:][::-1]]).count(("LINE_MISSING", 0, 2)) == 0
    assert len(found([*lines[:first], *lines[first:][::-1]])) == 8
    assert {kind for kind, _line, _at in found([*lines, b"\n"])} == {"LINE_UNREADABLE"}
    assert {kind for kind, _line, _at in found([*lines[:-1], lines[-1].rstrip()])} == {"LINE_ALTERED"}
    assert found([b"\xef\xbb\xbf", *lines]) != []
    assert len(found([])) >= 9
    assert found(lines) == []


@FORMS
async def test_payloads_are_part_of_it(tmp_path: Path, form: Form) -> None:
    """Changed, or taken away though it had not expired."""
    chain = Chain()
    file = tmp_path / "export"
    await chain.export(file, form)
    lines = lines_of(file, form)
    first = 1 if form is Form.CSV else 0
    shown = json.dumps(REQUEST).encode() if form is Form.JSONL else b'"' + REQUEST.replace('"', '""').encode() + b'"'
    for index, there, kind in (
        (0, shown, "PAYLOAD_MISSING"),
        (3, shown, "PAYLOAD_MISSING"),
        (3, b"quoted", "PAYLOAD_ALTERED"),
    ):
        changed = list(lines)
        nothing = b"null" if form is Form.JSONL else b""
        changed[first + index] = changed[first + index].replace(
            there, nothing if kind == "PAYLOAD_MISSING" else b"Quoted"
        )
        assert changed != lines
        file.write_bytes(b"".join(changed))
        assert [(one.kind, one.line) for one in checked(file, chain).findings] == [(kind, first + index + 1)]


def _in(name: str, *path: Any) -> Callable[[dict[str, Any]], None]:
    """Changes one member of a proof: a letter of a text, or a number by one."""

    def change(document: dict[str, Any]) -> None:
        holder: Any = document
        for step in (name, *path)[:-1]:
            holder = holder[step]
        last = (name, *path)[-1]
        value = holder[last]
        if isinstance(value, int):
            holder[last] = value + 1
        else:
            middle = len(value) // 2
            holder[last] = value[:middle] + ("b" if value[middle] != "b" else "c") + value[middle + 1 :]

    return change


PROOF_CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a digest": _in("digests", 4),
    "a digest of what is not there": _in("digests", 3),
    "a digest less": lambda document: document["digests"].pop(3),
    "a digest more": lambda document: document["digests"].insert(3, document["digests"][3]),
    "two digests in another order": lambda document: document["digests"].insert(2, document["digests"].pop(3)),
    "the end cut off": lambda document: (document["digests"].pop(), document["lines"].pop()),
    "the anchor": _in("anchor", "head"),
    "the place of the anchor": _in("anchor", "sequence"),
    "what was signed": lambda document: document["checkpoint"].update(
        text=document["checkpoint"]["text"].replace("sequence 10", "sequence 11")
    ),
    "the signature": _in("checkpoint", "signature"),
    "no checkpoint": lambda document: document.update(checkpoint=None),
    "a block": lambda document: document["blocks"].update({"1": base64.b64encode(b"[1]").decode()}),
    "a line": lambda document: document["lines"].pop(4),
    "the file's digest": _in("file", "sha256"),
}


@pytest.mark.parametrize("change", sorted(PROOF_CHANGES))
async def test_whatever_is_changed_in_a_proof_is_found(tmp_path: Path, change: str) -> None:
    """The proof is signed by no one, and needs not be."""
    chain = Chain()
    file = tmp_path / "export"
    await chain.export(file, Form.JSONL)
    document = json.loads(path_beside(file).read_bytes())
    PROOF_CHANGES[change](document)
    path_beside(file).write_text(json.dumps(document))
    assert checked(file, chain).findings


async def test_a_line_that_was_forged_with_its_proof_does_not_lead_to_what_was_signed(tmp_path: Path) -> None:
    """Line, digest, and the digest of the file agree; the head does not. Signed anew, the key is not the known one."""
    chain = Chain()
    file = tmp_path / "export"
    await chain.export(file, Form.JSONL)
    forged = Chain()
    forged.links[5] = audit_pb2.ChainLink()
    forged.links[5].CopyFrom(chain.links[5])
    entry = json.loads(chain.links[5].canonical)
    entry[9] = "nothing happened"
    forged.links[5].canonical = canonical_bytes(entry)
    forged.links[5].digest = leaf(forged.links[5].canonical)
    forged.head = START
    for link in forged.links:
        forged.head = next_head(forged.head, link.digest) if link.digest else forged.head
    other = tmp_path / "forged"
    await forged.export(other, Form.JSONL)
    assert checked(other, forged).findings == []
    assert {one.kind for one in checked(other, chain).findings} == {"KEY_UNKNOWN"}
    proof = Proof.read(path_beside(other))
    proof.checkpoint = Proof.read(path_beside(file)).checkpoint
    assert {one.kind for one in check(other, proof, chain.keys).findings} == {"HEAD_MISMATCH"}
    proof.checkpoint = None
    assert {one.kind for one in check(other, proof, chain.keys).findings} == {"NOT_SIGNED"}


async def test_for_a_spreadsheet_formulas_are_disarmed(tmp_path: Path) -> None:
    """And no proof stands beside the file, not even that of an earlier one."""
    chain = Chain()
    file = tmp_path / "export.csv"
    await chain.export(file, Form.CSV)
    await chain.export(file, Form.CSV, is_safe=True)
    assert not path_beside(file).exists()
    rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")))
    assert [row["query_string"] for row in rows if row["query_string"][:1] == "'"] == ["'=HYPERLINK(1)", "'@x"]


async def test_a_chain_that_cannot_be_read_is_not_exported(tmp_path: Path) -> None:
    """What is no canonical form has no line; nothing is left behind."""
    for broken in (b"[", b'[3,"entry",null]', b'[3, "entry","now"]', b"{}"):
        chain = Chain()
        chain.links[4].canonical = broken
        exporter = Exporter(tmp_path / "export", Form.CSV, {}, 0, chain.jwks)
        with pytest.raises(Broken, match=f"place {chain.links[4].sequence} "):
            await exporter.take(chain.answers(), lambda done, total: None)
        exporter.abandon()
        assert list(tmp_path.iterdir()) == []
