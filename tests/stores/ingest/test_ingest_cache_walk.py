"""Reading the cache as modules do, on both stores: all of what is synced, once, while it changes."""

import json
from typing import Any

from ingest_samples import configuration, mapping, system
from intertie_ingest.cache_walk_store import CacheFilter
from intertie_ingest.lease_model import Outcome
from intertie_ingest.shown_model import CachePosition

EVERYTHING = CacheFilter(1)


async def fill(ingest: Any, *bodies: object) -> None:
    """Commits records and settles all of them as synced."""
    await ingest.commit(*bodies)
    while lease := await ingest.lease(200):
        await ingest.settle_all(lease)


async def walked(ingest: Any, wanted: CacheFilter = EVERYTHING, after: CachePosition | None = None) -> list[str]:
    """The external ids that a walk gives."""
    return [record.external_id async for batch in ingest.cache.batches(wanted, after) for record in batch]


async def test_only_what_is_synced_and_fresh_in_the_order_of_ids(ingest: Any) -> None:
    """Pending, set aside and expired records are not there; batches go on over any number of them."""
    await fill(ingest, *({"id": f"r{number:03}"} for number in range(120)))
    await ingest.commit({"id": "r005", "next": True}, {"id": "new"})
    await ingest.settle_all(await ingest.lease(1), Outcome.SET_ASIDE, reason="too_long")
    await ingest.sql("UPDATE {cache} SET expires_at = '2024-01-01 00:00:00' WHERE external_id >= 'r020'"
                     " AND external_id < 'r100'")  # fmt: skip
    await ingest.sql("UPDATE {cache} SET expires_at = '2037-01-01 00:00:00' WHERE external_id = 'r110'")
    expected = [f"r{number:03}" for number in range(120) if number != 5 and not 20 <= number < 100]
    assert await walked(ingest) == expected
    assert await walked(ingest, CacheFilter(2)) == []
    assert await walked(ingest, CacheFilter(1, None, "r007")) == ["r007"]
    assert await walked(ingest, CacheFilter(1, (9,))) == []


async def test_one_id_of_two_mappings_is_two_records(make_ingest: Any) -> None:
    """The place between them is a place; ids that differ in case or accents are others, in an order that holds."""
    ingest = await make_ingest(configuration(system(mapping(1, "a"), mapping(2, "b"))))
    await fill(ingest, *({"id": name} for name in ("x", "X", "é", "e", "😀" * 60, "x ")))
    whole = await walked(ingest)
    assert sorted(whole) == sorted([*("x", "X", "é", "e", "😀" * 60, "x ")] * 2)
    assert await walked(ingest, CacheFilter(1, (2,))) == whole[::2]
    paged: list[Any] = []
    after = None
    while True:
        page, after = await ingest.cache.page(EVERYTHING, after, 1, 10**6)
        paged += page
        if after is None:
            break
    assert [record.external_id for record in paged] == whole
    assert len({(record.external_id, record.mapping_id) for record in paged}) == 12


async def test_a_record_that_changes_between_pages_is_not_missed(ingest: Any) -> None:
    """In the order of changes it would have moved to the front, where the reader had been."""
    await fill(ingest, *({"id": f"{number}"} for number in range(6)))
    page, after = await ingest.cache.page(EVERYTHING, None, 3, 10**6)
    assert [record.external_id for record in page] == ["0", "1", "2"]
    await fill(ingest, {"id": "4", "title": "changed"}, {"id": "0", "title": "changed"})
    page, after = await ingest.cache.page(EVERYTHING, after, 3, 10**6)
    assert [(record.external_id, "changed" in record.data_json) for record in page] == [
        ("3", False),
        ("4", True),
        ("5", False),
    ]
    assert after is None


async def test_large_records_make_small_batches_and_pages(ingest: Any) -> None:
    """A page ends at its bytes, with one record at least; no batch holds much more than the bound."""
    await fill(ingest, *({"id": f"{number:02}", "text": "x" * 300_000} for number in range(40)))
    sizes = [sum(len(record.data_json) for record in batch) async for batch in ingest.cache.batches(EVERYTHING)]
    assert sum(sizes) > 12_000_000
    assert max(sizes[1:]) < 1_100_000
    page, after = await ingest.cache.page(EVERYTHING, None, 1000, 1_000_000)
    assert [json.loads(record.data_json)["id"] for record in page] == ["00", "01", "02"]
    assert after == CachePosition("02", 1)
    page, after = await ingest.cache.page(EVERYTHING, after, 1000, 10)
    assert [record.external_id for record in page] == ["03"]
