"""Tells the sealing keys of this database from others that have the same ids: one wrong byte, and nothing would open.

Before a key seals anything its proof is kept, which says nothing of the key. A key of that id with another proof is
refused, at the start and before each write.
"""

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.sealing import SealingKeys
from intertie_registry.credentials import Credentials
from intertie_registry.errors import WrongSealingKey
from intertie_registry.tables import Tables


class KeyProofs:
    """The proofs of the keys that have sealed in this database."""

    def __init__(self, database: Database, tables: Tables, credentials: Credentials) -> None:
        self._database = database
        self._table = tables.secret_keys
        self._credentials = credentials
        self._confirmed: SealingKeys | None = None

    async def confirm(self, *, keeps: bool = True) -> None:
        """Compare the keys with those of their ids that have sealed here; a present one that is new leaves its proof.

        Costs nothing while the keys stay the same. Raises WrongSealingKey.
        """
        keys = self._credentials.keys
        if keys is None or keys == self._confirmed:
            return

        async def work(connection: AsyncConnection) -> None:
            columns = self._table.c
            query = select(columns.key_id, columns.proof).where(columns.key_id.in_(keys.ids))
            known = {row.key_id: row.proof for row in await connection.execute(query)}
            wrong = [key.id for key in keys.all if known.get(key.id, key.proof()) != key.proof()]
            if wrong:
                raise WrongSealingKey.named(wrong)
            if keeps and keys.present.id not in known:
                values = {"key_id": keys.present.id, "proof": keys.present.proof()}
                await connection.execute(insert(self._table).values(values))

        try:
            await self._database.transaction(work)
        except IntegrityError:
            # Another replica has just kept the proof of this id: is it the same key?
            await self._database.transaction(work)
        if keeps:
            self._confirmed = keys

    async def forget(self, ids: tuple[str, ...]) -> None:
        """Take the proofs of keys away that are gone: their ids may name others."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(self._table).where(self._table.c.key_id.in_(ids)))

        await self._database.transaction(work)
