"""OAuth 2 access tokens by client credentials: fetched once for all who wait, kept until shortly before they end.

Not by Authlib: its client sends by itself, and so reads an answer of any size and keeps no time.
"""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from urllib.parse import quote_plus, urlencode

from intertie_ingest.apis.exchange import Answer, Fault, Request
from intertie_ingest.apis.options import ApiOptions
from intertie_ingest.apis.redaction import Redaction
from intertie_ingest.errors import ExternalRefused, ExternalUnavailable

_DEFAULT_SECONDS = 300.0
_EARLY_SECONDS = 30.0
_TOKEN_CHARACTERS = frozenset(map(chr, range(0x21, 0x7F)))


class Tokens:
    """The access token of one connection."""

    def __init__(
        self,
        options: ApiOptions,
        redaction: Redaction,
        send: Callable[[Request], Awaitable[Answer]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        send: one exchange, bounded in size and to checked addresses; raises Fault.
        """
        self._options = options
        self._redaction = redaction
        self._send = send
        self._clock = clock
        self._turn = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def token(self, refused: str = "") -> str:
        """A token that is valid for some seconds more, and is another than the one that was refused.

        Raises ExternalRefused when the server gives none, ExternalUnavailable, ExternalInvalid, AddressNotAllowed.
        """
        async with self._turn:
            if self._token in ("", refused) or self._clock() >= self._until:
                self._token = ""
                await self._fetch()
            return self._token

    async def _fetch(self) -> None:
        options = self._options
        form = {"grant_type": "client_credentials", "scope": options.scope, "audience": options.audience}
        # As RFC 6749 has it, both parts are encoded as in a form before they become a header.
        pair = f"{quote_plus(options.client_id)}:{quote_plus(options.client_secret)}"
        headers = [
            ("Authorization", f"Basic {b64encode(pair.encode()).decode()}"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
        ]
        content = urlencode({name: value for name, value in form.items() if value}).encode()
        try:
            answer = await self._send(Request("POST", options.token_url, headers, content))
        except Fault as fault:
            raise fault.error from None
        if answer.status == 429 or answer.status >= 500:
            raise ExternalUnavailable(f"the token endpoint answered {answer.status}; try again")
        if answer.status != 200:
            raise self._refusal(answer, f"the token endpoint answered {answer.status}")
        try:
            given = json.loads(answer.body)
            token, kind = given["access_token"], given.get("token_type", "bearer")
            seconds = float(given.get("expires_in") or _DEFAULT_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._refusal(answer, "the token endpoint's answer holds no access token") from None
        if not isinstance(token, str) or not token or not _TOKEN_CHARACTERS.issuperset(token):
            raise self._refusal(answer, "the token endpoint's answer holds no access token")
        self._redaction.add(token)
        if str(kind).lower() != "bearer":
            raise ExternalRefused("the token endpoint gives tokens of another type than bearer")
        self._token = token
        # Of a short-lived one half the life: a margin longer than that would fetch one for each call.
        self._until = self._clock() + max(seconds - _EARLY_SECONDS, seconds / 2)

    def _refusal(self, answer: Answer, message: str) -> ExternalRefused:
        metadata = {"upstream_status": str(answer.status)}
        if answer.status != 200:  # of a good answer the unknown part may be the token
            metadata["upstream_body"] = self._redaction.excerpt(answer.body.decode(errors="replace"))
        return ExternalRefused(message, metadata=metadata)
