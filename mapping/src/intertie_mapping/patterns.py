"""Regular expressions that cannot run away: what may take long is refused when it is written, or kept to short texts.

Python's engine backtracks, cannot be interrupted, and holds the interpreter while it does. So a pattern's worst case is
estimated from its structure as a power of the text's length, and the text that it may meet is bounded accordingly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

#: How long a text may be for a pattern whose worst case grows with this power of its length: about a second at most.
MAX_TEXT = {0: 1_000_000, 1: 1_000_000, 2: 10_000, 3: 400}

MAX_PATTERN = 1_000
_SAMPLE = range(0x180)


class PatternError(ValueError):
    """The pattern cannot be taken; the text says why."""


class TextTooLong(ValueError):
    """The text is longer than the pattern may be tried on."""


class Pattern:
    """A compiled pattern that refuses texts on which it could take long. The methods are those of `re.Pattern`."""

    __slots__ = ("_compiled", "max_text")

    def __init__(self, text: str, flags: re.RegexFlag = re.RegexFlag.NOFLAG) -> None:
        """Raises PatternError."""
        if len(text) > MAX_PATTERN:
            raise PatternError(f"a pattern must not be longer than {MAX_PATTERN} characters")
        try:
            parsed = _parser.parse(text, flags)
            degree = _degree(parsed, many_lines=bool(parsed.state.flags & re.MULTILINE))
            self._compiled = re.compile(text, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise PatternError(f"not a pattern: {error}") from None
        #: the longest text that it is tried on, in characters
        self.max_text = MAX_TEXT.get(degree, 0)
        if not self.max_text:
            raise PatternError(
                "the pattern has too many repeats that can take the same characters; use [^,]* instead of .*"
            )

    def search(self, string: str) -> re.Match[str] | None:
        """The first match. Raises TextTooLong, as all these."""
        return self._compiled.search(self._checked(string))

    def finditer(self, string: str) -> Iterator[re.Match[str]]:
        """All matches, from left to right."""
        return self._compiled.finditer(self._checked(string))

    def sub(self, repl: str | Callable[[re.Match[str]], str], string: str, count: int = 0) -> str:
        """The text with its matches replaced."""
        return self._compiled.sub(repl, self._checked(string), count)

    def split(self, string: str, maxsplit: int = 0) -> list[Any]:
        """The text between the matches."""
        return self._compiled.split(self._checked(string), maxsplit)

    @property
    def groups(self) -> int:
        """How many groups it captures."""
        return self._compiled.groups

    def _checked(self, string: str) -> str:
        if len(string) > self.max_text:
            raise TextTooLong(
                f"the pattern is tried on texts of at most {self.max_text} characters, and this has {len(string)}"
            )
        return string


def _degree(parsed: Any, many_lines: bool) -> int:
    """The power of the text's length with which the worst case grows; with many lines `^` is no single start."""
    items = list(_flat(parsed, repeated=False))
    anchored = bool(items) and items[0] == "start" and not many_lines
    steps = [item for item in items if isinstance(item, tuple)]
    open_repeats, closed_repeats = 0, 0
    for place, (characters, variable) in enumerate(steps):
        if not variable or (place == len(steps) - 1 and items[-1] is steps[-1]):
            continue  # a repeat at the very end cannot fail, so it is never tried again shorter
        following = next((other for other, optional in steps[place + 1 :] if not optional), None)
        if following is not None and characters.isdisjoint(following) and not _meets(characters, steps[place + 1 :]):
            closed_repeats = 1
        else:
            open_repeats += 1
    return open_repeats + closed_repeats + (0 if anchored or not steps else 1)


def _meets(characters: frozenset[int], steps: list[tuple[frozenset[int], bool]]) -> bool:
    """Whether a repeat can give characters to another one before the next step that must be there."""
    for other, variable in steps:
        if not variable:
            return False
        if not characters.isdisjoint(other):
            return True
    return False


def _flat(parsed: Any, repeated: bool) -> Iterator[tuple[frozenset[int], bool] | str]:
    """The steps of a pattern in a row: (the characters it takes, whether it may take none or many), or "start"."""
    for operation, argument in parsed:
        if operation is sre.AT:
            if argument in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING):
                yield "start"
            else:
                yield "end"
        elif operation in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            yield _characters(operation, argument), False
        elif operation is sre.SUBPATTERN:
            yield from _flat(argument[3], repeated)
        elif operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, body = argument
            yield from _repeat(least, most, body, repeated)
        elif operation is sre.BRANCH:
            yield from _branches(argument[1], repeated)
        else:
            raise PatternError("look-around, back-references, conditions and possessive repeats are not supported")


def _repeat(least: int, most: int, body: Any, repeated: bool) -> Iterator[tuple[frozenset[int], bool] | str]:
    inner = list(_flat(body, True))
    if least == most == 1:
        yield from inner
        return
    if len(inner) != 1:
        if most != 1 and any(isinstance(item, str) or item[1] for item in inner):
            raise PatternError(
                "a repeat inside a repeated group is refused, because it can take forever: rewrite (a+)+ as a+"
            )
        if most != 1 and repeated:
            raise PatternError("a repeated group inside a repeated group is refused, because it can take forever")
    variable = [item for item in inner if isinstance(item, tuple)]
    if len(inner) == 1 and most != 1 and variable and variable[0][1]:
        raise PatternError("a repeat of a repeat is refused, because it can take forever: rewrite (a+)+ as a+")
    if least == most and len(variable) * least <= 100:
        yield from variable * least
    else:
        yield frozenset().union(*(characters for characters, _ in variable)), True


def _branches(branches: list[Any], repeated: bool) -> Iterator[tuple[frozenset[int], bool] | str]:
    """Alternatives as one step that may take many; inside a repeat they must differ in their first character."""
    alternatives = [[item for item in _flat(branch, repeated) if isinstance(item, tuple)] for branch in branches]
    if repeated:
        first: set[int] = set()
        for alternative in alternatives:
            if not alternative or alternative[0][1] or not first.isdisjoint(alternative[0][0]):
                raise PatternError("alternatives inside a repeat must begin with different characters")
            first |= alternative[0][0]
            if any(variable for _, variable in alternative):
                raise PatternError("a repeat inside a repeated group is refused, because it can take forever")
    union: frozenset[int] = frozenset().union(*(item[0] for alternative in alternatives for item in alternative))
    variable = not repeated and any(item[1] for alternative in alternatives for item in alternative)
    for alternative in alternatives if variable else ():
        yield from (item for item in alternative if item[1])
    yield union, any(all(optional for _, optional in alternative) for alternative in alternatives)


def _characters(operation: Any, argument: Any) -> frozenset[int]:
    """Which of a sample of characters a step takes; what lies outside of it is taken to be like its last one."""
    if operation is sre.ANY:
        return frozenset(_SAMPLE)
    if operation is sre.LITERAL:
        return _folded({min(argument, _SAMPLE[-1])})
    if operation is sre.NOT_LITERAL:
        return frozenset(_SAMPLE) - {argument}
    found: set[int] = set()
    negated = False
    for kind, detail in argument:
        if kind is sre.NEGATE:
            negated = True
        elif kind is sre.LITERAL:
            found.add(min(detail, _SAMPLE[-1]))
        elif kind is sre.RANGE:
            found.update(code for code in _SAMPLE if detail[0] <= code <= detail[1])
            if detail[1] > _SAMPLE[-1]:
                found.add(_SAMPLE[-1])
        else:
            found.update(code for code in _SAMPLE if _CATEGORIES[detail](chr(code)))
    return frozenset(_SAMPLE) - found if negated else _folded(found)


def _folded(codes: set[int]) -> frozenset[int]:
    """With both cases of each letter: whether the pattern minds cases is not worth telling apart here."""
    return (
        frozenset(code for one in codes for text in (chr(one).lower(), chr(one).upper()) for code in map(ord, text))
        | codes
    )


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    sre.CATEGORY_DIGIT: str.isdecimal,
    sre.CATEGORY_NOT_DIGIT: lambda character: not character.isdecimal(),
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_SPACE: lambda character: not character.isspace(),
    sre.CATEGORY_WORD: _is_word,
    sre.CATEGORY_NOT_WORD: lambda character: not _is_word(character),
}
