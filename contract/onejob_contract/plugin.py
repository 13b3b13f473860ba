"""The pytest plugin: binds the suite to one implementation under test.

`onejob check` hands it a run; inside somebody's own pytest the options `--onejob-url` and its
companions make one. Loaded by every pytest of an environment, so it imports little until asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from onejob_contract.scheduler import Task
    from onejob_contract.session import Session
    from onejob_contract.verdict import CheckResult

SUITE = Path(__file__).parent / "suite"


class Listener(Protocol):
    """Who wants to know how the run goes on."""

    def begins(self, tasks: Sequence[Task]) -> None:
        """The checks that will run."""

    def ended(self, result: CheckResult) -> None:
        """One check ended."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for people who run the suite inside their own pytest."""
    group = parser.getgroup("onejob", "conformance of a server with one active job per session")
    group.addoption("--onejob-url", metavar="URL", help="base URL of the implementation under test")
    group.addoption("--onejob-target", metavar="FILE", help="target file (onejob.toml)")
    group.addoption("--onejob-profile", default="standard", help="quick, standard or thorough")
    group.addoption("--onejob-worker", default=None, help="auto, harness or live")
    group.addoption("--onejob-seed", type=int, default=None, help="repeat the requests of a run")
    group.addoption("--onejob-hold", type=float, default=None, help="seconds a lock is watched")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark, and prepare a run if a target was named."""
    config.addinivalue_line("markers", "proves(proof): the requirements a check proves")
    if _bound(config):
        return
    if config.getoption("onejob_url") or config.getoption("onejob_target"):
        from onejob_contract.session import Session  # noqa: PLC0415

        config.pluginmanager.register(SuitePlugin(Session.from_pytest(config)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse the suite without a target: skipped checks must not look like passed ones."""
    if _bound(config) or config.option.collectonly:
        return
    if any(item.get_closest_marker("proves") for item in items):
        raise pytest.UsageError(
            "the onejob suite needs a server to judge: add --onejob-url http://127.0.0.1:5000"
        )


class SuitePlugin:
    """Runs the collected checks against one target and hands the results to pytest."""

    def __init__(self, session: Session, listener: Listener | None = None) -> None:
        self.session = session
        self._listener = listener
        self._results: dict[str, CheckResult] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the selected checks; a suite run judges nothing else."""
        checks = [item for item in items if item.get_closest_marker("proves")]
        items[:] = [item for item in checks if self.session.selects(_proof(item).requirements)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the checks in lanes; report each as it ends."""
        if session.config.option.collectonly:
            return False
        items = {item.nodeid: item for item in session.items}
        for task, result in self._run(list(items.values())):
            self._results[task.name] = result
            item = items[task.name]
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if session.shouldstop or session.shouldfail:
                self.session.abandon()
                break
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Instead of calling the check, tell how it ended."""
        from onejob_contract.verdict import Ending  # noqa: PLC0415

        result = self._results[pyfuncitem.nodeid]
        if result.ending is Ending.PASSED:
            return True
        if result.ending in (Ending.VIOLATED, Ending.FAULT):
            pytest.fail(self.session.explain(result), pytrace=False)
        pytest.skip(f"{result.ending}: {result.reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """In somebody's own pytest the verdict decides the exit code: not judged is no pass."""
        if self._listener is None and exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = int(self.session.conclusion().exit)

    @pytest.fixture
    def iut(self) -> None:
        """The implementation under test; the scheduler hands the real one to the check's body."""

    def _run(self, items: Sequence[pytest.Item]) -> Iterator[tuple[Task, CheckResult]]:
        from onejob_contract.scheduler import Task  # noqa: PLC0415

        tasks = [
            Task(item.nodeid, number, _proof(item), _body(item))
            for number, item in enumerate(items)
        ]
        if self._listener:
            self._listener.begins(tasks)
        for task, result in self.session.run(tasks):
            if self._listener:
                self._listener.ended(result)
            yield task, result


def _bound(config: pytest.Config) -> bool:
    return any(isinstance(plugin, SuitePlugin) for plugin in config.pluginmanager.get_plugins())


def _proof(item: pytest.Item) -> Any:
    mark = item.get_closest_marker("proves")
    assert mark is not None, item.nodeid  # noqa: S101
    return mark.args[0]


def _body(item: pytest.Item) -> Callable[..., None]:
    assert isinstance(item, pytest.Function)  # noqa: S101
    function = item.obj
    parameters = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    return lambda iut: function(iut, **parameters)
