"""Drains the spool into the database: in order, each delivery once, whatever happens in between.

A batch is committed and then removed. Until it is removed its membership stays the same, so that one delivery of it in
the database tells that the whole transaction succeeded: also when its answer was lost, when the process died before
it removed the batch, and for the repetitions in it, of which the database has no row. So is a group whose commit timed
out before it was kept.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from intertie_chassis.errors import StoreBusy, Unavailable
from intertie_chassis.outbox import Outbox
from intertie_ingest.errors import Clash, DeliveryKeyReused, Refused
from intertie_ingest.folding import Fold
from intertie_ingest.model import Accepted, Delivery
from intertie_ingest.spool import Spool
from intertie_ingest.spool_store import SpoolStore, Waiting
from intertie_ingest.store import Store
from intertie_ingest.wakeup import Wakeup

_PAUSE_SECONDS = 1.0
_CLASH_SECONDS = 0.1
_MOST_CLASHES = 20
_MOST_FAILURES = 30
"""So often in a row, about a second apart, the file may fail while the database answers."""
_COMMIT_SECONDS = 20.0
"""More than others have: a batch keeps its size, and a slow database must get it done at some time."""

_log = structlog.get_logger()


class _KeysReused(Exception):
    """Deliveries of a group have keys that were used before with other bytes; nothing is written."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """`keys`: by delivery."""
        super().__init__()
        self.keys = keys


class Drain:
    """The one that drains a spool."""

    def __init__(
        self,
        spool: Spool,
        kept: SpoolStore,
        store: Store,
        outbox: Outbox,
        wakeup: Wakeup,
        entries: Callable[[Fold, Mapping[str, str]], bytes | None],
    ) -> None:
        """`entries` makes the audit's message of a group, and of the keys that deliveries of it had to give up."""
        self._spool = spool
        self._kept = kept
        self._store = store
        self._outbox = outbox
        self._wakeup = wakeup
        self._entries = entries
        self._clashes = self._failures = 0

    async def run(self) -> None:
        """Drains whatever comes into the spool, for ever; for `run_in_background`."""
        is_there = False
        while True:
            if not self._spool.is_spooling:
                await self._spool.began.wait()
                is_there = False
            try:
                if not is_there:
                    await self._store.stored(())
                async with self._spool.draining():
                    await self.step()
                    if not self._spool.waiting:
                        # In the same turn, after which the next group comes in: else there would always be one.
                        await self.step()
                is_there = True
            except Clash:
                await asyncio.sleep(random.uniform(0, _CLASH_SECONDS))
            except Unavailable:
                is_there = False
                await self._spool.look()
                await asyncio.sleep(_PAUSE_SECONDS)

    async def step(self) -> None:
        """Brings one batch into the database, or ends spooling when none waits.

        Raises Unavailable when the database or the file is away, or others hold the one delivery that a batch has left
        (StoreBusy), and Clash when others write the same: then the batch waits to be looked at again. Gives the spool
        up when its file keeps failing.
        """
        try:
            await self._step()
        except Unavailable:
            if self._failures < _MOST_FAILURES or not self._spool.give_up():
                raise
        self._failures = 0

    async def _step(self) -> None:
        seen = self._spool.appended
        try:
            with self._file():
                if self._spool.is_unsure:
                    await self._spool.recount()
                batch = await self._kept.batch()
                if not batch:
                    await self._spool.recount()
        except Unavailable:
            # A file that cannot be read keeps nothing back when nothing waits in it.
            if self._spool.is_unsure or not self._spool.end(seen):
                raise
            return
        if not batch:
            self._spool.end(seen)
            return
        stored = await self._store.stored([one.delivery_id for one in batch])
        # Without a key the others were repetitions of what the record was then. With one it may be that it was used
        # before, which only the transaction tells.
        done = [one for one in batch if one.delivery_id in stored or (stored and not one.has_key)]
        if done:
            await self._remove(done)
        gone = {one.id for one in done}
        rest = [one for one in batch if one.id not in gone]
        if rest:
            await self._commit(rest)

    async def _commit(self, batch: Sequence[Waiting]) -> None:
        with self._file():
            loaded, broken = await self._kept.load([one.id for one in batch])
        sizes = {one.id: one.size for one in batch}
        for number, why in broken.items():
            await self._refuse(number, "", why)
        lost: dict[str, str] = {}
        try:
            folded = await self._stored([delivery for _, delivery in loaded], lost) if loaded else Fold()
        except Refused as error:
            if len(loaded) == 1 and not error.is_certain:
                # It may be the database's own fault: what was answered 202 is not set aside for an error nobody knows.
                _log.error("the database does not take a delivery of the spool; trying again", cause=str(error))
                raise Unavailable("the database does not take it now", reason="STORE_UNAVAILABLE") from error
            await self._halve(loaded, f"the database refuses it: {error}")
            return
        except StoreBusy:
            # What holds it may be an earlier try of the same batch, which may succeed yet: then it stays whole.
            if len(loaded) == 1 or batch[0].attempt not in self._kept.untried:
                raise
            await self._halve(loaded, "others hold what it needs")
            return
        except Clash:
            self._clashes += 1
            if self._clashes < _MOST_CLASHES or await self._store.stored([one.delivery_id for one in batch]):
                raise
            await self._halve(loaded, "others keep writing the same records, or it meets what they wrote")
            return
        except Unavailable:
            self._kept.untried.discard(batch[0].attempt)
            raise
        self._clashes = 0
        self._kept.untried.discard(batch[0].attempt)
        for outcome in folded.outcomes:
            _tell(outcome, lost)
        self._outbox.wake()
        if folded.released:
            self._wakeup.ring(folded.released, folded.leased)
        if loaded:
            with self._file(writes=True):
                await self._kept.remove([number for number, _ in loaded])
            self._spool.left(len(loaded), sum(sizes[number] for number, _ in loaded))

    async def _stored(self, group: Sequence[Delivery], lost: dict[str, str]) -> Fold:
        """Commits a group; `lost` gets the keys that deliveries of it had to give up.

        A key that was used before with other bytes is no conflict any more: its sender was answered, and has forgotten
        it. So the delivery is stored without.
        """

        def message(folded: Fold) -> bytes | None:
            reused = {
                one.delivery_id: one.delivery_key or ""
                for one, outcome in zip(group, folded.outcomes, strict=True)
                if isinstance(outcome, DeliveryKeyReused)
            }
            if reused:
                raise _KeysReused(reused)
            return self._entries(folded, lost)

        try:
            return await self._store.commit(group, message, seconds=_COMMIT_SECONDS)
        except _KeysReused as error:
            lost |= error.keys
        return await self._stored(
            [replace(one, delivery_key=None) if one.delivery_id in lost else one for one in group], lost
        )

    async def _halve(self, loaded: Sequence[tuple[int, Delivery]], cause: str) -> None:
        """A group cannot be stored, and nothing of it is: its halves come next, until what is at fault stands alone and
        steps aside.
        """
        self._clashes = 0
        if len(loaded) == 1:
            number, delivery = loaded[0]
            await self._refuse(number, delivery.delivery_id, cause)
            return
        _log.warning("a group of the spool cannot be stored; halving it", deliveries=len(loaded), cause=cause)
        numbers, middle = [number for number, _ in loaded], len(loaded) // 2
        with self._file():
            await self._kept.split([numbers[:middle], numbers[middle:]])

    async def _refuse(self, number: int, delivery_id: str, why: str) -> None:
        with self._file(writes=True):
            await self._kept.refuse(number, why)
        self._spool.left(1, 0, refused=True)
        _log.error(
            "a delivery of the spool cannot be stored; it stays there", row=number, delivery_id=delivery_id, cause=why
        )

    @contextmanager
    def _file(self, *, writes: bool = False) -> Iterator[None]:
        """Around what is done with the file: when it fails, that is not the database's fault."""
        try:
            yield
        except Unavailable:
            self._failures += 1
            if writes:
                self._spool.doubt()
            raise

    async def _remove(self, done: Sequence[Waiting]) -> None:
        with self._file(writes=True):
            await self._kept.remove([one.id for one in done])
        self._spool.left(len(done), sum(one.size for one in done))
        _log.info("deliveries of the spool were stored before", deliveries=len(done))


def _tell(outcome: Accepted | DeliveryKeyReused, lost: Mapping[str, str]) -> None:
    if not isinstance(outcome, Accepted):
        return
    own = outcome.delivery.delivery_id
    if own in lost:
        _log.error(
            "a delivery of the spool has a key that was used before with other bytes; it is stored without",
            delivery_id=own,
            delivery_key=lost[own],
            system=outcome.delivery.system,
        )
    if outcome.delivery_id != own:
        _log.info("a delivery of the spool is a repetition", delivery_id=own, first_delivery_id=outcome.delivery_id)
