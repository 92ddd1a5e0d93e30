"""Where the configuration differs from what the registry last knew of it: what SQL changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from intertie_registry import audit_entries, verification
from intertie_registry.audit_entries import AuditEntry
from intertie_registry.credential_places import shown
from intertie_registry.model import Connection, Grant, Kind, Part, SystemImage, digest


@dataclass(frozen=True, slots=True)
class Known:
    """A part as the registry last knew it."""

    kind: Kind
    number: int
    system_id: int
    title: str
    digest: str


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A part that is not as it was known."""

    #: stands in the place of a digest for parts that an adoption found: however they are, they are no news
    ADOPTED: ClassVar[str] = "adopted"

    kind: Kind
    number: int
    system_id: int
    system: str
    title: str
    #: the digest that it was known with; None when it is new
    known: str | None
    #: as it is now; None when it is gone
    part: Part | None
    warning: str = ""
    #: whether audit is to hear of it, or only the digest is to be brought up to date
    is_told: bool = True

    def entry(self) -> AuditEntry:
        """What audit is to hear."""
        verb = "create" if self.known is None else "delete" if self.part is None else "update"
        return audit_entries.of_sql(
            verb,
            self.kind,
            self.number,
            system_id=self.system_id,
            system=self.system,
            title=self.title,
            module=self.part.module_name if isinstance(self.part, Grant) else "",
            warning=self.warning,
        )


def find(known: Iterable[Known], images: Mapping[int, SystemImage]) -> tuple[Discrepancy, ...]:
    """Everything that is new, changed or gone."""
    left = {(part.kind, part.number): part for part in known}
    titles = {part.system_id: part.title for part in left.values() if part.kind == "system"}
    found: list[Discrepancy] = []
    for image in images.values():
        name = image.system.system_name
        for part in image.parts():
            was = left.pop((part.kind, part.id), None)
            if was is None or was.digest != digest(part):
                found.append(
                    Discrepancy(
                        part.kind,
                        part.id,
                        part.system_id,
                        name,
                        part.title,
                        was.digest if was else None,
                        part,
                        _warning(image, part),
                        is_told=was is None or was.digest != Discrepancy.ADOPTED,
                    )
                )
    for gone in left.values():
        image_now = images.get(gone.system_id)
        name = image_now.system.system_name if image_now else titles.get(gone.system_id, "")
        found.append(
            Discrepancy(
                gone.kind,
                gone.number,
                gone.system_id,
                name,
                gone.title,
                gone.digest,
                None,
                # What went with its system is told by the system's own entry, as when a call deletes it.
                is_told=gone.kind == "system" or image_now is not None,
            )
        )
    return tuple(found)


def _warning(image: SystemImage, part: Part) -> str:
    """What nobody could refuse in SQL: a second connection that verifies deliveries, or credentials moved elsewhere."""
    if not isinstance(part, Connection):
        return ""
    if part.unreadable:
        lost = part.unreadable[0]
        return f"{shown(lost.path)} of connection {part.id} cannot be opened: {lost.problem}; set it anew"
    verifiers = verification.verifiers(image)
    if part.id not in verifiers[1:]:
        return ""
    return (
        f"connection {part.id} also says how deliveries are verified, but connection {verifiers[0]} is the one that "
        "counts; deactivate one of them"
    )
