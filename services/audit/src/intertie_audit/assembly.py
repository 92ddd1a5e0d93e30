"""Puts the chain together: keys, sealer, verification, from the settings and one database."""

from dataclasses import dataclass
from pathlib import Path

from intertie_audit.anchor import Anchor
from intertie_audit.chain_keys import ChainKeys, KnownKeys
from intertie_audit.chain_store import ChainStore
from intertie_audit.checkpoints import Checkpoints
from intertie_audit.lease_store import Lease
from intertie_audit.row_store import RowStore
from intertie_audit.seal_store import SealStore
from intertie_audit.sealer import Sealer
from intertie_audit.settings import AuditSettings
from intertie_audit.store import Store
from intertie_audit.verification import Verification
from intertie_audit.verify_store import VerifyStore
from intertie_chassis.database import Database


@dataclass(frozen=True, slots=True)
class Chain:
    """What works on the chain in one process."""

    keys: KnownKeys
    links: ChainStore
    #: appends notes of others
    seals: SealStore
    sealer: Sealer
    verification: Verification


def chain(settings: AuditSettings, database: Database, log: Store) -> Chain:
    """The chain's parts. Raises StartupError when the keys can be neither read nor made."""
    key, known = chain_keys(settings).ensure()
    links, seals = ChainStore(database), SealStore(database, key.mac_key)
    anchor = Anchor(anchor_path(settings))
    checkpoints = Checkpoints(seals, links, key, anchor)
    sealer = Sealer(seals, RowStore(database), log, checkpoints, Lease(database), known.mac_keys)
    return Chain(known, links, seals, sealer, Verification(VerifyStore(database), links, known, anchor))


def chain_keys(settings: AuditSettings) -> ChainKeys:
    """The files of the keys."""
    return ChainKeys(settings.data_dir, settings.audit_signing_key)


def anchor_path(settings: AuditSettings) -> Path:
    """The file outside of the database to which checkpoints are appended."""
    return settings.audit_anchor or settings.data_dir / "anchor" / "audit.jsonl"
