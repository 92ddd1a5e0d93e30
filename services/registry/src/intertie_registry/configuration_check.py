"""Says what would be refused of a proposed configuration, and which of its credentials differ from those set."""

from dataclasses import dataclass, field

from intertie_chassis.errors import InvalidArgument
from intertie_registry import audit_convert, audit_entries
from intertie_registry.changes import Changes, applied_to_connection
from intertie_registry.clients import Mapper
from intertie_registry.comparison import Guesses, differing, gives_credentials
from intertie_registry.errors import ConnectionNotFound
from intertie_registry.model import Actor, Kind, Mapping
from intertie_registry.stores import Stores


@dataclass(frozen=True, slots=True)
class Proposal:
    """A part as it is to be, and what is wrong with it in itself."""

    kind: Kind
    #: which one of its kind, from 0
    index: int
    problems: tuple[tuple[str, str], ...] = ()
    system: str = ""
    #: of a connection that exists: its id, and what becomes of it
    number: int = 0
    changes: Changes = field(default_factory=dict, repr=False)
    mapping: Mapping | None = None


@dataclass(slots=True)
class Findings:
    """What was found: of which part, the field, and what is wrong with it; and the credentials that differ."""

    problems: list[tuple[Proposal, str, str]] = field(default_factory=list)
    differing: list[tuple[Proposal, str]] = field(default_factory=list)


class ConfigurationCheck:
    """Checks proposals against what is stored, and mappings against their targets."""

    def __init__(self, stores: Stores, mapper: Mapper, guesses: Guesses | None = None) -> None:
        self._stores = stores
        self._mapper = mapper
        self._guesses = guesses or Guesses()

    async def run(self, proposals: list[Proposal], actor: Actor, *, skip_target_validation: bool) -> Findings:
        """Checks all. Raises TargetUnreachable, and TooManyGuesses."""
        findings = Findings()
        for proposal in proposals:
            problems = proposal.problems
            if proposal.number:
                problems = await self._connection(proposal, actor, findings)
            elif proposal.mapping is not None and not skip_target_validation:
                problems = await self._mapping(proposal.mapping)
            # Callers know which part they gave; the path is that within it.
            for path, text in problems:
                findings.problems.append((proposal, path.removeprefix(f"{proposal.kind}."), text))
        return findings

    async def _mapping(self, mapping: Mapping) -> tuple[tuple[str, str], ...]:
        try:
            await self._mapper.require_fit(mapping)
        except InvalidArgument as error:
            return error.violations or (("", error.message),)
        return ()

    async def _connection(self, proposal: Proposal, actor: Actor, findings: Findings) -> tuple[tuple[str, str], ...]:
        try:
            current = await self._stores.connections.get(proposal.number)
        except ConnectionNotFound as error:
            return (("id", error.message),)
        # Nothing is awaited between the look and the count, so that calls at the same time share one number.
        if gives_credentials(proposal.changes):
            self._guesses.require_room(current.id)
        found = differing(current, proposal.changes)
        if found:
            self._guesses.count(current.id)
            findings.differing += [(proposal, place) for place in found]
            entry = audit_entries.of_comparison(current, found, actor)
            await self._stores.journal.outbox.post(audit_convert.batch([entry]))
        try:
            applied_to_connection(current, proposal.changes)
        except InvalidArgument as error:
            return error.violations or (("", error.message),)
        return ()
