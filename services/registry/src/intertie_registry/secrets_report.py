"""How the credentials of all connections are kept, and how far a walk over them is. No value of one is in here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from intertie_registry.credential_places import shown
from intertie_registry.credentials import Found
from intertie_registry.model import Connection

_MOST_PROBLEMS = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a credential stands."""

    connection_id: int
    system: str
    #: ``db_password``, ``config_json.webhook_secret``
    field: str
    problem: str = ""

    @classmethod
    def of(cls, connection: Connection, found: Found) -> "Place":
        """The place of a credential that was found in the row of a connection."""
        return cls(connection.id, connection.system, shown(found.path), found.problem)


@dataclass(slots=True)
class Census:
    """All credentials, counted."""

    clear: list[Place] = field(default_factory=list)
    unreadable: list[Place] = field(default_factory=list)
    #: how many are sealed and open
    sealed: int = 0
    #: how many each key seals, whether they open or not
    by_key: Counter[str] = field(default_factory=Counter)
    #: keys that are named and not known
    missing: set[str] = field(default_factory=set)

    def add(self, connection: Connection, found: Sequence[Found]) -> None:
        """Count the credentials of a row."""
        for each in found:
            if each.key_id:
                self.by_key[each.key_id] += 1
            if each.is_key_missing:
                self.missing.add(each.key_id)
            if each.problem:
                self.unreadable.append(Place.of(connection, each))
            elif each.is_sealed:
                self.sealed += 1
            else:
                self.clear.append(Place.of(connection, each))

    def wrong_keys(self, known: Sequence[str]) -> str:
        """What to say when nothing that is sealed can be opened for want of its key; empty otherwise."""
        if self.sealed or not self.missing:
            return ""
        missing = ", ".join(sorted(self.missing)[:10])
        return (
            f"none of the {len(self.unreadable)} sealed credentials in the database can be opened: they need the keys "
            f"{missing}, and only {', '.join(known[:10]) or 'none'} is given; restore the data directory's "
            "keys/secrets.keys, or give the keys with INTERTIE_SECRETS_KEYS, INTERTIE_SECRETS_KEYS_FILE or "
            "INTERTIE_SECRETS_KEYS_COMMAND"
        )


@dataclass(slots=True)
class Progress:
    """How far a walk over all connections is."""

    total: int
    key_id: str
    done: int = 0
    changed: int = 0
    #: what could not be done so far
    problems: list[Place] = field(default_factory=list)

    def complain(self, place: Place) -> None:
        """Note what could not be done; of very many the first."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(place)
