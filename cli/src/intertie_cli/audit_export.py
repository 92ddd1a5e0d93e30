"""Writes an export: the file and its proof, from what audit streams."""

import hashlib
import json
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import BinaryIO

from intertie.audit.v1 import audit_pb2
from intertie_chassis.chain_format import FOUND, NO_DIGEST, BlockRow, block_rows, read_checkpoint, values_of
from intertie_cli import audit_lines
from intertie_cli.audit_lines import Form, Line
from intertie_cli.audit_proof import Proof, path_beside
from intertie_cli.problems import UsageError


class Broken(Exception):
    """What came cannot be exported: the chain is not what it should be."""


class Exporter:
    """One export. Give it all answers, then `finish`."""

    def __init__(
        self, target: Path, form: Form, filters: dict[str, str], last: int, keys: bytes, *, is_safe: bool = False
    ) -> None:
        """Args:
        target: the file; its proof stands beside it.
        form: how the file is written.
        filters: what was chosen by.
        last: the last place that may be chosen; 0: the end.
        keys: the public keys, a JSON Web Key Set.
        is_safe: for spreadsheets; there is no proof then.

        Raises UsageError when the file cannot be made.
        """
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._hash = hashlib.sha256()
        self._is_safe = is_safe
        self._proof = Proof(form, "", filters, 0, b"", last, [], keys=keys)
        self._block: tuple[list[object], dict[int, BlockRow]] = ([], {})
        #: entries whose payloads are not what was sealed: the check will find them, too
        self.altered: list[int] = []
        try:
            self._file: BinaryIO = self._part.open("wb")
        except OSError as error:
            raise UsageError(f"--file: {target} cannot be written ({error.strerror})") from None
        self._write(audit_lines.header(form))

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return len(self._proof.lines)

    @property
    def withheld(self) -> int:
        """How many of them lack a payload that was sealed."""
        return len(self._proof.withheld)

    @property
    def signed(self) -> int | None:
        """The place that was signed; None when nothing was."""
        return self._proof.checkpoint.sequence if self._proof.checkpoint else None

    async def take(
        self, answers: AsyncIterable[audit_pb2.ExportEntriesResponse], show: Callable[[int, int], None]
    ) -> None:
        """Writes what comes; `show(done, total)` is told how far it is. Raises Broken."""
        total = 0
        async for answer in answers:
            if answer.HasField("anchor"):
                self._proof.anchor_sequence, self._proof.anchor_head = answer.anchor.sequence, answer.anchor.head
                total = answer.anchor.total
            for link in answer.links:
                try:
                    self._link(link)
                except (ValueError, KeyError, IndexError):
                    raise Broken(
                        f"place {link.sequence} of the chain cannot be read; `intertie audit verify` tells more"
                    ) from None
            if answer.HasField("checkpoint"):
                signed = answer.checkpoint
                self._proof.checkpoint = read_checkpoint(signed.signed_text, signed.signature)
            show(len(self._proof.digests), total)

    def finish(self) -> None:
        """Puts file and proof where they belong."""
        self._file.close()
        proof = self._proof
        proof.file_sha256 = self._hash.hexdigest()
        beside = path_beside(self._target)
        if self._is_safe:
            beside.unlink(missing_ok=True)  # of an earlier file of this name
            self._part.replace(self._target)
            return
        proof.write(beside.with_name(f"{beside.name}.part"))
        self._part.replace(self._target)
        beside.with_name(f"{beside.name}.part").replace(beside)

    def abandon(self) -> None:
        """Leaves nothing behind."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _link(self, link: audit_pb2.ChainLink) -> None:
        payloads = ("", "")
        if link.HasField("entry"):
            payloads = (link.entry.request_payload.decode(), link.entry.response_payload.decode())
        if not link.digest:
            self._add(self._found(link, *payloads))
            return
        self._proof.digests.append(link.digest)
        if not link.canonical:
            return
        values = values_of(link.canonical)
        if values[1] == FOUND:
            self._proof.blocks[link.sequence] = link.canonical
            rows = {row.entry_id: row for row in block_rows(link.canonical)}
            self._block = values[: len(audit_lines.PREFIX)], rows
        else:
            self._add(audit_lines.of_canonical(link.canonical, *payloads))

    def _found(self, link: audit_pb2.ChainLink, request: str, response: str) -> Line:
        """The line of an entry whose link seals many."""
        prefix, rows = self._block
        own: list[object] = json.loads(link.canonical)
        row = rows[int(str(own[0]))]
        digests = (None if digest == NO_DIGEST else digest.hex() for digest in (row.request, row.response))
        return Line.of([*prefix, *own, *digests], request, response)

    def _add(self, line: Line) -> None:
        if line.withheld:
            self._proof.withheld[len(self._proof.lines)] = line.withheld
        if line.altered_payloads:
            self.altered.append(line.sequence)
        self._proof.lines.append((line.sequence, line.entry_id))
        self._write(audit_lines.written(line, self._proof.form, is_safe=self._is_safe))

    def _write(self, raw: bytes) -> None:
        self._hash.update(raw)
        self._file.write(raw)
