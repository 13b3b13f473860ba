"""The terminal: progress while the run works, then what is broken, then the verdict."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from onejob_contract.report.evidence import explain_violation
from onejob_contract.report.likeness import explains_others, likeness, mention
from onejob_contract.scheduler import Task
from onejob_contract.session import Session
from onejob_contract.verdict import (
    CheckResult,
    Conclusion,
    Ending,
    Overall,
    RequirementResult,
    Verdict,
)

_COLOUR = {
    Overall.CONFORMANT: "green",
    Overall.NONCONFORMANT: "red",
    Overall.INCONCLUSIVE: "yellow",
}


class Terminal:
    """Tells a person how the run goes on and how it ended."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} checks"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._broken: set[str] = set()
        self._known: frozenset[str] = frozenset()
        self._explained: dict[Hashable, str] = {}
        self._task = (
            None if not console.is_terminal else self._progress.add_task("looking", total=1)
        )

    def starts(self, session: Session) -> None:
        """The line a person needs to repeat the run."""
        options, look = session.options, session.preflight
        self._known = frozenset(options.known_failures)
        worker = "live worker" if look.surroundings.live_worker else "no live worker seen so far"
        self.console.print(
            f"judging {session.target.origin} (server {look.server}, {worker}, update_status "
            f"{'reachable' if look.surroundings.update_status else 'out of reach'}), profile "
            f"{options.profile}, seed {options.seed}, run {session.client.token}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def begins(self, tasks: Sequence[Task]) -> None:
        """The checks that will run."""
        if self._task is not None:
            self._progress.start()
            self._progress.update(self._task, description="checking", total=len(tasks))

    def ended(self, result: CheckResult) -> None:
        """One check ended."""
        if result.ending is Ending.VIOLATED and result.blamed not in self._broken:
            self._broken.add(result.blamed)
            is_known = result.blamed in self._known
            mark = "[yellow]known failure[/yellow]" if is_known else "[red]broken[/red]"
            self._progress.console.print(f"{mark} {escape(result.blamed)}", highlight=False)
        if self._task is not None:
            words = f"checking ({len(self._broken)} broken)" if self._broken else "checking"
            self._progress.update(self._task, advance=1, description=words)

    def finish(self) -> None:
        """Put the progress away."""
        self._progress.stop()

    def tell(self, session: Session, conclusion: Conclusion) -> None:
        """What is broken, what was not seen, and the verdict in the last line."""
        for result in conclusion.requirements:
            if result.verdict is Verdict.FAIL:
                self._broken_requirement(session, result)
        unseen = [r for r in conclusion.requirements if r.verdict is Verdict.INCONCLUSIVE]
        if unseen:
            self.console.print("\n[yellow]not observed[/yellow]")
            together: dict[str, list[str]] = {}
            for result in unseen:
                why = f"accepted: {result.accepted}" if result.accepted else result.reason
                together.setdefault(why, []).append(result.requirement.id)
            for why, ids in together.items():
                self._line(f"  {', '.join(ids)}: {why}")
            run = session.run_state
            if session.client.places.in_turn:
                self._line(
                    "  -> the server answers one request after the other, in "
                    f"{run.surroundings.latency_s * 1000:.0f} ms each; a longer --profile sees more"
                )
            if run.has_worker and run.surroundings.update_status:
                self._line(
                    "  -> stop the server's own worker, or declare the fault worker_stop in a "
                    "target file (docs/faults.md)"
                )
            if any(
                r.ending is Ending.VIOLATED and r.blamed in self._known for r in session.results
            ):
                self._line(
                    "  -> what a known failure keeps from being seen can be accepted in a target "
                    "file, under [accept]"
                )
        cut_short = len(session.run_state.cut_short)
        if cut_short:
            self._line(
                f"\n{cut_short} check{'s' * (cut_short > 1)} had time for fewer rounds than the "
                "profile wants (report.json names them)"
            )
        unhealed = session.run_state.unhealed
        if unhealed and unhealed != conclusion.because:
            self.console.print("\n[bold red]not healed[/bold red]", highlight=False)
            self._line(f"  {unhealed}")
        counts = dict.fromkeys(Verdict, 0)
        for result in conclusion.requirements:
            counts[result.verdict] += 1
        numbers = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
        colour = _COLOUR[conclusion.overall]
        self.console.print(
            f"\n[bold {colour}]{conclusion.overall}[/bold {colour}]: {escape(conclusion.because)} "
            f"({numbers}; {session.client.exchanges} requests in {session.seconds:.1f} s, "
            f"seed {session.options.seed})",
            highlight=False,
            soft_wrap=True,
        )

    def _broken_requirement(self, session: Session, result: RequirementResult) -> None:
        known = f" (known failure: {result.known})" if result.known else ""
        for violation in result.violations[:2]:
            key = likeness(violation)
            like = self._explained.get(key) if key else None
            if like is None:
                told = explain_violation(violation, session.target.origin)
            else:
                told = mention(violation, like)
            if key and explains_others(violation):
                self._explained.setdefault(key, violation.requirement)
            self.console.print()
            self._line(f"FAIL{known} {told}")

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
