"""Reads YAML (and so JSON) into nodes, with every fault of a text that can be told at once.

Only what JSON can say too is taken: no tags, no merge keys, no keys that are no texts, no key twice. An alias counts
for all that it repeats, so that no small file becomes a large one.
"""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from intertie_cli.declared.nodes import Node, Place, Problem
from intertie_cli.declared.scalars import Ambiguous, value_of

MOST_VALUES = 100_000
"""Values in one file, repeated ones counted."""
DEEPEST = 40
_MOST_PROBLEMS = 200


class Unreadable(Exception):
    """The rest of the text cannot be read."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.text)


def load(text: str, file: str) -> tuple[list[Node], list[Problem]]:
    """The documents of a text, and what is wrong with it. Empty documents are left out."""
    is_json, text = _as_json(text)
    reader = _Reader(file, is_json)
    documents: list[Node] = []
    try:
        # What was read before a fault is kept.
        documents.extend(document for document in reader.documents(text) if not document.is_null)
    except Unreadable as error:
        reader.problems.append(error.problem)
    except yaml.MarkedYAMLError as error:
        reader.problems.append(Problem(reader.at(error.problem_mark or error.context_mark), _told(error)))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        reader.problems.append(Problem(place, "has a character that a text must not hold"))
    except yaml.YAMLError:
        reader.problems.append(Problem(Place(file), "is not YAML"))
    return documents, reader.problems


def _as_json(text: str) -> tuple[bool, str]:
    """Whether the text is JSON, and what YAML reads of it: tabs between values are blanks there."""
    if not text.lstrip().startswith(("{", "[")):
        return False, text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False, text
    return True, text.replace("\t", " ")


def _told(error: yaml.MarkedYAMLError) -> str:
    return f"is not YAML: {' '.join(part for part in (error.context, error.problem) if part)}"


class _Reader:
    """Makes nodes of a parser's events."""

    def __init__(self, file: str, is_json: bool) -> None:
        self._file = file
        self._is_json = is_json
        self._anchors: dict[str, Node | None] = {}
        self._events: Iterator[Any] = iter(())
        self.problems: list[Problem] = []

    def at(self, mark: Any) -> Place:
        """The place that a mark of the parser means."""
        return Place(self._file) if mark is None else Place(self._file, mark.line + 1, mark.column + 1)

    def documents(self, text: str) -> Iterator[Node]:
        """Each document. Raises Unreadable, and YAMLError."""
        self._events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        weight = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                node = self._node(next(self._events), 0)
                weight += node.weight
                if weight > MOST_VALUES:
                    raise Unreadable(Problem(node.place, f"has more than {MOST_VALUES} values"))
                yield node

    def _node(self, event: Any, depth: int) -> Node:
        place = self.at(event.start_mark)
        if depth > DEEPEST:
            raise Unreadable(Problem(place, f"is nested more than {DEEPEST} deep"))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        if event.tag is not None and event.tag != "!":
            self._problem(place, "has a tag; write the value itself, in quotes if it is a text")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.MappingStartEvent):
            node = self._object(place, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(place, depth)
        else:
            node = Node(place, scalar=self._scalar(event, place))
        if node.weight > MOST_VALUES:
            raise Unreadable(Problem(place, f"has more than {MOST_VALUES} values"))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, place: Place) -> Node:
        if event.anchor not in self._anchors:
            raise Unreadable(Problem(place, f"*{event.anchor} repeats nothing: there is no &{event.anchor} before it"))
        node = self._anchors[event.anchor]
        if node is None:
            raise Unreadable(Problem(place, f"*{event.anchor} repeats what it stands in"))
        return node

    def _object(self, place: Place, depth: int) -> Node:
        node = Node(place, entries={})
        entries: dict[str, Node] = {}
        node.entries = entries
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_place = self.at(event.start_mark)
            key = self._key(event, key_place, depth)
            value = self._node(next(self._events), depth + 1)
            node.weight += value.weight
            if key is None:
                continue
            if key in entries:
                self._problem(key_place, f"{key!r} stands twice, first in line {node.key_places[key].line}")
                continue
            entries[key] = value
            node.key_places[key] = key_place
        return node

    def _key(self, event: Any, place: Place, depth: int) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, depth + 1)
            self._problem(place, "must be a text: a key is no object, list or alias")
            return None
        if event.implicit[0] and event.value == "<<" and event.style is None:
            self._problem(place, "'<<' is no key of YAML 1.2; repeat what it would merge")
            return None
        value = self._scalar(event, place)
        if isinstance(value, str):
            return value
        if not event.value:
            self._problem(place, "has no key")
            return None
        # A number is a text where it is a key, as in JSON; what is ambiguous has been refused.
        return str(event.value)

    def _list(self, place: Place, depth: int) -> Node:
        items: list[Node] = []
        node = Node(place, items=items)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
            node.weight += items[-1].weight
        return node

    def _scalar(self, event: Any, place: Place) -> Any:
        text: str = event.value
        if event.style is None and event.tag is None:
            if self._is_json:
                return json.loads(text)
            try:
                return value_of(text)
            except Ambiguous as error:
                self._problem(place, str(error))
                return text
        try:
            # JSON writes one character beyond the first 65,536 as two halves.
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problem(place, "holds half of a character")
            return ""

    def _problem(self, place: Place, text: str) -> None:
        if len(self.problems) >= _MOST_PROBLEMS:
            raise Unreadable(Problem(place, "and perhaps more"))
        self.problems.append(Problem(place, text))
