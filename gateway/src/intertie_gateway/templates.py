"""Path templates of google.api.http: parsed once, and how raw paths are matched against them.

    Template = "/" Segment {"/" Segment} [":" Verb]
    Segment  = "*" | "**" | Literal | "{" FieldPath ["=" Segment {"/" Segment}] "}"

A raw path is split at its slashes before anything is decoded, so an escaped slash never makes a segment.
"""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"\{([A-Za-z_][\w.]*)(?:=([^{}]+))?\}|([^{}/]+)|(/)")
_REST = "**"
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Variable:
    """A field that is taken from the path."""

    field_path: str
    start: int
    """Index of its first segment."""
    count: int
    """How many segments it spans; -1: all the rest."""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed path template."""

    segments: tuple[str, ...]
    """Literals, ``*`` and, as the last, ``**``."""
    verb: str
    """Without its colon; empty: none."""
    variables: tuple[Variable, ...]

    def __str__(self) -> str:
        names = {variable.start: variable for variable in self.variables}
        parts: list[str] = []
        index = 0
        while index < len(self.segments):
            variable = names.get(index)
            parts.append(f"{{{variable.field_path}}}" if variable else self.segments[index])
            if variable and variable.count < 0:
                break
            index += variable.count if variable else 1
        return "/" + "/".join(parts) + (f":{self.verb}" if self.verb else "")


def parse(text: str) -> Template:
    """The template of an annotation. Raises ValueError when it is not one."""
    if not text.startswith("/"):
        raise ValueError(f"{text}: a path template begins with a slash")
    path, verb = text, ""
    last_part = text.rsplit("}", 1)[-1].rsplit("/", 1)[-1]
    if ":" in last_part:
        path, verb = text.rsplit(":", 1)
    segments: list[str] = []
    variables: list[Variable] = []
    position = 0
    while position < len(path):
        if path[position] != "/":
            raise ValueError(f"{text}: a slash is missing at {position}")
        token = _TOKEN.match(path, position + 1)
        if token is None or token[4]:
            raise ValueError(f"{text}: a segment is empty or broken at {position}")
        if token[1]:
            inner = (token[2] or _ANY).split("/")
            variables.append(Variable(token[1], len(segments), -1 if inner[-1] == _REST else len(inner)))
            segments.extend(inner)
        else:
            segments.append(token[3])
        position = token.end()
    if _REST in segments[:-1]:
        raise ValueError(f"{text}: ** must be the last segment")
    return Template(tuple(segments), verb, tuple(variables))


@dataclass(slots=True)
class Node:
    """A place in the tree of routes: what may follow, and what ends here by method, with and without a verb."""

    literals: dict[bytes, "Node"] = field(default_factory=dict)
    any: "Node | None" = None
    ends: dict[tuple[str, str], int] = field(default_factory=dict)
    """Number of the route by method and verb."""
    rest_ends: dict[tuple[str, str], int] = field(default_factory=dict)
    """The same for templates that end here in ``**``."""


@dataclass(frozen=True, slots=True)
class Found:
    """A route that fits a raw path."""

    number: int
    segments: tuple[bytes, ...]
    """The path's raw segments, the last one without its verb."""


class RouteTree:
    """Finds the route of a method and a raw path. Literals win over variables, a verb over a variable's text."""

    def __init__(self) -> None:
        self._root = Node()

    def add(self, method: str, template: Template, number: int) -> None:
        """Adds a route. Raises ValueError when another one already answers these requests."""
        node = self._root
        for segment in template.segments:
            if segment == _REST:
                break
            if segment == _ANY:
                node.any = node.any or Node()
                node = node.any
            else:
                node = node.literals.setdefault(segment.encode(), Node())
        ends = node.rest_ends if template.segments[-1:] == (_REST,) else node.ends
        if ends.setdefault((method, template.verb), number) != number:
            raise ValueError(f"two routes for {method} {template}")

    def find(self, method: str, path: bytes) -> Found | frozenset[str]:
        """The route; or the methods that the path does take, none when there is no such path."""
        segments = tuple(path.split(b"/")[1:])
        allowed: set[str] = set()
        if not segments:
            return frozenset()
        bare, _, verb = segments[-1].rpartition(b":")
        if bare:
            found = self._walk(self._root, (*segments[:-1], bare), 0, method, verb.decode("latin-1"), allowed)
            if found is not None:
                return found
        if not allowed:
            found = self._walk(self._root, segments, 0, method, "", allowed)
            if found is not None:
                return found
        return frozenset(allowed)

    def _walk(
        self, node: Node, segments: tuple[bytes, ...], index: int, method: str, verb: str, allowed: set[str]
    ) -> Found | None:
        if index == len(segments):
            found = _ended(node.ends, segments, method, verb, allowed)
            # ** also fits no segment at all.
            return found or _ended(node.rest_ends, segments, method, verb, allowed)
        segment = segments[index]
        literal = node.literals.get(segment)
        if literal is not None:
            found = self._walk(literal, segments, index + 1, method, verb, allowed)
            if found is not None:
                return found
        if node.any is not None and segment:
            found = self._walk(node.any, segments, index + 1, method, verb, allowed)
            if found is not None:
                return found
        return _ended(node.rest_ends, segments, method, verb, allowed)


def _ended(
    ends: dict[tuple[str, str], int], segments: tuple[bytes, ...], method: str, verb: str, allowed: set[str]
) -> Found | None:
    number = ends.get((method, verb))
    if number is not None:
        return Found(number, segments)
    allowed.update(known for known, known_verb in ends if known_verb == verb)
    return None
