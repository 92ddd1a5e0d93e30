"""The answers that a connection gives to its sender: texts with placeholders, of a bounded size, safe in a header.

Pure. `{name}` in a body is replaced by what `name` stands for; in a body of JSON by its JSON, texts without their
quotes, so that `{"challenge": "{challenge}"}` stays JSON whatever stands there; in one of XML what would be markup
is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from intertie_ingest.signatures import Misconfigured
from intertie_mapping.documents import serialise
from intertie_mapping.values import MISSING, JsonValue, Missing

MOST_TEMPLATE_CHARACTERS = 4096
MOST_ANSWER_BYTES = 16 * 1024
PLAIN_TEXT = "text/plain"

_CONTENT_TYPE = re.compile(
    r"(?:text/plain|application/(?:[a-z0-9.-]+\+)?(?:json|xml))(?:; ?charset=utf-8)?", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.\[\]*-]*)\}")
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WITHOUT_BODY = (204, 205)
_OPTIONS = ("status", "content_type", "body")


class AnswerTooLarge(Exception):
    """With what the sender put into it the answer is larger than the limit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender is answered."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Template:
    """An answer whose placeholders are still to be filled."""

    status: int
    content_type: str
    #: texts and, at each second place, what a placeholder names
    parts: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What its placeholders name."""
        return self.parts[1::2]

    def filled(self, value_of: Callable[[str], JsonValue | Missing]) -> Answer:
        """The answer; what is missing or null is left out. Raises AnswerTooLarge."""
        kind = self.content_type.lower()
        write = _json_text if "json" in kind else _xml_text if "xml" in kind else str
        texts: list[str] = []
        room = MOST_ANSWER_BYTES
        for index, part in enumerate(self.parts):
            text = _text(value_of(part), write) if index % 2 else part
            room -= len(text)
            # At once: a large value that stands in many places would be written out as often.
            if room < 0:
                raise AnswerTooLarge
            texts.append(text)
        body = "".join(texts).encode("utf-8", "replace")
        if len(body) > MOST_ANSWER_BYTES:
            raise AnswerTooLarge
        return Answer(self.status, self.content_type, body)


def compile_template(at: str, options: Mapping[str, Any], own: tuple[str, ...] = ()) -> Template:
    """The template that an object of a `config_json` is; `own` are members that say something else.

    Raises Misconfigured, whose text names the member.
    """
    unknown = set(options) - {*_OPTIONS, *own}
    if unknown:
        raise Misconfigured(f"{at} knows no {', '.join(sorted(map(str, unknown)))}")
    status, content_type, body = (
        options.get("status", 200),
        options.get("content_type", PLAIN_TEXT),
        options.get("body", ""),
    )
    if type(status) is not int or not 200 <= status <= 299:
        raise Misconfigured(f"{at}.status must be a number from 200 to 299")
    if not isinstance(content_type, str) or not _CONTENT_TYPE.fullmatch(content_type):
        raise Misconfigured(
            f"{at}.content_type must be text/plain, application/json, a +json type or one of XML, in UTF-8"
        )
    if not isinstance(body, str) or len(body) > MOST_TEMPLATE_CHARACTERS:
        raise Misconfigured(f"{at}.body must be a text of at most {MOST_TEMPLATE_CHARACTERS} characters")
    if body and status in _WITHOUT_BODY:
        raise Misconfigured(f"{at}.body must be empty with the status {status}")
    # Of a split by a pattern with one group, every other part is what the group matched.
    return Template(status, content_type, tuple(_PLACEHOLDER.split(body)))


def compile_response(options: Mapping[str, Any]) -> Template | None:
    """What accepted webhooks are answered by `webhook_response`; None: as usual. Raises Misconfigured."""
    given = options.get("webhook_response")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise Misconfigured("webhook_response must be an object with status, content_type and body")
    template = compile_template("webhook_response", given)
    unknown = sorted(set(template.names) - {"delivery_id", "external_id"})
    if unknown:
        raise Misconfigured(f"webhook_response.body may name {{delivery_id}} and {{external_id}}, not {unknown[0]!r}")
    return template


def _text(value: JsonValue | Missing, write: Callable[[str], str]) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, str):
        return write(value)
    written = serialise(value)
    return write(written) if write is _xml_text else written


def _json_text(text: str) -> str:
    return json.dumps(text)[1:-1]


def _xml_text(text: str) -> str:
    """As XML holds it, in elements and attributes; characters that XML cannot hold become U+FFFD."""
    return escape(_NOT_IN_XML.sub("\ufffd", text), {'"': "&quot;", "'": "&apos;"})
