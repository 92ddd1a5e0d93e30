"""Refused calls, gathered for the audit log: each shows there soon, and no flood of them can fill it.

A place is a method, a caller, a reason and an address. Its first refusal in a minute is told of within a second, the
others of that minute as one entry with their number, when it has passed. So a place costs two entries a minute at most,
and a process, which keeps a bounded number of places a minute and counts what is beyond them by reason alone, at most
some eighty. What is gathered lies in memory until it is handed on: a process that is killed takes up to a minute of
counts with it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from intertie_chassis.errors import IntertieError
from intertie_chassis.ids import new_ulid
from intertie_chassis.principals import Principal

MOST_PLACES = 32
"""Places that one process tells apart within a minute."""
UNKNOWN = "unknown method"
"""Stands for every path that is no method: what a caller makes up does not reach the log."""

_log = structlog.get_logger()
_MINUTE = 60.0
_PERIOD = 1.0
_LONGEST_PAUSE = 5.0
_LAST_SECONDS = 5.0
_MOST_WAITING = 256
_MOST_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class Place:
    """What refusals of one entry have in common. Only status and reason, when they are of too many places."""

    reason: str
    """A name of ``intertie.api.v1.ErrorReason``."""
    status: int
    """The HTTP status: 401 when nobody known called, 403 when the caller may not."""
    method: str = ""
    """The method's path, or `UNKNOWN`."""
    subject: str = ""
    """Whom the token or certificate is for."""
    module: str = ""
    """The module, when one called."""
    peer: str = ""
    """The address that the call came from, without its port."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Refusals of one place, as one entry of the log has them."""

    entry_id: str
    """A ULID, the same however often it is handed on."""
    place: Place
    count: int
    first_at: datetime
    """UTC; likewise `last_at`."""
    last_at: datetime
    request_id: str
    """Of the first of them."""

    @property
    def payload(self) -> dict[str, object]:
        """The entry's document."""
        return {
            "reason": self.place.reason,
            "peer": self.place.peer,
            "count": self.count,
            "first_at": self.first_at.isoformat(timespec="milliseconds"),
            "last_at": self.last_at.isoformat(timespec="milliseconds"),
        }

    @property
    def message(self) -> str:
        """The entry's text."""
        return f"refused: {self.place.reason}" + (f", {self.count} times" if self.count > 1 else "")

    @property
    def fields(self) -> dict[str, Any]:
        """What audit's Entry has of it, under the contract's names; beside these, `created_at` is `first_at`."""
        return {
            "entry_id": self.entry_id,
            "query_type": "access",
            "query_string": self.place.method,
            "request_payload": json.dumps(self.payload, separators=(",", ":")).encode(),
            "response_status": self.place.status,
            "status": "error",
            "error_message": self.message,
            "module_name": self.place.module,
            "actor": self.place.subject,
            "request_id": self.request_id,
        }


Hand = Callable[[Sequence[Denial]], Awaitable[None]]
"""Takes denials for good. Raises IntertieError when it cannot at the moment."""


@dataclass(slots=True)
class _Tally:
    """Refusals of one place in the present minute that are not told of yet."""

    is_told: bool = False
    """Whether the place has an entry in this minute."""
    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    request_id: str = ""


@dataclass(slots=True)
class Denials:
    """The refusals of one process."""

    clock: Callable[[], float] = time.time
    _minute: int = 0
    _places: dict[Place, _Tally] = field(default_factory=dict)
    _waiting: list[Denial] = field(default_factory=list)

    def add(
        self, method: str, principal: Principal | None, reason: str, status: int, peer: str, request_id: str
    ) -> None:
        """Counts a refusal. `peer`: an address, or gRPC's ``ipv4:127.0.0.1:50051``."""
        now = self.clock()
        self._turn(now)
        subject = principal.subject[:_MOST_SUBJECT] if principal else ""
        module = principal.name if principal and principal.role == "module" else ""
        place = Place(reason, status, method, subject, module, address_of(peer))
        if place not in self._places and len(self._places) >= MOST_PLACES:
            place = Place(reason, status)
        tally = self._places.setdefault(place, _Tally())
        if tally.count == 0:
            tally.first_at, tally.request_id = now, request_id
        tally.count += 1
        tally.last_at = now

    def take(self, *, everything: bool = False) -> list[Denial]:
        """What is to be told of now: places that are new in this minute, and what the minutes before have left.

        `everything`: also what the present minute has gathered since, for a process that stops.
        """
        self._turn(self.clock())
        taken, self._waiting = self._waiting, []
        for place, tally in self._places.items():
            if tally.count and (everything or not tally.is_told):
                taken.append(_denial(place, tally))
                tally.is_told, tally.count = True, 0
        return taken

    def give_back(self, denials: Sequence[Denial]) -> None:
        """Keeps what could not be handed on; the oldest goes when it is too much."""
        self._waiting = [*denials, *self._waiting]
        self._cut()

    def _cut(self) -> None:
        lost = self._waiting[:-_MOST_WAITING]
        if lost:
            self._waiting = self._waiting[-_MOST_WAITING:]
            _log.warning("refused calls are lost to the audit log", calls=sum(denial.count for denial in lost))

    def _turn(self, now: float) -> None:
        """Closes the minute when it has passed."""
        minute = int(now // _MINUTE)
        if minute == self._minute:
            return
        self._minute = minute
        self._waiting += [_denial(place, tally) for place, tally in self._places.items() if tally.count]
        self._cut()
        self._places.clear()


async def tell(denials: Denials, hand: Hand) -> None:
    """Hands denials on each second until cancelled; what is not taken is tried again."""
    pause = _PERIOD
    while True:
        await asyncio.sleep(pause)
        pause = _PERIOD if await _hand_on(denials, hand, everything=False) else min(pause * 2, _LONGEST_PAUSE)


async def tell_last(denials: Denials, hand: Hand) -> None:
    """Hands on all that is left, within five seconds: a stopping process waits for nobody who is away."""
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            await _hand_on(denials, hand, everything=True)
    except Exception as error:  # whatever it is, the process stops
        _log.warning("the last refused calls are lost to the audit log", exc_info=error)


async def _hand_on(denials: Denials, hand: Hand, *, everything: bool) -> bool:
    taken = denials.take(everything=everything)
    if not taken:
        return True
    is_taken = False
    try:
        await hand(taken)
        is_taken = True
    except IntertieError as error:
        _log.warning("refused calls wait for the audit log", cause=error.message)
    finally:
        if not is_taken:
            denials.give_back(taken)
    return is_taken


def address_of(peer: str) -> str:
    """The address in gRPC's name of a peer, without its port; as it is when it is no such name."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer[:_MOST_SUBJECT]
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")


def _denial(place: Place, tally: _Tally) -> Denial:
    return Denial(new_ulid(), place, tally.count, _moment(tally.first_at), _moment(tally.last_at), tally.request_id)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
