"""The leases that a mapper has in work, and until when each is surely its own; the clock is handed in."""

from collections.abc import Collection

_SURE = 0.75
"""Of a lease's time: who could not renew it for so long stops, a quarter before another may have it."""
_YOUNG = 0.25
"""Of a lease's time: so long it needs no renewing."""


class HeldLeases:
    """Tokens with their times, in seconds of one clock."""

    def __init__(self, lease_seconds: int) -> None:
        """`lease_seconds`: what leases are asked for and renewed for."""
        self._seconds = lease_seconds
        self._until: dict[str, float] = {}
        self._due: dict[str, float] = {}

    @property
    def usual_seconds(self) -> float:
        """For how long a lease is surely its holder's that was given for as long as was asked for."""
        return self._seconds * _SURE

    def due(self, now: float) -> list[str]:
        """The leases in work that should be renewed."""
        return [token for token, at in self._due.items() if at <= now]

    def take(self, token: str, now: float, seconds: int = 0) -> None:
        """A lease was given, for so many seconds; 0: for as long as it was asked for."""
        self._set(token, now, min(seconds or self._seconds, self._seconds))

    def is_held(self, token: str, now: float) -> bool:
        """Whether its records may still be worked on."""
        return now < self._until.get(token, 0.0)

    def renewed(self, tokens: Collection[str], lost: Collection[str], asked: float) -> None:
        """These were to be extended, which was asked for at that time; those that are lost are held no more."""
        for token in tokens:
            if token in self._until:
                self._set(token, asked, self._seconds)
                if token in lost:
                    self._until[token] = 0.0

    def end(self, token: str) -> None:
        """The work on it is over."""
        self._until.pop(token, None)
        self._due.pop(token, None)

    def _set(self, token: str, now: float, seconds: int) -> None:
        self._until[token] = now + seconds * _SURE
        self._due[token] = now + seconds * _YOUNG
