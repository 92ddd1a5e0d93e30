"""Whatever is done to a sealed log behind its back is found, and its first place is told exactly."""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_rig import LENGTH, SIGNED, Rig, Tables, flipped, made, other
from intertie_audit.chain import ENTRY_COLUMNS, Checkpoint, read_checkpoint
from intertie_audit.chain_keys import ChainKey, KnownKeys
from intertie_audit.verification import Scope
from intertie_chassis.ids import new_ulid

COLUMNS = ENTRY_COLUMNS
PAYLOADS = ("request_payload", "response_payload")
LINK_COLUMNS = ("sequence", "entry_id", "kind", "canonical", "head", "mac", "sealed_at")
Kinds = set[str]


class Sample:
    """A chain of twelve links with three checkpoints, put back as it was before each example."""

    def __init__(self, rig: Rig, tables: Tables, loop: asyncio.AbstractEventLoop) -> None:
        self.rig = rig
        self.tables = tables
        self.loop = loop

    def found(self, changed: Tables, **options: Any) -> list[tuple[str, int, int]]:
        """What is found in these tables."""

        async def work() -> list[tuple[str, int, int]]:
            await changed.write(self.rig)
            return await self.rig.found(**options)

        return self.loop.run_until_complete(work())


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """On SQLite, where an example costs some milliseconds."""
    directory = tmp_path_factory.mktemp("chain")
    loop = asyncio.new_event_loop()
    rig, tables = loop.run_until_complete(made(f"sqlite+aiosqlite:///{directory / 'audit.db'}", directory))
    yield Sample(rig, tables, loop)
    loop.run_until_complete(rig.database.close())
    loop.close()


places = st.integers(1, LENGTH)


def test_an_untouched_chain_is_intact(sample: Sample) -> None:
    """Whole and in parts, with the keys of macs and without."""
    assert sample.found(sample.tables) == []
    assert sample.found(sample.tables, scope=Scope(5, 9)) == []
    assert sample.found(sample.tables, scope=Scope(LENGTH, 0)) == []
    assert sample.found(sample.tables, keys=KnownKeys(sample.rig.known.jwks, [])) == []


@settings(max_examples=25)
@given(place=places, column=st.sampled_from([*COLUMNS, *PAYLOADS]), clear=st.booleans())
def test_any_column_of_an_entry(sample: Sample, place: int, column: str, clear: bool) -> None:
    """A value that is changed or taken away, by one character or one microsecond."""
    changed = sample.tables.copy()
    row = changed.row(place)
    not_null = ("id", "query_type", "status", "created_at")
    before = row[column]
    row[column] = None if clear and column not in not_null and before is not None else other(before, column)
    if column == "id":
        row["id"] = 10_000
    kind = "ENTRY_ALTERED"
    if column in PAYLOADS:
        kind = "PAYLOAD_MISSING" if row[column] is None else "PAYLOAD_ALTERED"
    expected = [(kind, place, place)]
    if column == "id":
        expected = [("ENTRY_MISSING", place, place), ("UNSEALED", 0, 0)]
    assert sample.found(changed) == expected


@settings(max_examples=25)
@given(place=places, column=st.sampled_from(LINK_COLUMNS), index=st.integers(0, 500))
def test_any_byte_of_a_link(sample: Sample, place: int, column: str, index: int) -> None:
    """The place, the number, the kind, the canonical bytes, the head, the mac, the time of sealing."""
    changed = sample.tables.copy()
    link = changed.link(place)
    value = link[column]
    if column == "sequence":
        link["sequence"] = value + 100
        found = sample.found(changed)
        assert min(one[1] for one in found) == place
        assert found[0][0] == "SEQUENCE_GAP"
        return
    link[column] = flipped(value, index) if isinstance(value, bytes) else other(value, column)
    if column == "entry_id":
        link["entry_id"] = 20_000
    assert [one for one in sample.found(changed) if one[0] != "UNSEALED"] == [("LINK_BROKEN", place, place)]


@pytest.mark.parametrize("column", LINK_COLUMNS[2:])
@pytest.mark.parametrize("value", ["garbage", 5, b"\xff\xfe"], ids=["text", "number", "bytes"])
def test_a_column_of_another_type(sample: Sample, column: str, value: object) -> None:
    """SQLite keeps any value in any column: no such thing stops a verification, also at the chain's end."""
    changed = sample.tables.copy()
    for place in (5, LENGTH):
        changed.link(place)[column] = value
    found = [("LINK_BROKEN", 5, 5), ("LINK_BROKEN", LENGTH, LENGTH)]
    assert sample.found(changed) == found
    assert sample.found(changed, scope=Scope(6, 8)) == []


@pytest.mark.parametrize("value", [b"\xff\xfe", 7.5], ids=["bytes", "real"])
def test_a_column_of_an_entry_of_another_type(sample: Sample, value: object) -> None:
    """Nor in the log."""
    changed = sample.tables.copy()
    changed.row(5)["actor"] = value
    changed.row(6)["request_payload"] = value
    assert sample.found(changed) == [("ENTRY_ALTERED", 5, 5), ("PAYLOAD_ALTERED", 6, 6)]


@settings(max_examples=12)
@given(place=places, with_row=st.booleans(), with_link=st.booleans())
def test_deletion(sample: Sample, place: int, with_row: bool, with_link: bool) -> None:
    """Of a row, of a link, or of both."""
    changed = sample.tables.copy()
    number = changed.link(place)["entry_id"]
    if with_row:
        changed.rows = [row for row in changed.rows if row["id"] != number]
    if with_link:
        changed.links = [link for link in changed.links if link["sequence"] != place]
    found = sample.found(changed)
    if not with_link:
        assert found == ([("ENTRY_MISSING", place, place)] if with_row else [])
        return
    kind = "SEQUENCE_GAP" if place < LENGTH else "TRUNCATED"
    assert found[0] == (kind, place, place)
    assert [one[0] for one in found[1:]] == ([] if with_row else ["UNSEALED"])


@settings(max_examples=15)
@given(
    place=places, what=st.sets(st.sampled_from(["links", "rows", "checkpoints"]), min_size=1), renumber=st.booleans()
)
def test_a_tail_that_is_cut_off(sample: Sample, place: int, what: set[str], renumber: bool) -> None:
    """Of the chain, the log, the checkpoints, or all of them: then the anchor alone knows."""
    changed = sample.tables.copy()
    numbers = {link["entry_id"] for link in changed.links if link["sequence"] >= place}
    if "links" in what:
        changed.links = [link for link in changed.links if link["sequence"] < place]
    if "rows" in what:
        changed.rows = [row for row in changed.rows if row["id"] not in numbers]
    if "checkpoints" in what:
        changed.checkpoints = [one for one in changed.checkpoints if one["sequence"] < place]
    found = sample.found(changed)
    if "links" in what:
        assert ("TRUNCATED", place, LENGTH) in found
    elif "rows" in what:
        assert [one for one in found if one[0] == "ENTRY_MISSING"] == [
            ("ENTRY_MISSING", number, number) for number in range(place, LENGTH + 1)
        ]
    cut = [number for number in SIGNED if number >= place] if "checkpoints" in what else []
    assert [one[1] for one in found if one[0] == "CHECKPOINT_MISSING"] == cut
    if what == {"links", "rows", "checkpoints"}:
        # Without the anchor only the checkpoints that somebody kept tell.
        assert sample.found(changed, anchored=False) == []
        kept = [_checkpoint(sample.tables.checkpoints[-1])]
        assert ("TRUNCATED", place, LENGTH) in sample.found(changed, anchored=False, scope=Scope(kept=kept))


@settings(max_examples=15)
@given(pair=st.sets(places, min_size=2, max_size=2), what=st.sampled_from(["links", "rows", "canonical"]))
def test_reordering(sample: Sample, pair: set[int], what: str) -> None:
    """Two links, two rows or two links' contents in each other's place."""
    first, second = sorted(pair)
    changed = sample.tables.copy()
    one, two = changed.link(first), changed.link(second)
    if what == "links":
        one["sequence"], two["sequence"] = second, first
        changed.links.sort(key=lambda link: link["sequence"])
    elif what == "canonical":
        one["canonical"], two["canonical"] = two["canonical"], one["canonical"]
    else:
        rows = changed.row(first), changed.row(second)
        rows[0]["id"], rows[1]["id"] = rows[1]["id"], rows[0]["id"]
    found = sample.found(changed)
    assert min(place for _, place, _ in found) == first
    assert {place for _, low, high in found for place in range(low, high + 1)} >= {first, second}


@settings(max_examples=10)
@given(place=places, is_renumbered=st.booleans())
def test_a_link_is_put_in(sample: Sample, place: int, is_renumbered: bool) -> None:
    """A copy of a link at the end, or in the middle with all behind it renumbered, and the heads made anew."""
    changed = sample.tables.copy()
    copy = {**changed.link(place), "entry_id": None}
    if is_renumbered:
        for link in reversed(changed.links):
            if link["sequence"] > place:
                link["sequence"] += 1
        at = place + 1
    else:
        at = LENGTH + 1
    changed.links.append({**copy, "sequence": at})
    changed.links.sort(key=lambda link: link["sequence"])
    changed.rehash(at, None)
    found = sample.found(changed)
    assert min(first for _, first, _ in found) == at
    assert found[0][0] == "LINK_BROKEN"


@settings(max_examples=8)
@given(place=places)
def test_a_row_is_put_in(sample: Sample, place: int) -> None:
    """A row without a link is told, by its number."""
    changed = sample.tables.copy()
    changed.rows.append({**changed.row(place), "id": 500 + place, "entry_id": new_ulid()})
    _, findings = sample.loop.run_until_complete(_verified(sample.rig, changed))
    assert [(one.kind, one.entry_id) for one in findings] == [("UNSEALED", 500 + place)]


@settings(max_examples=10)
@given(place=st.integers(1, LENGTH - 1), by=st.integers(1, 5))
def test_renumbering(sample: Sample, place: int, by: int) -> None:
    """All places behind one are moved; or one is deleted and those behind it close the gap."""
    moved = sample.tables.copy()
    for link in moved.links:
        if link["sequence"] > place:
            link["sequence"] += by
    assert sample.found(moved)[0] == ("SEQUENCE_GAP", place + 1, place + by)
    closed = sample.tables.copy()
    closed.links = [link for link in closed.links if link["sequence"] != place]
    for link in closed.links:
        if link["sequence"] > place:
            link["sequence"] -= 1
    found = sample.found(closed)
    assert min(first for kind, first, _ in found if kind != "UNSEALED") == place
    assert found[0][0] == "LINK_BROKEN"


@settings(max_examples=20)
@given(place=places, macs=st.sampled_from(["kept", "foreign"]), signs=st.booleans(), knows=st.booleans())
def test_everything_is_made_anew_without_the_key(
    sample: Sample, place: int, macs: str, signs: bool, knows: bool
) -> None:
    """An entry is changed with its canonical bytes, and all heads behind it are made anew: the macs tell from where.

    Without the keys of macs, as an auditor verifies, the checkpoints tell: not before which place it can have been.
    """
    changed = sample.tables.copy()
    changed.row(place)["actor"] = "nobody"
    link = changed.link(place)
    values = json.loads(link["canonical"])
    values[values.index("system:fire_rescue")] = "nobody"
    link["canonical"] = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    changed.rehash(place, os.urandom(32) if macs == "foreign" else None)
    if signs:
        _forge(changed, place)
    keys = sample.rig.known if knows else KnownKeys(sample.rig.known.jwks, [])
    found = sample.found(changed, keys=keys)
    signed = min(number for number in SIGNED if number >= place)
    if knows:
        assert found[0] == ("LINK_BROKEN", place, LENGTH)
        assert min(first for _, first, _ in found) == place
    start = place if knows else max((number for number in SIGNED if number < place), default=0) + 1
    if place == 1:  # then the chain has another name
        start = 1
    assert ("HEAD_MISMATCH", start, LENGTH) in found
    forged = [number for number in SIGNED if number >= signed] if signs else []
    assert [first for kind, first, _ in found if kind == "CHECKPOINT_ALTERED"] == forged


@settings(max_examples=15)
@given(
    which=st.integers(0, 2), column=st.sampled_from(["sequence", "signed_text", "signature", "gone"]), at=st.integers(0)
)
def test_any_byte_of_a_checkpoint(sample: Sample, which: int, column: str, at: int) -> None:
    """Also its whole row; found without the anchor, but for the newest, which the anchor knows."""
    changed = sample.tables.copy()
    row = changed.checkpoints[which]
    place = row["sequence"]
    if column == "gone":
        changed.checkpoints.remove(row)
        assert sample.found(changed) == [("CHECKPOINT_MISSING", place, place)] * (1 if which == 2 else 2)
        expected = [] if which == 2 else [("CHECKPOINT_MISSING", place, place)]
        assert sample.found(changed, anchored=False) == expected
        return
    if column == "sequence":
        row["sequence"] = place - 1
        assert ("CHECKPOINT_ALTERED", place - 1, place - 1) in sample.found(changed, anchored=False)
        return
    value = row[column]
    row[column] = flipped(value, at) if isinstance(value, bytes) else flipped(value.encode(), at).decode()
    assert sample.found(changed, anchored=False)[0] == ("CHECKPOINT_ALTERED", place, place)


def _forge(changed: Tables, place: int) -> None:
    """Signs the new heads with a key of one's own."""
    key = ChainKey.generate()
    heads = {link["sequence"]: link["head"] for link in changed.links}
    for row in changed.checkpoints:
        if row["sequence"] >= place:
            before = _checkpoint(row).head.hex()
            row["signed_text"] = row["signed_text"].replace(before, heads[row["sequence"]].hex())
            row["signature"] = key.sign(row["signed_text"])


def _checkpoint(row: dict[str, Any]) -> Checkpoint:
    return read_checkpoint(row["signed_text"], row["signature"])


async def _verified(rig: Rig, changed: Tables) -> Any:
    await changed.write(rig)
    return await rig.verify()
