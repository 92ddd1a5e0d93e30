"""The one door of all systems: who is let in is decided by the system's scheme, how a refusal looks and what it costs
is the same for all of them, known or not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from intertie_ingest.signature_effort import Effort
from intertie_ingest.signature_options import PRESET_RULES
from intertie_ingest.signatures import HeaderRule, Headers, Mismatch, Repeated, Verified, Verifier


@dataclass(frozen=True, slots=True)
class Gate:
    """What the verifiers of an installation read and compute, all together."""

    #: by name; a header that stands twice is told of whether or not the system that was named reads it
    rules: tuple[HeaderRule, ...] = tuple(sorted(PRESET_RULES, key=lambda rule: rule.name))
    #: each refusal goes over the body with all of them
    algorithms: tuple[str, ...] = ("sha256",)

    @classmethod
    def of(cls, verifiers: Iterable[Verifier]) -> "Gate":
        """The gate before these verifiers."""
        verifiers = tuple(verifiers)
        rules = {rule for verifier in verifiers for rule in verifier.rules}.union(PRESET_RULES)
        algorithms = {"sha256"}.union(*(verifier.algorithms for verifier in verifiers))
        return cls(
            tuple(sorted(rules, key=lambda rule: (rule.name, rule.separator, rule.marker))), tuple(sorted(algorithms))
        )

    def verify(
        self, verifier: Verifier, headers: Headers, body: bytes, now: float, *, is_allowed: bool = True
    ) -> Verified:
        """Raises Mismatch or Repeated: which of them follows from the headers alone, what it costs from the request.

        What is not allowed to come, from this address say, is refused also when it fits, and as if it did not.
        """
        effort = Effort()
        try:
            verified = verifier.verify(headers, body, now, effort)
            if is_allowed:
                return verified
        except (Mismatch, Repeated):
            pass
        effort.fill(headers, body, self.algorithms)
        faults = [rule.fault(headers) for rule in self.rules]
        raise next(chain(filter(None, faults), [Mismatch()]))
