"""The journal of identities: which tokens were issued and revoked, which keys signed and were withdrawn. Never a token.

A line is a JSON object of the fields of `Event`. The journal is written first and decides: what it says is then made
true of the other files, by the command itself or by whoever opens the directory next.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self, get_args

from intertie_chassis.ids import new_ulid
from intertie_chassis.key_files import KeyFiles

Kind = Literal["issued", "revoked", "rotated", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    event: Kind
    """issued or revoked (a token), rotated (a key began to sign), withdrawn (a key is refused)."""
    token_id: str = ""
    """The token's ``jti``."""
    role: str = ""
    """The token's role."""
    subject: str = ""
    """Whom the token is for."""
    expires_at: int = 0
    """When the token ends; of `rotated`: when the key before ends (0: there was none). Seconds since 1970."""
    key_id: str = ""
    """The key that signed the token; of `rotated` and `withdrawn`: the key itself."""
    id: str = field(default_factory=new_ulid)
    """The event's own ULID."""
    at: float = field(default_factory=lambda: round(time.time(), 3))
    """When it happened, in seconds since 1970."""

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The event of a line; None for what is none, such as the rest of a write that was cut off."""
        try:
            document = json.loads(line)
            values = {each.name: document[each.name] for each in fields(cls)}
        except (ValueError, KeyError, TypeError):
            return None
        is_known = values["event"] in get_args(Kind)
        is_fit = is_known and all(isinstance(values[name], str) for name in ("token_id", "key_id", "id"))
        is_fit = is_fit and all(type(values[name]) in (int, float) for name in ("expires_at", "at"))
        return cls(**values) if is_fit else None

    def line(self) -> str:
        """The event as a line of the journal."""
        document: dict[str, Any] = asdict(self)
        return json.dumps({"id": document.pop("id"), "at": document.pop("at"), **document}, ensure_ascii=False) + "\n"


@dataclass(slots=True)
class History:
    """All events, taken together."""

    issued: dict[str, Event] = field(default_factory=dict)
    """Tokens by id."""
    revoked: dict[str, int] = field(default_factory=dict)
    """When revoked tokens end by themselves, by id."""
    rotated: dict[str, Event] = field(default_factory=dict)
    """Keys that have signed, by id: of these the journal knows every token that was issued."""
    withdrawn: set[str] = field(default_factory=set)
    """Ids of keys that are refused."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """What the events come to."""
        history = cls()
        for event in events:
            if event.event == "issued":
                history.issued[event.token_id] = event
            elif event.event == "revoked":
                history.revoked[event.token_id] = event.expires_at
            elif event.event == "rotated":
                history.rotated.setdefault(event.key_id, event)
            else:
                history.withdrawn.add(event.key_id)
        return history


class Journal:
    """The journal of one data directory. It only grows."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = files

    def append(self, *events: Event) -> None:
        """Writes the events, for good when this returns; within the directory's lock. Raises OSError."""
        if events:
            self._files.append(self._files.journal, "".join(event.line() for event in events))

    def events(self) -> list[Event]:
        """Every event, the oldest first; none when there is no journal yet. Raises OSError."""
        try:
            text = self._files.journal.read_text(errors="replace")
        except FileNotFoundError:
            return []
        # A line without its end is still being written.
        lines = text.split("\n")[:-1]
        return [event for event in map(Event.parse, lines) if event is not None]

    def history(self) -> History:
        """What the events come to. Raises OSError."""
        return History.of(self.events())
