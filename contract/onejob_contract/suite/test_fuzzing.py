"""Requests that schemathesis generates from the spec: valid ones, invalid ones, linked ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onejob_contract.checks import Cost, proves
from onejob_contract.findings import NotApplicable, Unobservable
from onejob_contract.iut import Iut

if TYPE_CHECKING:
    from onejob_contract.fuzzing import Fuzzing

ENOUGH = 2
"""Fewer requests of a kind than this show nothing."""


@proves("ROBUST-PUBLISH-FORM", "ROBUST-UNKNOWN-ROUTE", cost=Cost.EXPLORES)
def test_generated_publishes_and_polls_are_answered_as_documented(iut: Iut) -> None:
    """Forms and job ids of every kind that the spec has, and then any."""
    fuzzing = _fuzzing(iut, 160, ("/publish", "/status/{jobId}", "/health"))
    fuzzing.generate()
    _say_and_ask_for(iut, fuzzing.counts, ("granted", "outside the contract"))


@proves("ROBUST-UPDATE-BODY", cost=Cost.EXPLORES, needs=("update_status",))
def test_generated_reports_are_answered_as_documented(iut: Iut) -> None:
    """JSON bodies of every kind that the spec has, and then any."""
    fuzzing = _fuzzing(iut, 120, ("/update_status",))
    fuzzing.generate()
    _say_and_ask_for(iut, fuzzing.counts, ("unknown_job", "outside the contract"))


@proves("STATUS-PER-JOB", cost=Cost.EXPLORES, needs=("update_status",))
def test_linked_requests_are_answered_as_the_model_says(iut: Iut) -> None:
    """What a publish grants is polled and reported, along the links of the spec."""
    fuzzing = _fuzzing(iut, 120, ("/publish", "/status/{jobId}", "/update_status"))
    fuzzing.follow_links()
    _say_and_ask_for(iut, fuzzing.counts, ("granted", *fuzzing.links))


def _fuzzing(iut: Iut, requests: int, paths: Sequence[str]) -> Fuzzing:
    if iut.run.profile.name == "quick":
        raise NotApplicable("schemathesis takes longer to load than the quick profile can spare")
    from onejob_contract.fuzzing import Fuzzing  # noqa: PLC0415 (only runs that need it)

    return Fuzzing(iut, iut.rounds(1, requests, requests * 20), paths)


def _say_and_ask_for(iut: Iut, counts: Mapping[str, int], kinds: Sequence[str]) -> None:
    """Tell what was covered. Too little is no pass, unless time cut it short and is told so."""
    said = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    iut.run.measured[f"generated: {iut.check.rpartition('::')[2]}"] = said
    lacking = [kind for kind in kinds if counts.get(kind, 0) < ENOUGH]
    if lacking and iut.check not in iut.run.cut_short:
        raise Unobservable(f"too few generated requests: {', '.join(lacking)}; in all {said}")
