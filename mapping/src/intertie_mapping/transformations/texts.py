"""Transformations of texts."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable

from intertie_mapping.errors import Reason
from intertie_mapping.patterns import Pattern, PatternError, TextTooLong
from intertie_mapping.transformations.specification import (
    ABSENT,
    Argument,
    ArgumentError,
    Function,
    Kind,
    Refusal,
    Specification,
    as_text,
)

#: No transformation makes a longer text: one column's value must fit into one statement.
MAX_TEXT = 1_000_000

_WHITESPACE = " \t\n\r\0\x0b"  # what PHP's trim takes away
_REFERENCE = re.compile(r"\$(\$|\d{1,2})")


def _simple(function: Callable[[str], str]) -> Callable[[], Function]:
    return lambda: lambda value: function(as_text(value))


def _trim(characters: str) -> Function:
    return lambda value: as_text(value).strip(characters)


def _replace(find: str, replacement: str) -> Function:
    if not find:
        raise ArgumentError("must not be empty", "find")

    def replace(value: object) -> str:
        text = as_text(value)  # type: ignore[arg-type]
        _refuse_length(len(text) + text.count(find) * len(replacement))
        return text.replace(find, replacement)

    return replace


def _regex_replace(pattern: str, replacement: str, ignore_case: bool) -> Function:
    try:
        compiled = Pattern(pattern, re.IGNORECASE if ignore_case else re.RegexFlag.NOFLAG)
    except PatternError as error:
        raise ArgumentError(str(error), "pattern") from None
    pieces = _REFERENCE.split(replacement)  # text, reference, text, reference, …, text
    if any(reference != "$" and int(reference) > compiled.groups for reference in pieces[1::2]):
        raise ArgumentError("names a group that the pattern does not have", "with")

    def expand(match: re.Match[str]) -> str:
        return "".join(
            piece if place % 2 == 0 or piece == "$" else match[int(piece)] or "" for place, piece in enumerate(pieces)
        )

    def replace(value: object) -> str:
        text = as_text(value)  # type: ignore[arg-type]
        _refuse_length((len(text) + 1) * len(replacement) // 20)
        try:
            result = compiled.sub(expand, text)
        except TextTooLong as error:
            raise Refusal(Reason.TOO_LONG, f"{str(error).capitalize()}.") from None
        _refuse_length(len(result))
        return result

    return replace


def _substring(start: int, length: object) -> Function:
    if isinstance(length, int) and length < 0:
        raise ArgumentError("must not be negative", "length")

    def substring(value: object) -> str:
        text = as_text(value)  # type: ignore[arg-type]
        begin = max(len(text) + start, 0) if start < 0 else start
        return text[begin : begin + length] if isinstance(length, int) else text[begin:]

    return substring


def _truncate(length: int, ending: str) -> Function:
    if length < len(ending) or length < 1:
        raise ArgumentError("must be at least 1 and hold the ending", "length")

    def truncate(value: object) -> str:
        text = as_text(value)  # type: ignore[arg-type]
        return text if len(text) <= length else text[: length - len(ending)] + ending

    return truncate


def _prefix(text: str) -> Function:
    return lambda value: text + as_text(value)


def _suffix(text: str) -> Function:
    return lambda value: as_text(value) + text


def _slug(separator: str) -> Function:
    def slug(value: object) -> str:
        plain = unicodedata.normalize("NFKD", as_text(value)).encode("ascii", "ignore").decode().lower()  # type: ignore[arg-type]
        return separator.join(re.findall(r"[a-z0-9]+", plain))

    return slug


def _strip_html(text: str) -> str:
    """By hand and in one pass: the obvious pattern takes quadratic time on a text full of `<`."""
    first, *others = text.split("<")
    pieces = [first]
    for other in others:
        tag, closed, after = other.partition(">")
        is_tag = closed and tag and (tag[0].isalpha() or tag[0] in "/!?")
        pieces.append(after if is_tag else "<" + other)
    return html.unescape("".join(pieces))


def _refuse_length(length: int) -> None:
    if length > MAX_TEXT:
        raise Refusal(Reason.TOO_LONG, f"The text would have more than {MAX_TEXT} characters.")


TEXTS = (
    Specification(
        "trim",
        "Takes whitespace (or the characters given) away from both ends.",
        _trim,
        {"characters": Argument(Kind.TEXT, "the characters to take away", _WHITESPACE)},
    ),
    Specification("uppercase", "Writes the text in capitals.", _simple(str.upper)),
    Specification("lowercase", "Writes the text in small letters.", _simple(str.lower)),
    Specification("text", "Writes a number or a date as text.", _simple(lambda text: text)),
    Specification(
        "replace",
        "Replaces each occurrence of a text.",
        lambda find, **rest: _replace(find, rest["with"]),
        {"find": Argument(Kind.TEXT, "what to find"), "with": Argument(Kind.TEXT, "what to put there", "")},
    ),
    Specification(
        "regex_replace",
        "Replaces each match of a regular expression.",
        lambda pattern, ignore_case, **rest: _regex_replace(pattern, rest["with"], ignore_case),
        {
            "pattern": Argument(Kind.TEXT, "the regular expression; those that could run away are refused"),
            "with": Argument(Kind.TEXT, "what to put there; $1 is the first group, $0 the match, $$ a dollar sign", ""),
            "ignore_case": Argument(Kind.BOOLEAN, "whether capitals and small letters are the same", False),
        },
    ),
    Specification(
        "substring",
        "Takes a part of the text.",
        _substring,
        {
            "start": Argument(Kind.INTEGER, "where it begins, from 0; from the end when negative"),
            "length": Argument(Kind.INTEGER, "how many characters; the rest when left out", ABSENT),
        },
    ),
    Specification(
        "truncate",
        "Cuts a text that is too long.",
        _truncate,
        {
            "length": Argument(Kind.INTEGER, "the most characters, the ending counted"),
            "ending": Argument(Kind.TEXT, "what shows that it was cut", ""),
        },
    ),
    Specification("prefix", "Puts a text in front.", _prefix, {"text": Argument(Kind.TEXT, "the text")}),
    Specification("suffix", "Puts a text behind.", _suffix, {"text": Argument(Kind.TEXT, "the text")}),
    Specification(
        "slug",
        "Makes a name for addresses: small letters without accents, and digits.",
        _slug,
        {"separator": Argument(Kind.TEXT, "what stands between the words", "-")},
    ),
    Specification("strip_html", "Takes HTML tags away and decodes entities.", _simple(_strip_html)),
)
