"""Run the checks in lanes: cheap ones first, those that wait beside the others, the last ones last.

A check of many rounds finds most of what it ever finds in its first rounds. So where the profile
has time for many, all of them get a brief look before any gets its whole share.

The suite is pytest's: it collects and reports. But pytest runs one test at a time, and a kit that
waits for a slow server one request at a time is slow itself. So the bodies of the checks run here,
in threads, and pytest takes the results in the order in which they end.
"""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from onejob_contract.catalogue import requirements
from onejob_contract.checks import Cost, Proof
from onejob_contract.documented import FAILURES, describe_request
from onejob_contract.findings import (
    HealFailed,
    Interrupted,
    NotApplicable,
    TargetGone,
    Unobservable,
    Violation,
)
from onejob_contract.iut import Iut
from onejob_contract.replay import confirm, fails_for_its_input, related
from onejob_contract.run import Run
from onejob_contract.shares import NO_TIME, Budget, Shares
from onejob_contract.steps import REQUEST_ID, request_id
from onejob_contract.verdict import CheckResult, Ending

ATTEMPTS = 4
_MOST_LANES = 64
_SAME_MOMENT_NS = 100_000_000
_LATENCY_OF_A_LANE_S = 0.003


@dataclass(frozen=True, slots=True)
class Task:
    """One check to run: its name, its number in the suite, what it proves, its body."""

    name: str
    number: int
    proof: Proof
    body: Callable[[Iut], None]


class Scheduler:
    """Runs tasks against the implementation under test of a run."""

    def __init__(self, run: Run, *, fail_fast: bool = False) -> None:
        self._run = run
        self._fail_fast = fail_fast
        self._done: queue.SimpleQueue[tuple[Task, CheckResult]] = queue.SimpleQueue()
        pace_s = run.surroundings.pace_s
        places = run.client.places
        wanted = 3 if places.in_turn else 3 + int(pace_s / _LATENCY_OF_A_LANE_S)
        self.lanes = min(_MOST_LANES, wanted, max(3, places.number))
        self._shares = Shares(run, self.lanes)

    def results(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, CheckResult]]:
        """Run everything; yield each result as it comes. Stops early when the run is stopped."""
        waits = [task for task in tasks if task.proof.cost in (Cost.WORKER, Cost.WAITS)]
        laned = sorted(
            (t for t in tasks if Cost.FAST <= t.proof.cost <= Cost.EXPLORES),
            key=lambda t: t.proof.cost,
        )
        self._shares.divide({task.name: task.proof for task in laned})
        if self._shares.firsts:
            laned.sort(key=lambda task: task.name not in self._shares.firsts)
        last = [task for task in tasks if task.proof.cost is Cost.LAST]
        with ThreadPoolExecutor(len(waits) + self.lanes, "onejob") as pool:
            for task in waits:
                pool.submit(self._execute, task)
            lanes: queue.SimpleQueue[tuple[Task, bool]] = queue.SimpleQueue()
            looks_first = self._shares.has_time_for_brief_looks()
            for task in laned:
                lanes.put((task, looks_first and task.proof.cost is Cost.VOLUME))
            for _ in range(self.lanes):
                pool.submit(self._lane, lanes)
            try:
                for _ in range(len(waits) + len(laned)):
                    yield self._done.get()
            except BaseException:
                self._run.stop.set()
                self._run.client.cancel()
                raise
        for task in last:
            self._execute(task)
            yield self._done.get()

    def run_one(self, task: Task) -> CheckResult:
        """Run one task here and now."""
        self._execute(task)
        return self._done.get()[1]

    def _lane(self, tasks: queue.SimpleQueue[tuple[Task, bool]]) -> None:
        while True:
            try:
                task, brief = tasks.get_nowait()
            except queue.Empty:
                return
            if not self._execute(task, brief=brief):
                tasks.put((task, False))

    def _execute(self, task: Task, *, brief: bool = False) -> bool:
        """Run a task and hand in its result; False if a brief look settled nothing."""
        began = time.monotonic()
        run = self._run
        if run.stop.is_set() or (run.gone and task.proof.cost is not Cost.LAST):
            ending = Ending.GONE if run.gone else Ending.NOT_RUN
            reason = (
                "a fault could not be healed before" if run.unhealed else "the run ended before"
            )
            result = CheckResult(task.name, task.proof.requirements, ending, reason)
        else:
            try:
                result = self._judged(task, brief=brief)
            except Exception:
                result = CheckResult(
                    task.name, task.proof.requirements, Ending.FAULT, traceback.format_exc(limit=-4)
                )
        seconds = time.monotonic() - began
        if brief and result.ending in (Ending.PASSED, Ending.UNOBSERVABLE):
            has_time = run.elapsed + seconds < run.profile.seconds
            if has_time or result.ending is Ending.UNOBSERVABLE:
                return False
            run.cut_short.setdefault(task.name, "a brief look only")
        ended = CheckResult(
            result.check, result.requirements, result.ending, result.reason, seconds, result.blamed
        )
        self._done.put((task, ended))
        if self._fail_fast and any(map(self._decides, list(run.violations))):
            run.stop.set()
        return True

    def _decides(self, violation: Violation) -> bool:
        """Whether the run could end with this: it breaks a must-requirement, and is news."""
        is_must = requirements()[violation.requirement].level == "must"
        return is_must and violation.requirement not in self._run.known_failures

    def _judged(self, task: Task, *, brief: bool) -> CheckResult:  # noqa: PLR0911, PLR0912 (endings)
        run, budget = self._run, self._shares.budget(task.name, task.proof, brief=brief)
        run.cut_short.pop(task.name, None)
        if task.proof.breaks_the_server:
            run.fails_now_and_then = False  # from here on, what fails does so by our own doing

        def ended(ending: Ending, reason: str = "", blamed: str = "") -> CheckResult:
            return CheckResult(task.name, task.proof.requirements, ending, reason, blamed=blamed)

        not_run = self._not_run(task, budget)
        if not_run is not None:
            return ended(*not_run)
        reason = ""
        for attempt in (0,) if brief else range(1, 1 + ATTEMPTS):
            iut = Iut(run, task.name, task.number, task.proof.requirements[0], budget)
            iut.skip_names(attempt)
            try:
                task.body(iut)
            except Violation as violation:
                if not Cost.FAST <= task.proof.cost <= Cost.EXPLORES:
                    # What took long, or a fault healed by now, cannot be had again at will.
                    violation.replayable = False
                    violation.steps = related(violation.steps)
                    if task.proof.cost is Cost.WAITS:
                        violation.note = "not tried again; other checks were at work meanwhile"
                if not self._confirm(violation, iut):
                    run.gone = True
                    words = (f"it died: {violation.actual}", self._what_came_before(violation))
                    return ended(Ending.GONE, "; ".join(filter(None, words)))
                if not task.proof.breaks_the_server and self._may_be_bad_luck(violation):
                    reason = f"one request was not answered ({violation.actual}), others were"
                    if task.proof.cost is Cost.WAITS:
                        break
                    continue
                if self._may_be_out_of_order(violation, iut, task):
                    reason = f"the server said that something behind it failed: {violation.actual}"
                    continue
                run.report(violation)
                return ended(Ending.VIOLATED, str(violation), violation.requirement)
            except Unobservable as unobservable:
                reason = unobservable.reason
                if not unobservable.again or task.proof.cost is Cost.WAITS:
                    break
            except Interrupted:
                reason = "the server closed kept connections between two requests"
            except NotApplicable as not_applicable:
                return ended(Ending.NOT_APPLICABLE, not_applicable.reason)
            except HealFailed as failed:
                if isinstance(failed.__context__, Violation):
                    run.report(failed.__context__)
                run.unhealed = failed.reason
                run.stop.set()
                return ended(Ending.UNOBSERVABLE, failed.reason)
            except TargetGone as gone:
                run.gone = True
                return ended(
                    Ending.GONE, "; ".join(filter(None, (str(gone), self._what_came_before())))
                )
            else:
                return ended(Ending.PASSED)
            finally:
                for aside in iut.asides:
                    self._confirm(aside, iut)
        return ended(self._unseen(reason), reason)

    def _not_run(self, task: Task, budget: Budget) -> tuple[Ending, str] | None:
        """Why a check is not run at all, if so: no time for it, or what it needs is not there."""
        if time.monotonic() > (
            budget.ends if self._shares.is_needed(task.name, task.proof) else budget.at_most
        ):
            return self._unseen(NO_TIME), NO_TIME
        try:
            _require(task.proof.needs, self._run)
        except Unobservable as unobservable:
            return Ending.UNOBSERVABLE, unobservable.reason
        except NotApplicable as not_applicable:
            return Ending.NOT_APPLICABLE, not_applicable.reason
        return None

    def _unseen(self, reason: str) -> Ending:
        """How a check ended that saw nothing: of a slow server not everything can be seen."""
        is_no_time = reason == NO_TIME and self._run.is_slow
        return Ending.NO_TIME if is_no_time else Ending.UNOBSERVABLE

    def _confirm(self, violation: Violation, iut: Iut) -> bool:
        """Show it again; False if it was only the silence of a server that was going down."""
        if violation.unanswered and not self._run.client.is_answered_at_all():
            return False
        if violation.replayed is not None:
            return True
        seconds = 0.5 if self._fail_fast else min(5.0, self._run.profile.seconds / 4)
        try:
            confirm(violation, iut, seconds)
        except TargetGone:
            if violation.unanswered:
                return False
            violation.note = "the target died before it could be shown again"
        except (Violation, Unobservable, Interrupted):
            violation.note = "the replay was cut off"
        if violation.unanswered and not violation.note:
            violation.note = self._what_came_before(violation)
        return True

    def _what_came_before(self, *violations: Violation) -> str:
        """What may have silenced the server: the last request outside the contract, in words.

        It may have been sent while the first one that was not answered was on its way.
        """
        silent = [one.steps[-1].exchange for one in (*self._run.unanswered, *violations)]
        since = self._run.silent_since
        silences = [one.invoked_ns for one in silent] + ([since * 1e9] if since else [])
        until_ns = min(silences, default=0) + _SAME_MOMENT_NS
        before = [s for s in list(self._run.last_outside) if s.exchange.invoked_ns < until_ns]
        if not before:
            return ""
        step = max(before, key=lambda one: one.exchange.invoked_ns)
        return (
            "the last request outside the contract before the silence was "
            f"{describe_request(step.exchange.request)} -> {step.reading.actual} "
            f"({REQUEST_ID}: {request_id(step)})"
        )

    def _may_be_bad_luck(self, violation: Violation) -> bool:
        """Whether an answer failed to come, for once or in a crowd, and not when asked again.

        A server that stands still for a moment leaves everybody without an answer, for once.
        """
        if not violation.unanswered or (violation.replayed is not None and violation.replayed[0]):
            return False
        run, exchange = self._run, violation.steps[-1].exchange
        run.unanswered.append(violation)
        first = run.unanswered[0].steps[-1].exchange
        is_once = first is exchange or (
            first.invoked_ns < exchange.returned_ns
            and exchange.invoked_ns < first.returned_ns
            and run.client.stood_still(exchange)
        )
        return is_once or run.client.was_crowded(exchange)

    def _may_be_out_of_order(self, violation: Violation, iut: Iut, task: Task) -> bool:
        """Whether a publish failed in a documented way, and not for what it asked.

        A server whose database or broker is down may say so to any publish (reading, 1).
        """
        says_so = bool(violation.steps) and violation.steps[-1].answer in FAILURES
        if not says_so or task.proof.breaks_the_server:
            return False
        try:
            is_out_of_order = not fails_for_its_input(violation, iut)
        except (Violation, Unobservable, Interrupted, TargetGone):
            is_out_of_order = True
        if is_out_of_order:
            self._run.fails_now_and_then = True
            try:
                iut.must_have_freed(violation.steps[-1].session)
            except Violation as stays_busy:
                self._run.report(stays_busy)
            except (Unobservable, Interrupted, TargetGone):
                pass  # the next attempt of the check meets the same
        return is_out_of_order


def _require(needs: tuple[str, ...], run: Run) -> None:
    """Raise NotApplicable or Unobservable if something a check needs is not there."""
    target, surroundings = run.target, run.surroundings
    for need in needs:
        if need == "update_status" and not surroundings.update_status:
            if target.update_status is False:
                raise NotApplicable("the target file declares /update_status out of reach")
            raise Unobservable(
                f"/update_status is out of reach: {surroundings.update_status_reason}"
            )
        if need == "upload_root" and target.upload_root is None:
            raise NotApplicable("no upload_root is declared in a target file")
        kind, _, fault = need.partition(":")
        if kind == "fault" and not (target.faults if fault == "any" else fault in target.faults):
            what = "no fault" if fault == "any" else f"the fault {fault!r}"
            raise NotApplicable(
                f"{what} is {'' if fault == 'any' else 'not '}declared in a target file"
            )
