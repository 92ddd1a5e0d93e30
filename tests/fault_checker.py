"""What must be true of the databases after faults, whatever they were: a suite held against the ledger of its clients.

The numbers are those of the invariants: what was acknowledged is stored, nothing is stored that was refused, each
delivery has ended once, its effect is there once, and the log has it once.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ledger import Attempts
from load import COLLECT, MIRROR
from suite import PREFIX, Suite
from waiting import eventually

MOST_ATTEMPTS = 9
"""Leases of one state of a record: eight delays, and the attempt before the first."""

_MOST_SHOWN = 5
_TERMINAL = {"synced", "error", "outdated"}


@dataclass
class Findings:
    """What the checker found; `faults` is empty when all promises were kept."""

    acknowledged: int = 0
    stored: int = 0
    unknown_stored: int = 0
    lost: int = 0
    doubled: int = 0
    rows: int = 0
    entries: int = 0
    faults: list[str] = field(default_factory=list)

    def tell(self, what: str, found: Iterable[object]) -> int:
        """Note a fault with some examples, if there are any; gives how many."""
        some = list(found)
        if some:
            self.faults.append(f"{what}: {len(some)}, as {some[:_MOST_SHOWN]}")
        return len(some)


async def drained(suite: Suite, timeout: float = 120) -> None:
    """Wait until nothing is pending and every outbox is empty.

    What backs off is made due at once, as if its time had come.
    """

    def is_drained() -> bool:
        waiting = "sync_status = 'pending' AND lease_token IS NULL AND attempts > 0"
        now = "UTC_TIMESTAMP(6)" if suite.database_url else "strftime('%Y-%m-%d %H:%M:%f','now')"
        later = f"{waiting} AND available_at > {now}"
        if suite.sql("ingest", f"SELECT id FROM {PREFIX}external_data_cache WHERE {later} LIMIT 1"):
            suite.sql("ingest", f"UPDATE {PREFIX}external_data_cache SET available_at = {now} WHERE {later}")
        pending = suite.sql(
            "ingest", f"SELECT id FROM {PREFIX}external_data_cache WHERE sync_status = 'pending' LIMIT 1"
        )
        outboxes = [("ingest", "ingest_outbox"), ("target", "mapper_outbox"), ("registry", "registry_outbox")]
        held = [name for owner, name in outboxes if suite.sql(owner, f"SELECT id FROM {PREFIX}{name} LIMIT 1")]
        assert not pending, "records are pending"
        assert not held, f"{held} are not empty"
        return True

    await eventually(is_drained, timeout=timeout, every=0.3)


def check(suite: Suite, ledger: Attempts) -> Findings:
    """Hold a drained suite against the ledger."""
    findings = Findings()
    deliveries = _deliveries(suite, ledger, findings)
    mappings = {row["id"]: row["mapping_name"] for row in suite.rows("external_data_mappings", owner="registry")}
    cache = suite.sql(
        "ingest",
        "SELECT id, mapping_id, external_id, revision, sync_status, attempts, lease_token, delivery_id "
        f"FROM {PREFIX}external_data_cache",
    )
    _endings(suite, deliveries, cache, findings)
    _queue(cache, findings)
    _collected(suite, deliveries, findings)
    _mirrored(suite, ledger, deliveries, findings)
    _links(suite, mappings, findings)
    _log(suite, deliveries, findings)
    return findings


def _deliveries(suite: Suite, ledger: Attempts, findings: Findings) -> dict[str, dict[str, Any]]:
    """I1, I2, I23: by key what is stored."""
    columns = "delivery_id, delivery_key, digest, records"
    rows = suite.sql("ingest", f"SELECT {columns} FROM {PREFIX}inbound_deliveries WHERE delivery_key IS NOT NULL")
    stored = {row["delivery_key"]: row for row in rows}
    acknowledged, possible = ledger.acknowledged(), ledger.possible()
    findings.acknowledged, findings.stored = len(acknowledged), len(stored)
    findings.unknown_stored = len(stored.keys() & possible.keys())
    findings.doubled += findings.tell(
        "stored twice", [key for key, n in Counter(r["delivery_key"] for r in rows).items() if n > 1]
    )
    findings.lost = findings.tell("acknowledged and lost", acknowledged.keys() - stored.keys())
    findings.tell("stored though refused, or never sent", stored.keys() - acknowledged.keys() - possible.keys())
    known = {**possible, **acknowledged}
    findings.tell(
        "stored with other bytes",
        [key for key, row in stored.items() if key in known and bytes(row["digest"]).hex() != known[key].sha256],
    )
    findings.tell(
        "answered with another id than it has",
        [key for key, one in acknowledged.items() if key in stored and stored[key]["delivery_id"] != one.delivery_id],
    )
    return stored


def _endings(suite: Suite, deliveries: dict[str, Any], cache: list[dict[str, Any]], findings: Findings) -> None:
    """I3: each record of each delivery has ended, once."""
    states = {(row["mapping_id"], row["external_id"]): row for row in cache}
    ended: dict[tuple[str, int, str], list[str]] = defaultdict(list)
    columns = "delivery_id, mapping_id, external_id, ending"
    for row in suite.sql("ingest", f"SELECT {columns} FROM {PREFIX}inbound_delivery_endings"):
        ended[row["delivery_id"], row["mapping_id"], row["external_id"]].append(row["ending"])
    twice: list[object] = []
    never: list[object] = []
    unrouted: list[str] = []
    for key, delivery in deliveries.items():
        records = json.loads(delivery["records"])
        if not records:
            unrouted.append(key)
        for mapping, external_id, revision in records:
            endings = list(ended[delivery["delivery_id"], mapping, external_id])
            state = states.get((mapping, external_id))
            if revision and state is not None and state["revision"] == revision:
                endings.append(state["sync_status"] if state["sync_status"] in _TERMINAL else "")
            if len(endings) != 1:
                (twice if endings else never).append((key, mapping, external_id, revision, endings))
            elif not endings[0]:
                never.append((key, mapping, external_id, revision, "pending"))
    findings.tell("ended more than once", twice)
    findings.tell("not ended", never)
    findings.tell("unrouted, though two mappings want it", unrouted)


def _queue(cache: list[dict[str, Any]], findings: Findings) -> None:
    """I10, I11: attempts are bounded, and nobody holds what has ended."""
    findings.tell("pending after the drain", [row["id"] for row in cache if row["sync_status"] not in _TERMINAL])
    findings.tell("ended and still leased", [row["id"] for row in cache if row["lease_token"] is not None])
    findings.tell("tried too often", [(row["id"], row["attempts"]) for row in cache if row["attempts"] > MOST_ATTEMPTS])


def _collected(suite: Suite, deliveries: dict[str, Any], findings: Findings) -> None:
    """I6: `collect` has made one row of each delivery, and none of anything else."""
    titles = Counter(row["title"] for row in suite.sql("target", f"SELECT title FROM {PREFIX}campaigns"))
    findings.rows = sum(titles.values())
    findings.doubled += findings.tell("mapped twice", [title for title, n in titles.items() if n > 1])
    findings.tell("stored and never mapped", deliveries.keys() - titles.keys())
    findings.tell("mapped and not stored", titles.keys() - deliveries.keys())


def _mirrored(suite: Suite, ledger: Attempts, deliveries: dict[str, Any], findings: Findings) -> None:
    """I6, I9: `mirror` has one row of each entity, with the newest version that was stored."""
    newest: dict[str, int] = {}
    for attempt in ledger:
        if attempt.fits and attempt.entity and attempt.key in deliveries and attempt.outcome != "fail":
            newest[attempt.entity] = max(attempt.version, newest.get(attempt.entity, 0))
    rows = suite.sql("target", f"SELECT event_name, capacity FROM {PREFIX}events")
    counts = Counter(row["event_name"] for row in rows)
    findings.doubled += findings.tell("entities with two rows", [name for name, n in counts.items() if n > 1])
    findings.tell("entities without their row", newest.keys() - counts.keys())
    findings.tell("rows of no entity", counts.keys() - newest.keys())
    held = {row["event_name"]: row["capacity"] for row in rows}
    findings.tell(
        "entities with an old version",
        [(name, held[name], version) for name, version in newest.items() if name in held and held[name] != version],
    )


def _links(suite: Suite, mappings: dict[int, str], findings: Findings) -> None:
    """I7: rows, links and confirmed checkpoints are of the same transactions."""
    links = suite.sql("target", f"SELECT mapping_id, external_id, target_key FROM {PREFIX}external_record_links")
    for name, table, singular in ((MIRROR, "events", "event"), (COLLECT, "campaigns", None)):
        keys = Counter(_row_number(link["target_key"]) for link in links if mappings.get(link["mapping_id"]) == name)
        rows = {row["id"] for row in suite.sql("target", f"SELECT id FROM {PREFIX}{table}")}
        findings.doubled += findings.tell(f"rows of {table} with two links", [key for key, n in keys.items() if n > 1])
        findings.tell(f"rows of {table} without a link", rows - keys.keys())
        findings.tell(f"links to no row of {table}", keys.keys() - rows)
        if singular is None:
            continue
        columns = f"{singular}_id AS row_id, integration_status AS status"
        checkpoints = suite.sql("target", f"SELECT {columns} FROM {PREFIX}{singular}_integration_checkpoints")
        noted = Counter(row["row_id"] for row in checkpoints)
        findings.tell(f"rows of {table} with two checkpoints", [key for key, n in noted.items() if n > 1])
        findings.tell(f"rows of {table} without a checkpoint", rows - noted.keys())
        findings.tell(
            "checkpoints that are not confirmed", [r["row_id"] for r in checkpoints if r["status"] != "confirmed"]
        )


def _log(suite: Suite, deliveries: dict[str, Any], findings: Findings) -> None:
    """I12: the log has each acceptance once and each application of a state once, and none of what is not there."""
    entries = suite.sql(
        "audit",
        "SELECT entry_id, query_type, query_string, delivery_id, status, request_payload "
        f"FROM {PREFIX}integration_query_logs WHERE query_type IN ('webhook', 'mapping') AND delivery_id IS NOT NULL",
    )
    findings.entries = len(entries)
    accepted = Counter(one["entry_id"] for one in entries if one["query_type"] == "webhook")
    ids = {delivery["delivery_id"] for delivery in deliveries.values()}
    findings.tell("acceptances that are not in the log", ids - accepted.keys())
    findings.tell(
        "entries of deliveries that are not stored", {one["delivery_id"] for one in entries if one["delivery_id"]} - ids
    )
    applied: Counter[tuple[str, str, int]] = Counter()
    collected: Counter[str] = Counter()
    for one in entries:
        if one["query_type"] != "mapping" or one["status"] != "success":
            continue
        payload = json.loads(one["request_payload"])
        applied[one["query_string"], payload["external_id"], payload["revision"]] += 1
        if one["query_string"] == COLLECT:
            collected[one["delivery_id"]] += 1
    findings.tell("states that the log has applied twice", [state for state, n in applied.items() if n > 1])
    findings.tell("rows that the log does not have", ids - collected.keys())
    findings.tell("rows that the log has twice", [name for name, n in collected.items() if n > 1])


def _row_number(key: str) -> int:
    (value,) = json.loads(key).values()
    return int(value)
