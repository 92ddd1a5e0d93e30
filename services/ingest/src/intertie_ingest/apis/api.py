"""One API connection while it is used: its sockets, its token, its breaker, and how often a call is tried."""

import asyncio
import time
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime

from intertie_ingest.apis import verdicts
from intertie_ingest.apis.breaker import Breaker
from intertie_ingest.apis.calls import READING, Call
from intertie_ingest.apis.exchange import Answer, Fault, Request, exchange
from intertie_ingest.apis.options import ApiOptions
from intertie_ingest.apis.redaction import Redaction
from intertie_ingest.apis.retries import may_repeat, retry_after_of, wait_seconds
from intertie_ingest.apis.target import Endpoint, LeavesBase
from intertie_ingest.apis.tokens import Tokens
from intertie_ingest.apis.transport import CheckedTransport
from intertie_ingest.egress import Egress
from intertie_ingest.errors import ExternalRefused, ExternalTimedOut, ExternalUnavailable
from intertie_ingest.external import ExternalConnection

_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_AGENT = "intertie"


@dataclass(slots=True)
class _Given:
    """Who is asked with which token, within one call."""

    token: str = ""
    renewed: bool = False


class Api:
    """Reaches the API of one connection, as that was when this was made."""

    def __init__(
        self, connection: ExternalConnection, egress: Egress, most_bytes: int, most_connections: int, breaker: Breaker
    ) -> None:
        """Raises ConnectionUnusable."""
        self.connection = connection
        self.options = ApiOptions.of(connection)
        self.redaction = Redaction(self.options.secrets())
        self.users = 0
        self.retired = False
        self._most_bytes = min(self.options.max_response_bytes or most_bytes, most_bytes)
        self._breaker = breaker
        self._transport = CheckedTransport(egress, self.options.networks, self.options.tls(), most_connections)
        self._tokens = Tokens(self.options, self.redaction, self._send)

    async def call(self, call: Call, *, once: bool = False) -> tuple[Answer, Endpoint]:
        """The final answer, of whatever status, and where it came from.

        With `once` an open breaker is passed by and nothing is tried again. Raises ExternalUnavailable,
        ExternalTimedOut, ExternalRefused, ExternalInvalid, AddressNotAllowed.
        """
        if not once:
            self._breaker.admit()
        try:
            answer, endpoint = await self._within_time(call, 0 if once else self.options.retries)
        except (ExternalUnavailable, ExternalTimedOut):
            self._breaker.failed()
            raise
        except BaseException:
            self._breaker.gave_up()
            raise
        if verdicts.is_outage(answer.status):
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        return answer, endpoint

    async def close(self) -> None:
        """Closes the sockets, also those in use."""
        await self._transport.aclose()

    async def _within_time(self, call: Call, retries: int) -> tuple[Answer, Endpoint]:
        until = time.monotonic() + self.options.timeout
        try:
            async with asyncio.timeout(self.options.timeout):
                return await self._until_done(call, retries, until)
        except TimeoutError:
            raise ExternalTimedOut(
                f"the external system did not answer within {self.options.timeout:g} seconds"
            ) from None

    async def _until_done(self, call: Call, retries: int, until: float) -> tuple[Answer, Endpoint]:
        given = _Given()
        for attempt in range(retries + 1):
            last = attempt == retries
            retry_after: float | None = None
            try:
                answer, endpoint = await self._redirected(call, given)
            except Fault as fault:
                if last or (fault.sent and not call.repeatable):
                    raise fault.error from None
            else:
                retry_after = retry_after_of(answer.headers, datetime.now(UTC))
                if last or not may_repeat(answer.status, retry_after, call.repeatable):
                    return answer, endpoint
                if retry_after is not None and time.monotonic() + retry_after >= until:
                    return answer, endpoint  # its time comes after ours
            await asyncio.sleep(wait_seconds(attempt, retry_after))
        raise AssertionError("the last attempt returns or raises")

    async def _redirected(self, call: Call, given: _Given) -> tuple[Answer, Endpoint]:
        """The answer behind redirects, which are followed below the base URL only: there the credentials belong."""
        endpoint = call.endpoint
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._authorized(call, endpoint, given)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or call.method not in READING or location is None:
                return answer, endpoint
            try:
                endpoint = self.options.base.follow(endpoint, location)
            except LeavesBase:
                raise ExternalRefused(
                    "the external system redirects to an address that is not below the connection's base URL",
                    metadata={"upstream_status": str(answer.status)},
                ) from None
        raise ExternalRefused(f"the external system redirects more than {_MOST_REDIRECTS} times")

    async def _authorized(self, call: Call, endpoint: Endpoint, given: _Given) -> Answer:
        url = self.options.base.join(endpoint)
        if self.options.auth_type == "oauth2" and not given.token:
            given.token = await self._tokens.token()
        answer = await self._send(Request(call.method, url, self._headers(call, given.token), call.content))
        if answer.status == 401 and given.token and not given.renewed:
            # It may have been revoked before its time: once, not for ever.
            given.token, given.renewed = await self._tokens.token(refused=given.token), True
            answer = await self._send(Request(call.method, url, self._headers(call, given.token), call.content))
        return answer

    def _headers(self, call: Call, access_token: str) -> list[tuple[str, str]]:
        options = self.options
        headers = {"User-Agent": _AGENT} | dict(call.headers)
        canonical = {name.lower(): name for name in headers}
        for name, value in options.headers:
            headers[canonical.get(name.lower(), name)] = value
        headers["Accept-Encoding"] = "gzip"
        match options.auth_type:
            case "basic":
                pair = f"{options.username}:{options.password}".encode()
                headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
            case "bearer" if options.token:
                headers["Authorization"] = f"Bearer {options.token}"
            case "apikey":
                headers[options.api_key_header] = options.token
            case "oauth2":
                headers["Authorization"] = f"Bearer {access_token}"
        return list(headers.items())

    async def _send(self, request: Request) -> Answer:
        # A little longer than the whole may take, so that what ends a call that takes too long is always the same.
        return await exchange(self._transport, request, self._most_bytes, self.options.timeout + 1)
