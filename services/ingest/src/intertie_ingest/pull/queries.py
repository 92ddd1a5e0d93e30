"""Questions of modules to external systems: who may ask what, within which limits, and each in the audit log."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from intertie_chassis.errors import InvalidArgument
from intertie_chassis.principals import current_principal
from intertie_ingest.apis.apis import ApiAnswer, Apis
from intertie_ingest.apis.calls import METHODS, only_reads, path_of
from intertie_ingest.databases.databases import Databases, Result
from intertie_ingest.databases.reading import Caps
from intertie_ingest.databases.statements import Statement, check_statement, tables_needing_columns
from intertie_ingest.errors import QueryNotPermitted
from intertie_ingest.external import ExternalConnection
from intertie_ingest.pull.configuration import PullConfiguration, PullGrant, PullSystem
from intertie_ingest.pull.grants import asking_module, granted
from intertie_ingest.pull.journal import Journal
from intertie_ingest.pull.limits import Limits, Slots
from intertie_ingest.pull.note import Note
from intertie_ingest.pull.questions import ApiQuestion, DatabaseQuestion
from intertie_ingest.pull.snapshot import PullSnapshot
from intertie_mapping.documents import parse_value
from intertie_mapping.errors import DocumentError

T = TypeVar("T")

MOST_STATEMENT_BYTES = 32 * 1024
_SHORT_CHARACTERS = 1000
"""A statement of so many takes milliseconds, no more than a thread would."""


class Queries:
    """Answers modules."""

    def __init__(
        self,
        snapshot: PullSnapshot,
        databases: Databases,
        apis: Apis,
        journal: Journal,
        slots: Slots,
        limits: Limits,
    ) -> None:
        self._snapshot = snapshot
        self._databases = databases
        self._apis = apis
        self._journal = journal
        self._slots = slots
        self._limits = limits

    async def ask_database(self, question: DatabaseQuestion) -> Result:
        """The rows, or of a statement that writes how many it changed.

        Raises the errors of the grant (ModuleMismatch, GrantMissing, QueryNotPermitted), of the statement
        (QueryRefused, InvalidArgument) and of the external database; Overloaded; Unavailable when it cannot be written
        to the log.
        """
        async with self._journal.telling(Note.of_statement(question)) as note:
            configuration, system, grant = self._granted(question, note)
            with self._slots.taken(note.module):
                connection, statement, params, caps = await self._allowed(question, configuration, system, grant, note)
                result = await self._databases.query(connection, statement, params, caps)
            note.has_changed = statement.kind != "select"
            note.answered = _told(result.count, len(result.rows_json), result.truncated)
        return result

    async def stream_database(self, question: DatabaseQuestion) -> AsyncGenerator[tuple[Result, bool], None]:
        """As `ask_database`, in parts, each with whether it is the last one: which comes once the log has it.

        The grant is asked for each part: one that ends, is taken away or narrowed ends the stream, too.
        """
        held: Result | None = None
        count, size = 0, 0
        async with self._journal.telling(Note.of_statement(question)) as note:
            configuration, system, grant = self._granted(question, note)
            with self._slots.taken(note.module):
                connection, statement, params, caps = await self._allowed(question, configuration, system, grant, note)
                async with aclosing(self._databases.stream(connection, statement, params, caps)) as parts:
                    async for part in parts:
                        if statement.kind == "select":
                            grant = await self._still_allowed(question, grant, note)
                        count, size = count + part.count, size + len(part.rows_json)
                        note.has_changed = statement.kind != "select"
                        note.answered = _told(count, size, part.truncated)
                        if held is not None:
                            yield held, False
                        held = part
        yield held or Result(b"[]", 0, False), True

    async def call_api(self, question: ApiQuestion) -> ApiAnswer:
        """What the API answers. Raises as `ask_database`, and the errors of the API."""
        async with self._journal.telling(Note.of_call(question)) as note:
            configuration, system, grant = self._granted(question, note)
            method = question.method.upper() or "GET"
            if method not in METHODS:
                known = ", ".join(METHODS)
                raise InvalidArgument(
                    f"there is no such method; use {known}", violations=[("method", f"not in {known}")]
                )
            connection = configuration.api_of(system, question.connection_id)
            note.asked["connection_id"] = connection.id
            data, path = _json("data", question.data), path_of(connection, question.endpoint)
            reads = only_reads(connection, method, data)
            _check_access(grant, "read" if reads else "write")
            grant.permissions.check_endpoint(method, path)
            with self._slots.taken(note.module):
                answer = await self._apis.call(connection, method, question.endpoint, data, only_reads=reads)
            note.has_changed = not reads
            note.answered = {"upstream_status": answer.status, "bytes": len(answer.data)}
        return answer

    async def _allowed(
        self,
        question: DatabaseQuestion,
        configuration: PullConfiguration,
        system: PullSystem,
        grant: PullGrant,
        note: Note,
    ) -> tuple[ExternalConnection, Statement, dict[str, Any], Caps]:
        """Where, what and within which limits is to be run. It takes a slot, for to understand a statement is work."""
        grant.permissions.check_open()
        if len(question.query.encode()) > MOST_STATEMENT_BYTES:
            text = f"must be at most {MOST_STATEMENT_BYTES // 1024} KiB"
            raise InvalidArgument(f"query {text}", violations=[("query", text)])
        connection = configuration.database_of(system, question.connection_id)
        note.asked["connection_id"] = connection.id
        params = _json("params", question.params)
        if params == []:  # PHP writes an empty object so
            params = None
        if not isinstance(params, dict | None):
            raise InvalidArgument("params must be a JSON object", violations=[("params", "must be a JSON object")])
        caps = self._caps(question, grant, connection)
        driver, permissions = connection.db_driver, grant.permissions
        needed = await self._understood(question, tables_needing_columns, question.query, driver, permissions)
        columns = await self._databases.columns(connection, needed) if needed else None
        check = partial(
            check_statement, access=grant.access_type, permissions=permissions, row_limit=caps.rows, columns=columns
        )
        statement = await self._understood(question, check, question.query, driver)
        note.query_type = statement.kind
        return connection, statement, params or {}, caps

    async def _still_allowed(self, question: DatabaseQuestion, grant: PullGrant, note: Note) -> PullGrant:
        """The grant as it is now, once the question is within it still. Raises as `ask_database`."""
        configuration, system, now = self._granted(question, note)
        if now != grant:
            await self._allowed(question, configuration, system, now, note)
        return now

    async def _understood(self, question: DatabaseQuestion, work: Callable[..., T], *arguments: Any) -> T:
        """What the work gives, done beside the event loop when the statement is long: the longest take some tenths of a
        second, in which nobody else would be answered."""
        if len(question.query) <= _SHORT_CHARACTERS:
            return work(*arguments)
        return await asyncio.to_thread(work, *arguments)

    def _granted(
        self, question: DatabaseQuestion | ApiQuestion, note: Note
    ) -> tuple[PullConfiguration, PullSystem, PullGrant]:
        configuration, principal = self._snapshot.configuration(), current_principal()
        known = configuration.by_name.get(question.system)
        note.system_id = 0 if known is None else known.id
        if principal.role == "module":
            note.module = principal.name
        note.module = asking_module(principal, question.module)
        return configuration, *granted(configuration, principal, note.module, question.system)

    def _caps(self, question: DatabaseQuestion, grant: PullGrant, connection: ExternalConnection) -> Caps:
        limits = self._limits
        most = limits.stream_rows if question.is_stream else limits.query_rows
        rows = min(filter(None, (question.max_rows, grant.permissions.max_rows, most)))
        size = limits.stream_bytes if question.is_stream else limits.query_bytes
        return Caps(rows, size, limits.seconds(connection, is_stream=question.is_stream))


def _check_access(grant: PullGrant, access: str) -> None:
    if not grant.covers(access):
        raise QueryNotPermitted(f"the module's grant to {grant.access_type[:16]} does not cover a call to {access}")


def _json(field: str, text: bytes) -> Any:
    """What the JSON text holds; None for no text. Raises InvalidArgument."""
    if not text:
        return None
    try:
        return parse_value(text.decode())
    except (UnicodeDecodeError, DocumentError) as error:
        told = error.message if isinstance(error, DocumentError) else "It is not UTF-8."
        raise InvalidArgument(f"{field} must be JSON: {told}", violations=[(field, told)]) from None


def _told(rows: int, size: int, is_truncated: bool) -> dict[str, Any]:
    return {"rows": rows, "bytes": size, "truncated": is_truncated}
