"""How credentials are kept, as the contract says it: numbers, names of keys and places, never a value."""

from collections.abc import Iterable

from intertie.registry.v1 import secrets_pb2
from intertie_chassis.sealing import SealingKeys
from intertie_registry.secrets_report import Census, Place, Progress


def status_message(census: Census, keys: SealingKeys | None) -> secrets_pb2.SecretsStatus:
    """The answer of GetSecretsStatus: the present key first, then those that open, then those that are missed."""
    known = keys.ids if keys is not None else ()
    present = keys.present.id if keys is not None else ""
    unknown = sorted(census.by_key.keys() - set(known))
    return secrets_pb2.SecretsStatus(
        keys=[
            secrets_pb2.SecretKeyUse(
                key_id=key_id,
                is_present=key_id == present,
                is_known=key_id in known,
                sealed=census.by_key[key_id],
            )
            for key_id in (*known, *unknown)
        ],
        clear=_places(census.clear),
        unreadable=_places(census.unreadable),
        sealed=census.sealed,
    )


def progress_message(progress: Progress) -> secrets_pb2.SecretsProgress:
    """How far a walk is."""
    return secrets_pb2.SecretsProgress(
        connections_done=progress.done,
        connections_total=progress.total,
        changed=progress.changed,
        problems=_places(progress.problems),
        key_id=progress.key_id,
    )


def _places(places: Iterable[Place]) -> list[secrets_pb2.SecretPlace]:
    return [
        secrets_pb2.SecretPlace(
            connection_id=place.connection_id, system=place.system, field=place.field, problem=place.problem
        )
        for place in places
    ]
