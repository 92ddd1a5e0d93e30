"""An API's endpoint as a source of records: page by page, each with the place from which another process can go on."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import orjson

from intertie_ingest.apis import exact, graphql
from intertie_ingest.apis.apis import ApiAnswer, Apis
from intertie_ingest.apis.body_paths import set_at
from intertie_ingest.apis.calls import only_reads, query_of
from intertie_ingest.apis.cursor_texts import cursor_text
from intertie_ingest.apis.paginators import Ask, Seen, paginator_of
from intertie_ingest.apis.rounds import GoesRound, step
from intertie_ingest.apis.target import BASE, LeavesBase, path_below
from intertie_ingest.errors import ExternalInvalid
from intertie_ingest.external import ExternalConnection
from intertie_ingest.syncs.cursors import CursorMismatch, CursorValue, largest
from intertie_ingest.syncs.source import Page, Range
from intertie_mapping.synchronisation import Synchronisation
from intertie_mapping.values import MISSING

#: from this size on an answer is read beside the event loop
_LARGE_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where reading has got to."""

    #: the paginator's; None: nothing comes behind
    state: dict[str, Any] | None
    #: the largest cursor value so far
    cursor: CursorValue | None = None
    #: what tells a circle
    rounds: dict[str, Any] = field(default_factory=dict)

    def position(self) -> bytes:
        cursor = self.cursor and {"kind": self.cursor.kind, "text": self.cursor.text}
        return orjson.dumps({"state": self.state, "cursor": cursor, "rounds": self.rounds})

    @classmethod
    def of(cls, position: bytes) -> "_Place":
        stored = orjson.loads(position)
        cursor = stored["cursor"] and CursorValue.parse(stored["cursor"]["kind"], stored["cursor"]["text"])
        return cls(stored["state"], cursor or None, stored["rounds"])


class EndpointSource:
    """Reads what a mapping's synchronisation says of an endpoint. Implements `syncs.source.Source`."""

    #: in which order an API gives its records nobody knows: the cursor holds once all of them are read
    is_ordered = False

    def __init__(
        self, apis: Apis, connection: ExternalConnection, endpoint: str, synchronisation: Synchronisation
    ) -> None:
        """Args:
        endpoint: below the base URL; of SOAP the action.

        Raises NoSource for a pagination whose values make no sense, InvalidArgument for an endpoint that is none.
        """
        self._apis = apis
        self._connection = connection
        self._endpoint = endpoint
        self._sync = synchronisation
        self._paginator = paginator_of(synchronisation.pagination, synchronisation.page_size)
        #: parameters are members of the body here
        self._in_body = connection.connection_type in ("graphql", "soap")
        if connection.connection_type != "soap":
            path_below(endpoint)

    async def pages(self, wanted: Range, position: bytes | None) -> AsyncGenerator[Page, None]:
        """See Source. The page's cursor is given with the last page only.

        With an `end` both bounds of the range are looked at here, record by record; without one the start is only sent
        to the API, as `cursor_param`: what is read once more has not changed.
        """
        place = _Place(self._paginator.first()) if position is None else _Place.of(position)
        if place.state is None:
            yield Page((), place.position(), place.cursor, is_last=True)
        while place.state is not None:
            answer = await self._ask(self._paginator.ask(place.state), wanted)
            if len(answer.data) < _LARGE_BYTES:
                records, place = self._read(answer, place, wanted)
            else:
                records, place = await asyncio.to_thread(self._read, answer, place, wanted)
            last = place.state is None
            yield Page(records, place.position(), place.cursor if last else None, is_last=last)

    async def _ask(self, ask: Ask, wanted: Range) -> ApiAnswer:
        sync, connection = self._sync, self._connection
        params: dict[str, Any] = {**sync.params}
        if wanted.start is not None and sync.cursor_param:
            params[sync.cursor_param] = cursor_text(wanted.start, sync.cursor_format)
        params |= ask.params
        body = self._body(params, ask)
        endpoint = self._endpoint
        if ask.link is not None:
            endpoint = ask.link
        elif not self._in_body:
            endpoint = path_below(endpoint).with_query(query_of(params, "params")).text
        method = sync.method
        if self._in_body:
            method = "GET" if only_reads(connection, "GET", body) else "POST"
        return await self._apis.call(connection, method, endpoint, body, only_reads=False)

    def _body(self, params: dict[str, Any], ask: Ask) -> Any:
        body = deepcopy(self._sync.body)
        if self._connection.connection_type == "graphql":
            body = graphql.call_of(body)
        if self._in_body:
            prefix = "variables." if self._connection.connection_type == "graphql" else ""
            for name, value in params.items():
                body = set_at(body, prefix + name, value)
        for path, value in ask.body.items():
            body = set_at(body, path, value)
        return body

    def _read(self, answer: ApiAnswer, place: _Place, wanted: Range) -> tuple[list[bytes], _Place]:
        """The records of a page that are in the range, and the place behind it."""
        assert place.state is not None
        document = exact.parse(answer.data)
        found = self._found(document)
        records = [exact.dump(record) for record in found]
        cursor, kept = place.cursor, []
        try:
            for record, raw in zip(found, records, strict=True):
                value = self._cursor_of(record)
                if self._is_in(value, wanted):
                    kept.append(raw)
                    cursor = largest(cursor, value)
        except CursorMismatch as error:
            raise ExternalInvalid(f"{self._sync.cursor_field}: {error}") from None
        digest = hashlib.sha256(b"\n".join(records)).hexdigest()
        seen = Seen(document, len(records), digest, answer.link)
        state = self._paginator.after(place.state, seen)
        rounds = place.rounds
        if state is not None:
            state = self._below_base(state, answer)
            try:
                mark = self._paginator.mark(state, seen)
                rounds = step(rounds, mark) if mark else rounds
            except GoesRound:
                message = "the pages of the external system go round in a circle: the same one has come before"
                raise ExternalInvalid(message) from None
        return kept, _Place(state, cursor, rounds)

    def _found(self, document: Any) -> list[Any]:
        path = self._sync.records
        if path is None:
            data = document.get("data") if isinstance(document, dict) else None
            found = data if isinstance(data, list) else document
        else:
            found = exact.find(document, path)
            if found is MISSING and self._connection.connection_type == "soap":
                return []  # XML has no empty list: there is just no element
        if found is None:
            return []
        if isinstance(found, list):
            return found
        if isinstance(found, dict) or (isinstance(found, exact.Literal) and found.is_object):
            return [found]
        where = f"at records path {path!r}" if path else "in the answer"
        raise ExternalInvalid(f"there are no records {where}: neither an array nor an object")

    def _cursor_of(self, record: Any) -> CursorValue | None:
        if self._sync.cursor_field is None or not isinstance(record, dict):
            return None
        found = exact.find(record, self._sync.cursor_field)
        return None if found is MISSING else CursorValue.of(exact.plain(found))

    def _is_in(self, value: CursorValue | None, wanted: Range) -> bool:
        if wanted.end is None or self._sync.cursor_field is None:
            return True
        if value is None:
            return wanted.with_unset
        return value < wanted.end and (wanted.start is None or value >= wanted.start)

    def _below_base(self, state: dict[str, Any], answer: ApiAnswer) -> dict[str, Any]:
        """A state whose link, if it has one, is an endpoint."""
        if state.get("link") is None:
            return state
        try:
            endpoint = self._apis.follow(self._connection, answer.endpoint or BASE, state["link"])
        except LeavesBase as error:
            raise ExternalInvalid(
                f"the link to the next page is not below the connection's base URL: {error}"
            ) from None
        return {**state, "link": endpoint.text}
