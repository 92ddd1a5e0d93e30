"""Does what a plan says, one thing after the other, and knows at each moment what has been done."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_chassis.errors import Aborted, AlreadyExists
from intertie_cli.declared import live, messages
from intertie_cli.declared.fields import SECRETS, compared
from intertie_cli.declared.live import Live, State
from intertie_cli.declared.model import Key
from intertie_cli.declared.pairs import Pair
from intertie_cli.declared.plan import Action, Change, Plan

_WEBHOOK_SECRET = "config_json.webhook_secret"


class Application:
    """One run over one plan."""

    def __init__(
        self,
        registry: registry_pb2_grpc.RegistryServiceStub,
        state: State,
        *,
        skip_targets: bool = False,
        keep_secrets_until: datetime | None = None,
        on_done: Callable[[Change], None] = lambda change: None,
    ) -> None:
        """Args:
        state: what the plan was made from.
        keep_secrets_until: until when a webhook_secret that is replaced stays good; None: not at all.
        on_done: told of each change when it is done.
        """
        self._registry = registry
        self._state = state
        self._skip_targets = skip_targets
        self._keep_until = keep_secrets_until
        self._on_done = on_done
        self._created: dict[Key, int] = {}
        self.done: list[Change] = []

    async def run(self, plan: Plan) -> None:
        """Does all of it. Raises IntertieError at the first that fails; Aborted when somebody else was there meanwhile.

        What was done stays; the same configuration applied again goes on from there.
        """
        for change in plan.changes:
            await self._require_unchanged(change)
            await self._do(change)
            self.done.append(change)
            self._on_done(change)

    async def _do(self, change: Change) -> None:
        if change.action is Action.DELETE and change.live is not None:
            await self._delete(change.live)
        elif change.action is Action.DEACTIVATE and change.live is not None:
            await self._update(change.live, _inactive(change.live), ["is_active"])
        elif change.declared is not None:
            pair = Pair(change.declared, change.live)
            if change.live is None:
                await self._create(pair)
            else:
                await self._update(change.live, self._message(pair), self._named(change), replaces=_replaces(change))

    def _message(self, pair: Pair) -> Any:
        # A connection that was made in this run has its number from there.
        created = self._created.get((pair.declared.system, pair.declared.reads_through))
        return messages.of(pair, created or messages.number_of(pair, self._state))

    async def _create(self, pair: Pair) -> None:
        message, registry = self._message(pair), self._registry
        if pair.declared.kind == "system":
            await registry.CreateSystem(registry_pb2.CreateSystemRequest(system=message))
        elif pair.declared.kind == "connection":
            created = await registry.CreateConnection(registry_pb2.CreateConnectionRequest(connection=message))
            self._created[pair.declared.key] = created.id
        elif pair.declared.kind == "mapping":
            request = registry_pb2.CreateMappingRequest(mapping=message, skip_target_validation=self._skip_targets)
            await registry.CreateMapping(request)
        else:
            await registry.CreateGrant(registry_pb2.CreateGrantRequest(grant=message))

    async def _update(self, part: Live, message: Any, named: list[str], *, replaces: bool = False) -> None:
        mask, registry = FieldMask(paths=named), self._registry
        if part.kind == "system":
            await registry.UpdateSystem(registry_pb2.UpdateSystemRequest(system=message, update_mask=mask))
        elif part.kind == "connection":
            request = registry_pb2.UpdateConnectionRequest(connection=message, update_mask=mask)
            if replaces and self._keep_until is not None:
                until = Timestamp()
                until.FromDatetime(self._keep_until)
                request.keep_webhook_secret_until.CopyFrom(until)
            await registry.UpdateConnection(request)
        elif part.kind == "mapping":
            await registry.UpdateMapping(
                registry_pb2.UpdateMappingRequest(
                    mapping=message, update_mask=mask, skip_target_validation=self._skip_targets
                )
            )
        else:
            await registry.UpdateGrant(registry_pb2.UpdateGrantRequest(grant=message, update_mask=mask))

    async def _delete(self, part: Live) -> None:
        registry = self._registry
        if part.kind == "system":
            await registry.DeleteSystem(registry_pb2.DeleteSystemRequest(system=part.key[0]))
        elif part.kind == "connection":
            await registry.DeleteConnection(registry_pb2.DeleteConnectionRequest(id=part.id))
        elif part.kind == "mapping":
            await registry.DeleteMapping(registry_pb2.DeleteMappingRequest(id=part.id))
        else:
            await registry.DeleteGrant(registry_pb2.DeleteGrantRequest(id=part.id))

    @staticmethod
    def _named(change: Change) -> list[str]:
        """The fields that an update names: those that differ, and of a connection what goes along with them."""
        roots = {each.field.partition(".")[0].partition("[")[0] for each in change.fields}
        named = [each.name for each in compared(change.kind) if each.name in roots]
        secrets = change.declared.secrets if change.declared is not None else {}
        # A changed destination takes away what is not given with it.
        named += [name for name in SECRETS if name in secrets]
        if "config_json" not in named and any(at not in SECRETS for at in secrets):
            named.append("config_json")
        return named

    async def _require_unchanged(self, change: Change) -> None:
        """Raises Aborted when the part is not as the plan saw it, AlreadyExists when a connection has come to be."""
        if change.live is None:
            if change.kind == "connection" and await self._connections(change.key[0], change.key):
                raise AlreadyExists(f"{change.title} has been created by somebody else meanwhile")
            return
        now = await self._now(change.live)
        if now is None or (now.values, now.secrets) != (change.live.values, change.live.secrets):
            raise Aborted(f"{change.title} was changed by somebody else meanwhile")

    async def _now(self, part: Live) -> Live | None:
        registry = self._registry
        if part.kind == "system":
            system = await registry.GetSystem(registry_pb2.GetSystemRequest(system=part.key[0]))
            found = live.state([system], [], [], [])
        elif part.kind == "connection":
            others = await self._connections(part.system)
            return next((each for each in others if each.id == part.id), None)
        elif part.kind == "mapping":
            mapping = await registry.GetMapping(registry_pb2.GetMappingRequest(id=part.id))
            request = registry_pb2.ListConnectionsRequest(system=part.system, page_size=1000)
            found = live.state([], (await registry.ListConnections(request)).connections, [mapping], [])
        else:
            grant = await registry.GetGrant(registry_pb2.GetGrantRequest(id=part.id))
            found = live.state([], [], [], [grant])
        return found.parts[-1]

    async def _connections(self, system: str, key: Key | None = None) -> list[Live]:
        """The connections of a system as they are now; with a key those that it means."""
        request = registry_pb2.ListConnectionsRequest(system=system, page_size=1000)
        found = live.state([], (await self._registry.ListConnections(request)).connections, [], [])
        return list(found.parts) if key is None else found.named("connection", key)


def _inactive(part: Live) -> Any:
    if part.kind == "system":
        return registry_pb2.System(system_name=part.key[0], is_active=False)
    makes: dict[str, Any] = {
        "connection": registry_pb2.Connection,
        "mapping": registry_pb2.Mapping,
        "grant": registry_pb2.Grant,
    }
    return makes[part.kind](id=part.id, is_active=False)


def _replaces(change: Change) -> bool:
    """Whether a webhook_secret that is set is replaced by another one."""
    return any(each.field == _WEBHOOK_SECRET and each.secret == "changed" for each in change.fields)
