"""Signs what the head of the chain is: into the database, the anchor and the log of the process."""

import asyncio

import structlog

from intertie_audit import chain
from intertie_audit.anchor import Anchor
from intertie_audit.chain import Checkpoint, Place
from intertie_audit.chain_keys import ChainKey
from intertie_audit.chain_store import ChainStore
from intertie_audit.seal_store import SealStore
from intertie_chassis.clock import utc_now

_log = structlog.get_logger()
_TELL_SECONDS = 60.0
"""Between two errors in the log about an anchor that cannot be written; it is tried each second."""


class Checkpoints:
    """Makes checkpoints; the sealer says when."""

    def __init__(self, store: SealStore, links: ChainStore, key: ChainKey, anchor: Anchor) -> None:
        self._store = store
        self._links = links
        self._key = key
        self._anchor = anchor
        self._chain_id = ""
        self._told_at = float("-inf")
        self._is_anchored = True
        self._making = asyncio.Lock()
        self.newest = 0
        """The place of the newest one."""

    async def begin(self, end: Place) -> None:
        """Reads how far others are signed, and tells the log when they know of more than the chain has."""
        self.newest = await self._links.newest_checkpoint()
        try:
            anchored = await asyncio.to_thread(self._anchor.newest)
        except OSError as error:
            _log.error(
                "the anchor of the audit chain cannot be read", path=str(self._anchor.path), cause=error.strerror
            )
            anchored = None
        signed = max(self.newest, anchored.sequence if anchored else 0)
        if signed > end.sequence:
            _log.error(
                "THE AUDIT CHAIN IS SHORTER THAN WHAT WAS SIGNED: a backup was restored, or links were deleted; "
                "`intertie audit verify` tells more",
                sequence=end.sequence,
                signed=signed,
            )
        self._is_anchored = False

    async def make(self, place: Place) -> None:
        """Signs the head at a place, unless that place or a later one is signed. Raises Unavailable."""
        async with self._making:  # each one names the one before it, and exports have checkpoints made, too
            await self._make(place)

    async def _make(self, place: Place) -> None:
        if place.sequence <= self.newest:
            return
        if not self._chain_id:
            first = await self._store.first_head()
            if first is None:
                return
            self._chain_id = chain.chain_id(first)
        checkpoint = self._signed(place)
        if await self._store.keep_checkpoint(checkpoint):
            # In the log, too: wherever that is shipped to, it anchors the chain as the file does.
            _log.info(
                "audit checkpoint",
                sequence=place.sequence,
                head=place.head.hex(),
                text=checkpoint.text,
                signature=checkpoint.signature.hex(),
            )
        self.newest = place.sequence
        self._is_anchored = False

    async def anchor(self) -> None:
        """Appends to the anchor what it lacks; what cannot be written now is written later."""
        if self._is_anchored:
            return
        try:
            newest = await asyncio.to_thread(self._anchor.newest)
            anchored = newest.sequence if newest else 0
            while lacking := await self._links.checkpoints_after(anchored):
                await asyncio.to_thread(self._anchor.append, lacking)
                anchored = lacking[-1].sequence
        except OSError as error:
            now = asyncio.get_running_loop().time()
            if now - self._told_at >= _TELL_SECONDS:
                self._told_at = now
                _log.error(
                    "THE AUDIT CHAIN IS NOT ANCHORED: the anchor cannot be written",
                    path=str(self._anchor.path),
                    cause=error.strerror,
                )
            return
        self._is_anchored = True

    def _signed(self, place: Place) -> Checkpoint:
        text = chain.checkpoint_text(
            self._chain_id, place.sequence, place.head, self.newest, utc_now(), self._key.key_id
        )
        return chain.read_checkpoint(text, self._key.sign(text))
