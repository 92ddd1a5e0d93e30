"""The one door of all systems: who is let in is decided by the system's scheme, how a refusal looks and what it costs
is the same for all of them, known or not.

Whoever may send can measure how long a refusal takes. So a delivery that its own system's scheme refuses is put to
every other scheme of the installation too, with secrets that nobody knows: what a refusal costs depends on the request
and on the installation, never on the system. Who is let in pays for his own scheme alone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from intertie_ingest.signature_options import PRESETS
from intertie_ingest.signature_schemes import CLOSED
from intertie_ingest.signatures import HeaderRule, Headers, Mismatch, Repeated, Verified, Verifier

_Attempt = Callable[[Headers, bytes, float], Verified]


@dataclass(frozen=True, slots=True)
class Gate:
    """What the verifiers of an installation read and compute, all together."""

    #: by the id() of a system's verifier, it and then a decoy of every other kind, which let nobody in
    attempts: Mapping[int, tuple[_Attempt, ...]]
    #: a header that stands twice is told of whether or not the system that was named reads it
    rules: tuple[HeaderRule, ...]

    @classmethod
    def of(cls, verifiers: Iterable[Verifier]) -> "Gate":
        """The gate before these verifiers, which must live as long as it does."""
        verifiers = (*verifiers, CLOSED)
        decoys = tuple(dict.fromkeys(chain(PRESETS, *(verifier.decoys for verifier in verifiers))))
        rules = dict.fromkeys(chain.from_iterable(decoy.rules for decoy in decoys))
        # Each decoy is bound once: what all systems share lies as near to the processor for one as for another.
        calls = {decoy: decoy.verify for decoy in decoys}
        return cls(
            {
                id(one): (one.verify, *(call for decoy, call in calls.items() if decoy not in one.decoys))
                for one in verifiers
            },
            tuple(sorted(rules, key=lambda rule: (rule.name, rule.separator, rule.marker))),
        )

    def verify(
        self, verifier: Verifier, headers: Headers, body: bytes, now: float, *, is_allowed: bool = True
    ) -> Verified:
        """Raises Mismatch or Repeated: which of them follows from the headers alone.

        What is not allowed to come, from this address say, is not even tried: all that is said of it is what is said of
        a wrong secret.
        """
        # One loop for whoever it is: even where in the code something is called from can be seen by the clock.
        for attempt in self.attempts[id(verifier if is_allowed else CLOSED)]:
            try:
                return attempt(headers, body, now)
            except (Mismatch, Repeated):
                continue
        faults = [rule.fault(headers) for rule in self.rules]
        raise next(chain(filter(None, faults), [Mismatch()]))
