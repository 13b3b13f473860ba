"""A plan as Locust runs it."""

from __future__ import annotations

from locust import LoadTestShape

from onejob_load.plan import Plan


class PlannedShape(LoadTestShape):
    """Asks a plan for the number of users, again and again."""

    abstract = True
    """So that Locust does not take it for a shape that is always on."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = plan

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate now; None ends the run."""
        return self._plan.at(self.get_run_time())  # type: ignore[no-untyped-call]
