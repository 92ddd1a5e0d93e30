"""Each declared part beside the one that it is in registry, if it is there."""

from collections.abc import Iterable
from dataclasses import dataclass

from intertie_cli.declared.live import Live, State
from intertie_cli.declared.model import Declared
from intertie_cli.declared.nodes import Problem


@dataclass(frozen=True, slots=True)
class Pair:
    """A declared part, and the one that it is in registry, if it is there."""

    declared: Declared
    live: Live | None


def paired(declared: Iterable[Declared], state: State) -> tuple[list[Pair], list[Problem]]:
    """Each declared part with the one that it is, and what is wrong with that."""
    declared = list(declared)
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for part in declared:
        found = state.named(part.kind, part.key)
        if len(found) > 1:
            problems.append(Problem(part.place(), _several(part, found)))
        pairs.append(Pair(part, found[0] if found else None))
    return pairs, [*problems, *_unresolved(declared, state), *_doubled(pairs)]


def _several(part: Declared, found: list[Live]) -> str:
    numbers = ", ".join(str(live.id) for live in found)
    text = f"registry has several that {part.title} may mean ({numbers})"
    return f"{text}; name one by its type and number, as {found[0].key[-1]}" if part.kind == "connection" else text


def _unresolved(declared: list[Declared], state: State) -> Iterable[Problem]:
    """Names that nothing has."""
    systems = {part.key[0] for part in declared if part.kind == "system"} | {live.key[0] for live in state.of("system")}
    connections = {part.key for part in declared if part.kind == "connection"}
    for part in declared:
        if part.system not in systems:
            yield Problem(part.place("system"), f"no system {part.system} is there, here or in registry")
        key = (part.system, part.reads_through)
        if part.reads_through and key not in connections and len(state.named("connection", key)) != 1:
            text = f"{part.system} has no connection {part.reads_through}, here or in registry, or several"
            yield Problem(part.place("mapping_config.sync.connection"), text)


def _doubled(pairs: list[Pair]) -> Iterable[Problem]:
    """Connections that are one, under two names."""
    seen: dict[int, Declared] = {}
    for pair in pairs:
        if pair.live is not None and pair.declared.kind == "connection":
            first = seen.setdefault(pair.live.id, pair.declared)
            if first is not pair.declared:
                text = f"{pair.declared.title} and {first.title} are the same connection {pair.live.id}"
                yield Problem(pair.declared.place(), text)
