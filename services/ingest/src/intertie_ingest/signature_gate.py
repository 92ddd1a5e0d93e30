"""The one door of all systems: who is let in is decided by the system's scheme, how a refusal looks and what it costs
is the same for all of them, known or not.

Whoever may send can measure how long a refusal takes. So a delivery that its own system's scheme refuses is put to
every other scheme of the installation too, with secrets that nobody knows: what a refusal costs depends on the request
and on the installation, never on the system. Who is let in pays for his own scheme alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from intertie_ingest.signature_options import PRESETS
from intertie_ingest.signature_schemes import CLOSED
from intertie_ingest.signatures import HeaderRule, Headers, Mismatch, Repeated, Verified, Verifier


@dataclass(frozen=True, slots=True)
class Gate:
    """What the verifiers of an installation read and compute, all together."""

    #: one verifier of each kind that there is, none of which lets anybody in
    decoys: tuple[Verifier, ...]
    #: by the id() of a system's verifier, the decoys of the other kinds
    others: Mapping[int, tuple[Verifier, ...]]
    #: a header that stands twice is told of whether or not the system that was named reads it
    rules: tuple[HeaderRule, ...]

    @classmethod
    def of(cls, verifiers: Iterable[Verifier]) -> "Gate":
        """The gate before these verifiers, which must live as long as it does."""
        verifiers = (*verifiers, CLOSED)
        decoys = tuple(dict.fromkeys(chain(PRESETS, *(verifier.decoys for verifier in verifiers))))
        rules = dict.fromkeys(chain.from_iterable(decoy.rules for decoy in decoys))
        return cls(
            decoys,
            {id(verifier): tuple(one for one in decoys if one not in verifier.decoys) for verifier in verifiers},
            tuple(sorted(rules, key=lambda rule: (rule.name, rule.separator, rule.marker))),
        )

    def verify(
        self, verifier: Verifier, headers: Headers, body: bytes, now: float, *, is_allowed: bool = True
    ) -> Verified:
        """Raises Mismatch or Repeated: which of them follows from the headers alone.

        What is not allowed to come, from this address say, is not even tried: all that is said of it is what is said of
        a wrong secret.
        """
        decoys = self.decoys
        if is_allowed:
            try:
                return verifier.verify(headers, body, now)
            except (Mismatch, Repeated):
                decoys = self.others.get(id(verifier), decoys)
        for decoy in decoys:
            try:
                decoy.verify(headers, body, now)
            except (Mismatch, Repeated):
                continue
        faults = [rule.fault(headers) for rule in self.rules]
        raise next(chain(filter(None, faults), [Mismatch()]))
