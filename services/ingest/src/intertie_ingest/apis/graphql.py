"""GraphQL: what a call sends, whether its document only reads, and what the answer says."""

import re
from typing import Any

from intertie_chassis.errors import InvalidArgument

_KEYS = ("query", "variables", "operationName")
_TOKEN = re.compile(
    r'[\s,\ufeff]+|#[^\n\r]*|"""(?:\\"""|(?!""").)*"""|"(?:\\.|[^"\\\n\r])*"|(?P<token>[A-Za-z_]\w*|[{}()\[\]]|\.\.\.|[^\s"#])',
    re.DOTALL,
)
_OPENING, _CLOSING = "{([", "})]"
#: definitions that change nothing; an unnamed query is just its braces
_READING = ("query", "fragment", "{")


def call_of(data: Any) -> dict[str, Any]:
    """The body of a call, from an object with `query`, or the document alone. Raises InvalidArgument.

    Other keys are refused: with a persisted query the server would run another document than the one that is judged.
    """
    call = {"query": data} if isinstance(data, str) else data
    if not isinstance(call, dict) or not isinstance(call.get("query"), str):
        raise _fault("a GraphQL call needs an object with `query`, and perhaps `variables` and `operationName`")
    unknown = sorted(call.keys() - set(_KEYS))
    if unknown:
        raise _fault(f"a GraphQL call has no {unknown[0][:50]!r}; it takes {', '.join(_KEYS)}")
    if not isinstance(call.get("variables"), dict | None):
        raise _fault("`variables` must be an object")
    if not isinstance(call.get("operationName"), str | None):
        raise _fault("`operationName` must be a text")
    return {key: call[key] for key in _KEYS if call.get(key) is not None}


def only_reads(data: Any) -> bool:
    """Whether the document holds queries and fragments only, whichever operation is chosen. In doubt it does not."""
    document = data.get("query") if isinstance(data, dict) else data
    if not isinstance(document, str) or (isinstance(data, dict) and data.keys() - set(_KEYS)):
        return False
    tokens = _tokens(document)
    if not tokens:
        return False
    open_: list[str] = []
    between = True  # two definitions
    for token in tokens:
        if between and token not in _READING:
            return False
        between = False
        if token in _OPENING:
            open_.append(_CLOSING[_OPENING.index(token)])
        elif token in _CLOSING:
            if not open_ or open_.pop() != token:
                return False
            between = token == "}" and not open_
    return between


def first_error(answer: Any) -> str | None:
    """The first error of an answer that has errors and no data; None for any other answer."""
    if not isinstance(answer, dict) or not answer.get("errors") or answer.get("data") is not None:
        return None
    errors = answer["errors"]
    first = errors[0] if isinstance(errors, list) else errors
    message = first.get("message") if isinstance(first, dict) else first
    return message if isinstance(message, str) and message else "an error without a message"


def _tokens(document: str) -> list[str] | None:
    """The document's tokens without texts and comments; None for what no document is made of."""
    tokens: list[str] = []
    position = 0
    while position < len(document):
        match = _TOKEN.match(document, position)
        if match is None:  # a text that is not closed
            return None
        if match["token"]:
            tokens.append(match["token"])
        position = match.end()
    return tokens


def _fault(text: str) -> InvalidArgument:
    return InvalidArgument(text, violations=[("data", text)])
