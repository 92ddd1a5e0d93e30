"""Handshakes: what a provider sends to see whether somebody answers. They are verified, answered and not stored.

Pure. A connection names them in `webhook_handshakes`; GitHub's ping and Slack's url_verification are known already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intertie_ingest.answers import Answer, Template, compile_template
from intertie_ingest.signatures import HeaderRule, Headers, Misconfigured
from intertie_mapping.documents import Document
from intertie_mapping.paths import PathError, Reader, compile_path
from intertie_mapping.values import MISSING

MOST_HANDSHAKES = 20
MOST_CHARACTERS = 255

_OWN = ("header", "field", "equals")
_PRESETS: dict[str, tuple[dict[str, Any], ...]] = {
    "github": ({"header": "x-github-event", "equals": "ping", "body": "pong"},),
    "slack": ({"field": "type", "equals": "url_verification", "body": "{challenge}"},),
}


@dataclass(frozen=True, slots=True)
class Handshake:
    """One kind of handshake."""

    #: the header that tells it, None: a field does
    header: HeaderRule | None
    field: Reader | None
    equals: str | int | bool
    answer: Template
    #: how to read each placeholder of the answer
    readers: Mapping[str, Reader]

    def answered(self, headers: Headers, document: Document) -> Answer | None:
        """What a delivery is answered that is this handshake, None when it is not. Raises Repeated, AnswerTooLarge."""
        if not self._is_told(headers, document):
            return None
        value = document.value
        if isinstance(value, list):
            return self.answer.filled(lambda name: MISSING)
        return self.answer.filled(lambda name: self.readers[name](value))

    def _is_told(self, headers: Headers, document: Document) -> bool:
        if self.header is not None:
            fault = self.header.fault(headers)
            if fault is not None:
                raise fault
            values = headers.get(self.header.name)
            return bool(values) and values[0] == str(self.equals).encode()  # type: ignore[index]
        if self.field is None or isinstance(document.value, list):
            return False
        found = self.field(document.value)
        return type(found) is type(self.equals) and found == self.equals


def compile_handshakes(options: Mapping[str, Any]) -> tuple[Handshake, ...]:
    """The handshakes of a connection, the first that fits decides: its own, then those of its scheme.

    Raises Misconfigured.
    """
    given = options.get("webhook_handshakes")
    if given is not None and (not isinstance(given, list) or len(given) > MOST_HANDSHAKES):
        raise Misconfigured(f"webhook_handshakes must be a list of at most {MOST_HANDSHAKES} objects")
    own = [_compiled(f"webhook_handshakes[{index}]", one) for index, one in enumerate(given or ())]
    scheme = options.get("webhook_auth", "secret")
    presets = _PRESETS.get(scheme, ()) if isinstance(scheme, str) else ()
    return (*own, *(_compiled(scheme, one) for one in presets))


def _compiled(at: str, options: object) -> Handshake:
    if not isinstance(options, dict):
        raise Misconfigured(f"{at} must be an object with header or field, equals, and an answer")
    header, field, equals = (options.get(name) for name in _OWN)
    if (header is None) == (field is None):
        raise Misconfigured(f"{at} must have either header or field")
    is_word = isinstance(equals, str) and len(equals) <= MOST_CHARACTERS
    if not is_word and (header is not None or not isinstance(equals, int)):
        raise Misconfigured(
            f"{at}.equals must be a text of at most {MOST_CHARACTERS} characters; of a field also a number or true"
        )
    rule = None
    if header is not None:
        if not isinstance(header, str) or not _is_header(header):
            raise Misconfigured(f"{at}.header must be the name of a header")
        rule = HeaderRule(header.lower())
    answer = compile_template(at, options, _OWN)
    return Handshake(
        rule,
        None if field is None else _reader(f"{at}.field", field),
        equals,  # type: ignore[arg-type]  # judged above
        answer,
        {name: _reader(f"{at}.body", name) for name in answer.names},
    )


def _is_header(name: str) -> bool:
    return 1 <= len(name) <= 64 and all(one.isascii() and (one.isalnum() or one == "-") for one in name)


def _reader(at: str, path: object) -> Reader:
    if not isinstance(path, str):
        raise Misconfigured(f"{at} must be a path into the body")
    try:
        return compile_path(path)
    except PathError as error:
        raise Misconfigured(f"{at}: {error}") from None
