"""Every proof of the project by name; `nox` runs the default ones, `nox -l` lists all."""

from __future__ import annotations

import os

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "contract"]

LOCKED = ("-c", "constraints.txt")


def _install(session: nox.Session, *extras: str) -> None:
    """Install the project with locked development versions."""
    session.install("-e", f".[{','.join(extras)}]", *LOCKED)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, and the parts' import order."""
    _install(session, "all", "dev")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Every type, strictly."""
    _install(session, "all", "dev")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """What the parts promise, each in its own tests."""
    _install(session, "all", "dev")
    session.run("pytest", "-m", "not whole_run and not faults", *session.posargs)


@nox.session
def whole_runs(session: nox.Session) -> None:
    """Whole runs of the kit as its users start them, under signals and in foreign pytests."""
    _install(session, "all", "dev")
    session.run("pytest", "contract/tests", "-m", "whole_run", *session.posargs)


@nox.session
def oracle(session: nox.Session) -> None:
    """The judge against the exhaustive oracle on 200,000 random histories (about 10 minutes)."""
    _install(session, "all", "dev")
    session.run(
        "pytest",
        "contract/tests/test_linearizability.py",
        "--timeout=3600",
        *session.posargs,
        env={"ONEJOB_HISTORIES": "200000"},
    )


@nox.session
def bench(session: nox.Session) -> None:
    """Ratios against something real in the same run: judge, publish, load generator."""
    _install(session, "all", "dev")
    for benchmark in (
        "contract/benchmarks/bench_judge.py",
        "reference/benchmarks/publish.py",
        "load/benchmarks/bench_load.py",
    ):
        session.run("python", benchmark, *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Nothing stuck, doubled or lost, whatever dies (needs Redis, PostgreSQL, RabbitMQ)."""
    _install(session, "all", "dev")
    session.run("python", "reference/chaos", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """The reference under real faults, from full disks to dead brokers (about 10 minutes)."""
    _install(session, "all", "dev")
    session.run("pytest", "reference/tests/test_faults.py", *session.posargs)
    session.run("python", "reference/chaos/targets.py")


@nox.session(name="load-smoke")
def load_smoke(session: nox.Session) -> None:
    """Short load runs: the reference's locks hold, broken ones are convicted."""
    _install(session, "all", "dev")
    session.run("python", "load/smoke", *session.posargs)


@nox.session
def contract(session: nox.Session) -> None:
    """The reference conforms, judged as a user would judge it."""
    _install(session, "all", "dev")
    session.run("onejob", "check", "--profile", "quick", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """The kill matrix: every broken server convicted, no unusual one accused (about an hour)."""
    _install(session, "all", "dev")
    jobs = str(os.cpu_count() or 2)
    session.run("python", "contract/matrix/__main__.py", "--jobs", jobs, *session.posargs)
