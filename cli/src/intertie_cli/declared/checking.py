"""Asks registry what it would refuse of a declared configuration, and which credentials differ, changing nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from intertie.registry.v1 import check_pb2, check_pb2_grpc
from intertie_chassis.errors import Unimplemented
from intertie_cli.declared import messages
from intertie_cli.declared.credential_changes import Compared
from intertie_cli.declared.fields import KINDS
from intertie_cli.declared.live import State
from intertie_cli.declared.model import Key
from intertie_cli.declared.nodes import Problem
from intertie_cli.declared.pairs import Pair

_AT_ONCE = 100
_SECONDS = 120.0


@dataclass(slots=True)
class Verdict:
    """What registry says."""

    problems: list[Problem] = field(default_factory=list)
    #: of each connection, what is known of the credentials that are given and are set
    compared: dict[Key, dict[str, Compared]] = field(default_factory=dict)
    #: whether registry is of a version that can be asked
    is_known: bool = True


async def ask(
    stub: check_pb2_grpc.ConfigurationServiceStub, pairs: Sequence[Pair], state: State, *, skip_targets: bool
) -> Verdict:
    """Has the parts checked. Raises IntertieError."""
    verdict = Verdict()
    for start in range(0, len(pairs), _AT_ONCE):
        some = pairs[start : start + _AT_ONCE]
        try:
            await _ask_some(stub, some, state, skip_targets, verdict)
        except Unimplemented:
            verdict.is_known = False
            break
    return verdict


async def _ask_some(
    stub: check_pb2_grpc.ConfigurationServiceStub,
    pairs: Sequence[Pair],
    state: State,
    skip_targets: bool,
    verdict: Verdict,
) -> None:
    by_kind: dict[str, list[Pair]] = {kind: [] for kind in KINDS}
    for pair in pairs:
        by_kind[pair.declared.kind].append(pair)
    request = check_pb2.CheckConfigurationRequest(
        systems=[messages.system(pair) for pair in by_kind["system"]],
        connections=[messages.connection(pair) for pair in by_kind["connection"]],
        mappings=[messages.mapping(pair, messages.number_of(pair, state)) for pair in by_kind["mapping"]],
        grants=[messages.grant(pair) for pair in by_kind["grant"]],
        skip_target_validation=skip_targets,
    )
    answer = await stub.CheckConfiguration(request, timeout=_SECONDS)
    for problem in answer.problems:
        part = by_kind[problem.kind][problem.index].declared
        # What mapper finds it names by the key of the configuration.
        at = next((each for each in (problem.field, f"mapping_config.{problem.field}") if part.has(each)), "")
        text = " ".join(word for word in (problem.field, problem.message) if word)
        verdict.problems.append(Problem(part.place(at), f"{part.title}: {text}"))
    for pair in by_kind["connection"]:
        verdict.compared[pair.declared.key] = dict.fromkeys(pair.declared.secrets, "same")
    for differing in answer.differing_secrets:
        key = by_kind["connection"][differing.index].declared.key
        verdict.compared[key][differing.field] = "differing"
