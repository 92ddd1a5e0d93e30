"""The external APIs: what is asked of them goes through here, and nothing else reaches them."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.apis import calls, content, graphql, soap, verdicts
from intertie_ingest.apis.api import Api
from intertie_ingest.apis.breaker import Breaker
from intertie_ingest.apis.calls import Call
from intertie_ingest.apis.exchange import Answer
from intertie_ingest.apis.retries import retry_after_of
from intertie_ingest.apis.target import BASE, BaseUrl, Endpoint, path_below
from intertie_ingest.apis.xml import InvalidXml
from intertie_ingest.egress import Egress
from intertie_ingest.errors import ConnectionUnusable, ExternalInvalid, QueryNotPermitted
from intertie_ingest.external import ExternalConnection

_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What an API answered with a status of 2xx."""

    status: int
    #: JSON
    data: bytes
    #: the Link header, for pagination
    link: str = ""
    #: where it came from after redirects, for links that are relative
    endpoint: Endpoint = BASE


class Apis:
    """Calls the APIs of connections. Each connection has its own sockets, token and breaker, for as long as it stays as
    it is."""

    def __init__(
        self, egress: Egress, *, max_response_bytes: int = 10 * 1024 * 1024, connections_per_api: int = 16
    ) -> None:
        """Args:
        max_response_bytes: how large an answer may be when decompressed; a connection may set less.
        connections_per_api: sockets to one API; further calls wait for one.
        """
        self._egress = egress
        self._most_bytes = max_response_bytes
        self._most_connections = connections_per_api
        self._apis: dict[int, Api] = {}

    async def call(
        self, connection: ExternalConnection, method: str, endpoint: str, data: Any, *, only_reads: bool
    ) -> ApiAnswer:
        """Calls an endpoint below the base URL; redirects and retries are inside.

        Args:
            endpoint: of SOAP the action.
            data: parsed JSON: query parameters for GET and HEAD, else the body. None: none.
            only_reads: whether a call that may change something is refused.

        Raises InvalidArgument, QueryNotPermitted, ConnectionUnusable, AddressNotAllowed, ExternalNotFound for 404 and
        410, ExternalRefused for other errors of the caller's, ExternalUnavailable, ExternalTimedOut, ExternalInvalid.
        """
        if only_reads and not calls.only_reads(connection, method, data):
            raise QueryNotPermitted("only calls that read are permitted here")
        async with self._used(connection) as api:
            call = calls.call_of(connection, method, endpoint, data, api.options.soap_version)
            answer, place = await api.call(call)
            return ApiAnswer(answer.status, _data(api, answer), answer.headers.get("link", "")[:8000], place)

    def follow(self, connection: ExternalConnection, current: Endpoint, link: str) -> Endpoint:
        """The endpoint that a link in an answer leads to. Raises LeavesBase, ConnectionUnusable."""
        return BaseUrl.of(connection.api_base_url).follow(current, link)

    async def test(self, connection: ExternalConnection) -> None:
        """Tries the connection once, by a GET of `test_endpoint` or the base URL; also one that is not active.

        Any answer below 500 shows that it is there, unless it is 401 or 403. Raises as `call` does.
        """
        async with self._used(connection) as api:
            try:
                target = path_below(api.options.test_endpoint)
            except InvalidArgument as error:
                raise ConnectionUnusable(f"test_endpoint: {error}") from None
            answer, _ = await api.call(Call("GET", target, repeatable=True), once=True)
            if answer.status in _REFUSED or answer.status >= 500:
                raise verdicts.error_of(answer, api.redaction, retry_after_of(answer.headers, datetime.now(UTC)))

    async def keep(self, connections: Collection[ExternalConnection]) -> None:
        """Closes what belongs to any other connection, or to one of these as it was before a change. Calls that are on
        their way are finished first."""
        kept = {connection.id: connection for connection in connections}
        for id_, api in list(self._apis.items()):
            if kept.get(id_) != api.connection:
                del self._apis[id_]
                await _retire(api)

    async def close(self) -> None:
        """Closes everything."""
        while self._apis:
            _, api = self._apis.popitem()
            await api.close()

    @asynccontextmanager
    async def _used(self, connection: ExternalConnection) -> AsyncIterator[Api]:
        api = self._apis.get(connection.id)
        before: Api | None = None
        if api is None or api.connection != connection:
            before = api
            api = Api(connection, self._egress, self._most_bytes, self._most_connections, Breaker())
            self._apis[connection.id] = api
        api.users += 1
        try:
            if before is not None:
                await _retire(before)
            yield api
        finally:
            api.users -= 1
            if api.retired and not api.users:
                await api.close()


async def _retire(api: Api) -> None:
    api.retired = True
    if not api.users:
        await api.close()


def _data(api: Api, answer: Answer) -> bytes:
    """The content of a good answer as JSON; raises for any other."""
    kind = api.connection.connection_type
    good = 200 <= answer.status < 300
    retry_after = retry_after_of(answer.headers, datetime.now(UTC))
    if kind == "soap" and answer.body.strip():
        try:
            body = soap.body_of(answer.body)
        except InvalidXml as error:
            if good:
                raise ExternalInvalid(f"the external system's answer is no SOAP that is taken: {error}") from None
            raise verdicts.error_of(answer, api.redaction, retry_after) from None
        fault = soap.fault_of(body)
        if fault is not None or not good:
            raise verdicts.error_of(answer, api.redaction, retry_after, fault or "")
        return orjson.dumps(body)
    if kind == "graphql":
        message = _graphql_error(answer)
        if message:
            raise verdicts.error_of(answer, api.redaction, retry_after, message)
    if not good:
        raise verdicts.error_of(answer, api.redaction, retry_after)
    return content.json_of(answer)


def _graphql_error(answer: Answer) -> str | None:
    try:
        return graphql.first_error(orjson.loads(answer.body))
    except orjson.JSONDecodeError:
        return None
