"""The configuration as mapper knows it: systems, mappings and who may write, kept through registry's outages."""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """A mapping of a system."""

    id: int
    name: str
    system_id: int
    system: str
    target_table: str
    config: bytes
    is_active: bool
    """Whether both the mapping and its system are switched on."""
    fingerprint: bytes = field(init=False)
    """Changes whenever target or configuration do."""

    def __post_init__(self) -> None:
        """Compute the fingerprint."""
        digest = hashlib.sha256(self.target_table.encode() + b"\0" + self.config).digest()[:16]
        object.__setattr__(self, "fingerprint", digest)


@dataclass(frozen=True, slots=True)
class SystemEntry:
    """A system with its mappings."""

    id: int
    name: str
    is_active: bool
    mappings: tuple[MappingEntry, ...] = ()
    writers: Mapping[str, float] = field(default_factory=dict)
    """Modules that have an active grant to write, each with the seconds since 1970 at which it ends."""


class Configuration:
    """The newest configuration; replaced and changed by the feed, read by everyone."""

    def __init__(self) -> None:
        self.known = asyncio.Event()
        """Set from the first complete snapshot on."""
        self.heard_at: float | None = None
        """When registry last said something, by the monotonic clock; None before the first complete snapshot."""
        self._systems: dict[int, SystemEntry] = {}
        self._mappings: dict[int, MappingEntry] = {}
        self._by_name: dict[str, SystemEntry] = {}

    def hear(self) -> None:
        """Takes note that registry says that this is the configuration."""
        if self.is_known:
            self.heard_at = time.monotonic()

    def replace(self, systems: Iterable[SystemEntry]) -> None:
        """Take a complete snapshot."""
        self._systems = {system.id: system for system in systems}
        self.known.set()
        self._index()

    def change(self, systems: Iterable[SystemEntry], removed: Iterable[int]) -> None:
        """Take what is new or changed, each system whole, and drop what is gone."""
        for system_id in removed:
            self._systems.pop(system_id, None)
        self._systems.update({system.id: system for system in systems})
        self._index()

    @property
    def is_known(self) -> bool:
        """Whether a complete snapshot has ever come."""
        return self.known.is_set()

    def mapping(self, mapping_id: int) -> MappingEntry | None:
        """The mapping of that number."""
        return self._mappings.get(mapping_id)

    def system_named(self, name: str) -> SystemEntry | None:
        """The system of that name."""
        return self._by_name.get(name)

    def target_of(self, system: str, mapping: str) -> str:
        """The target table of the mapping of that name; empty when there is none."""
        entry = self._by_name.get(system)
        found = (known.target_table for known in entry.mappings if known.name == mapping) if entry else iter(())
        return next(found, "")

    def _index(self) -> None:
        self._mappings = {mapping.id: mapping for system in self._systems.values() for mapping in system.mappings}
        self._by_name = {system.name: system for system in self._systems.values()}
