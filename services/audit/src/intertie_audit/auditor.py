"""`python -m intertie_audit verify`: verifies the chain without the service, as an independent auditor does.

It needs to read the database, the anchor, and `keys/audit-keys.json` of the data directory; the keys of macs are used
where they are there as well. It changes nothing.
"""

from contextlib import aclosing

from intertie_audit import assembly
from intertie_audit.anchor import Anchor
from intertie_audit.chain_store import ChainStore
from intertie_audit.settings import AuditSettings
from intertie_audit.verification import Scope, Verification
from intertie_audit.verify_store import VerifyStore
from intertie_chassis.database import Database
from intertie_chassis.errors import StartupError

_MOST_FINDINGS = 10_000


async def audited(settings: AuditSettings) -> int:
    """Prints each finding and the verdict; 0 when the chain is intact, 1 when not.

    Raises StartupError without public keys, or when the anchor cannot be read; Unavailable.
    """
    keys = assembly.chain_keys(settings).known()
    path = assembly.anchor_path(settings)
    if not path.exists():
        raise StartupError(f"the anchor {path} is missing; INTERTIE_AUDIT_ANCHOR says where it is")
    database = await Database.open(settings.database_url_for("audit"), table_prefix=settings.table_prefix)
    try:
        verification = Verification(VerifyStore(database), ChainStore(database), keys, Anchor(path))
        verdict = None
        async with aclosing(verification.run(Scope(most_findings=_MOST_FINDINGS))) as parts:
            async for part in parts:
                for one in part.findings:
                    place = (
                        f"{one.sequence}"
                        if one.sequence == one.last_sequence
                        else f"{one.sequence}-{one.last_sequence}"
                    )
                    print(f"{one.kind}\t{place}\tentry {one.entry_id}\t{one.message}")  # noqa: T201
                verdict = part.verdict
    finally:
        await database.close()
    if verdict is None:
        return 1
    signed = verdict.checkpoint.sequence if verdict.checkpoint else 0
    state = "intact" if verdict.is_intact else f"NOT INTACT: {verdict.findings} findings"
    print(  # noqa: T201
        f"{state}; {verdict.end.sequence} links, head {verdict.end.head.hex()}, signed up to {signed}, "
        f"{verdict.unsealed} entries not sealed, {verdict.seconds:.1f} s"
        + ("" if keys.mac_keys else "; macs were not verified: their keys are not here")
    )
    return 0 if verdict.is_intact else 1
