"""The leases that a mapper has in work, and until when each is surely its own; the clock is handed in."""

from collections.abc import Collection

_SURE = 0.75
"""Of a lease's time: who could not renew it for so long stops, a quarter before another may have it."""


class HeldLeases:
    """Tokens with their times, in seconds of one clock."""

    def __init__(self, lease_seconds: int) -> None:
        self._seconds = lease_seconds
        self._until: dict[str, float] = {}

    @property
    def tokens(self) -> list[str]:
        """The leases in work."""
        return list(self._until)

    def take(self, token: str, now: float) -> None:
        """A lease was given."""
        self._until[token] = now + self._seconds * _SURE

    def is_held(self, token: str, now: float) -> bool:
        """Whether its records may still be worked on."""
        return now < self._until.get(token, 0.0)

    def renewed(self, tokens: Collection[str], lost: Collection[str], asked: float) -> None:
        """These were to be extended, which was asked for at that time; those that are lost are held no more."""
        for token in tokens:
            if token in self._until:
                self._until[token] = 0.0 if token in lost else asked + self._seconds * _SURE

    def end(self, token: str) -> None:
        """The work on it is over."""
        self._until.pop(token, None)
