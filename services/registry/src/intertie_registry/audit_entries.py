"""What the registry tells the audit log. Of a change: who, what, and the names of the fields, no values.

Values are left out whole, not masked one by one: a URL or a text may hold a secret that no rule knows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from intertie_chassis.clock import utc_now
from intertie_chassis.ids import new_ulid
from intertie_registry import secrets
from intertie_registry.model import Actor, Connection, Grant, Kind, Part, configured
from intertie_registry.ticks import Tick

#: the actor of changes that nobody made by a call
BY_SQL = Actor("sql")
_IDENTITY = {"id", "system_id"}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of one part."""

    entry_id: str
    system_id: int
    system: str
    #: ``create mapping 7``
    query_string: str
    #: the part's name, for people
    title: str
    #: the names of the fields that were set or changed; of those that SQL changed unseen, none
    changed: tuple[str, ...]
    module_name: str
    actor: Actor
    created_at: datetime
    #: something to look into that the change brought with it; empty when all is well
    warning: str = ""
    #: `configuration`, or `sync` for what concerns a schedule
    query_type: str = "configuration"


def of_change(before: Part | None, after: Part | None, system: str, actor: Actor) -> AuditEntry:
    """The entry for a change that we made; at least one of `before` and `after` is given."""
    part = after or before
    if part is None:
        raise ValueError("a change is from or to something")
    verb = "create" if before is None else "delete" if after is None else "update"
    module = part.module_name if isinstance(part, Grant) else ""
    return AuditEntry(
        entry_id=new_ulid(),
        system_id=part.system_id,
        system=system,
        query_string=f"{verb} {part.kind} {part.id}",
        title=part.title,
        changed=changed_fields(before, after),
        module_name=module,
        actor=actor,
        created_at=utc_now(),
    )


def of_sql(
    verb: str, kind: Kind, number: int, *, system_id: int, system: str, title: str, module: str = "", warning: str = ""
) -> AuditEntry:
    """The entry for a change that SQL made, of which only the outcome is known."""
    return AuditEntry(
        entry_id=new_ulid(),
        system_id=system_id,
        system=system,
        query_string=f"{verb} {kind} {number}",
        title=title,
        changed=(),
        module_name=module,
        actor=BY_SQL,
        created_at=utc_now(),
        warning=warning,
    )


def of_sealing(verb: str, connection: Connection, system: str, fields: tuple[str, ...], actor: Actor) -> AuditEntry:
    """The entry for credentials of a connection that were encrypted where they stood: what they are has not changed."""
    return AuditEntry(
        entry_id=new_ulid(),
        system_id=connection.system_id,
        system=system,
        query_string=f"{verb} connection {connection.id}",
        title=connection.title,
        changed=fields,
        module_name="",
        actor=actor,
        created_at=utc_now(),
    )


def of_comparison(connection: Connection, fields: tuple[str, ...], actor: Actor) -> AuditEntry:
    """The entry for credentials that were compared with others and are not the same; nothing was changed."""
    return of_sealing("compare", connection, connection.system, fields, actor)


def of_missed_ticks(
    tick: Tick, period: timedelta, *, system: str, title: str, actor: Actor, stands: str = ""
) -> AuditEntry:
    """The entry for ticks of the mapping `title` that passed without a run, told when the one before is taken up.

    `stands` says what stands for them, where that is not the tick's run.
    """
    first, last = (_shown(moment) for moment in (tick.due_at + period, tick.last_missed(period)))
    between = f"at {last}" if tick.missed == 1 else f"from {first} to {last}"
    count = "1 tick was" if tick.missed == 1 else f"{tick.missed} ticks were"
    return AuditEntry(
        entry_id=new_ulid(),
        system_id=tick.system_id,
        system=system,
        query_string=f"schedule mapping {tick.mapping_id}",
        title=title,
        changed=(),
        module_name="",
        actor=actor,
        created_at=utc_now(),
        warning=f"{count} missed {between}; {stands or f'the run of the tick of {_shown(tick.due_at)}'} stands for all",
        query_type="sync",
    )


def _shown(moment: datetime) -> str:
    return f"{moment.isoformat()}Z"


def changed_fields(before: Part | None, after: Part | None) -> tuple[str, ...]:
    """The names of the fields that differ; of a config_json those of its members. A deletion changes none."""
    if after is None:
        return ()
    old, new = configured(before) if before is not None else {}, configured(after)
    names: list[str] = []
    for name, value in new.items():
        unset = None if isinstance(value, datetime) else type(value)()
        if name in _IDENTITY or value == (old[name] if old else unset):
            continue
        if name == "config_json" and isinstance(after, Connection):
            was = (secrets.parse(before.config_json) if isinstance(before, Connection) else None) or {}
            now = secrets.parse(after.config_json) or {}
            names += [f"{name}.{key}" for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)]
        else:
            names.append(name)
    return tuple(names)
