"""Token buckets: how much a key may do at once and in the long run. A few floats a key, and a bounded number of keys.

A bucket holds up to `burst` tokens and gains `rate` of them a second; what takes a token when there is none must wait.
"""

from collections import OrderedDict

MOST_KEYS = 65_536


class Bucket:
    """The tokens of one key. Rate and burst are passed in, so that a change of them keeps what has been used up."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        """A full bucket; `now` is in seconds of a clock that never goes back."""
        self._tokens = burst
        self._at = now

    def take(self, rate: float, burst: float, now: float) -> float:
        """Takes a token and gives 0.0; when there is none, takes nothing and gives the seconds until there is one."""
        wait = self.wait(rate, burst, now)
        if wait == 0.0:
            self._tokens -= 1.0
        return wait

    def wait(self, rate: float, burst: float, now: float) -> float:
        """The seconds until there is a token; 0.0 when there is one now. Takes nothing."""
        tokens = min(burst, self._tokens + (now - self._at) * rate)
        self._tokens, self._at = tokens, now
        # A sum of many small gains may fall short of a whole token by its rounding.
        return 0.0 if tokens > 1.0 - 1e-9 else (1.0 - tokens) / rate


class Buckets:
    """A bucket for each key that was seen lately. Of more than `most` keys the one used least lately is forgotten, and
    would begin anew with a full bucket: so an attacker with very many addresses fills no memory.
    """

    def __init__(self, rate: float, burst: float, most: int = MOST_KEYS) -> None:
        """`rate` is in tokens a second and above 0, `burst` at least 1."""
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """Takes a token of the key and gives 0.0; without one, the seconds until there is one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(self._rate, self._burst, now)

    def wait(self, key: str, now: float) -> float:
        """The seconds until the key has a token; 0.0 when it has one now. Takes and remembers nothing."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait(self._rate, self._burst, now)
