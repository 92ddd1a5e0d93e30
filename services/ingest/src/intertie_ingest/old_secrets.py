"""Who still uses a secret that a rotation has replaced: the log hears of it before the secret ends."""

import structlog

from intertie_ingest.configuration import CompiledSystem
from intertie_ingest.signatures import PREVIOUS, Verified

SOON_SECONDS = 6 * 3600.0
"""So long before its end the use of an old secret is worth a warning."""
AGAIN_SECONDS = 3600.0
"""A system is warned of once in this time."""

_log = structlog.get_logger()


class OldSecrets:
    """Warns of deliveries that still come with the previous secret; every single one is in the audit log."""

    def __init__(self) -> None:
        self._warned: dict[int, float] = {}

    def note(self, system: CompiledSystem, verified: Verified, now: float) -> bool:
        """Warns when the delivery was verified by an old secret that ends soon; gives whether it did."""
        until = system.verifier.previous_until
        if not verified.secret.startswith(PREVIOUS) or until is None or until - now > SOON_SECONDS:
            return False
        if now - self._warned.get(system.id, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        self._warned[system.id] = now
        minutes = max(0, int((until - now) / 60))
        _log.warning("deliveries still come with the previous secret", system=system.name, ends_in_minutes=minutes)
        return True
