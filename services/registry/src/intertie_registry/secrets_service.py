"""SecretsService: how credentials are kept in the database, sealing what stands clear, and rotating keys."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from intertie.registry.v1 import secrets_pb2, secrets_pb2_grpc
from intertie_chassis.calls import current_request_id
from intertie_chassis.identity import current_principal
from intertie_registry import secrets_convert
from intertie_registry.model import Actor
from intertie_registry.secrets_store import SecretsStore

DESCRIPTOR = secrets_pb2.DESCRIPTOR.services_by_name["SecretsService"]
add_to_server = secrets_pb2_grpc.add_SecretsServiceServicer_to_server


def _actor() -> Actor:
    return Actor(current_principal().subject, current_request_id() or "")


class SecretsService(secrets_pb2_grpc.SecretsServiceServicer):
    """Serves intertie.registry.v1.SecretsService."""

    def __init__(self, store: SecretsStore) -> None:
        self._store = store

    async def GetSecretsStatus(
        self, request: secrets_pb2.GetSecretsStatusRequest, context: Any
    ) -> secrets_pb2.SecretsStatus:
        """Count all credentials."""
        return secrets_convert.status_message(await self._store.census(), self._store.credentials.keys)

    async def SealSecrets(
        self, request: secrets_pb2.SealSecretsRequest, context: Any
    ) -> AsyncIterator[secrets_pb2.SealSecretsResponse]:
        """Seal what stands in clear text."""
        async with aclosing(self._store.seal(_actor(), dry_run=request.dry_run)) as walk:
            async for progress in walk:
                yield secrets_pb2.SealSecretsResponse(progress=secrets_convert.progress_message(progress))

    async def RotateSecrets(
        self, request: secrets_pb2.RotateSecretsRequest, context: Any
    ) -> AsyncIterator[secrets_pb2.RotateSecretsResponse]:
        """Seal with the present key what others sealed."""
        walk = self._store.rotate(_actor(), new_key=request.new_key, drop_old_keys=request.drop_old_keys)
        async with aclosing(walk):
            async for progress in walk:
                yield secrets_pb2.RotateSecretsResponse(progress=secrets_convert.progress_message(progress))
