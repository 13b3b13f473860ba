"""report.json: everything a program wants to know of a run (schema: schemas/report.schema.json)."""

from __future__ import annotations

import datetime
from importlib.metadata import version
from typing import Any

from onejob_contract.catalogue import requirements_version
from onejob_contract.report.evidence import as_json
from onejob_contract.session import Session

SCHEMA_VERSION = 1


def document(session: Session, started_at: datetime.datetime) -> dict[str, Any]:
    """The report of a finished session."""
    run, target, look = session.run_state, session.target, session.preflight
    conclusion = session.conclusion()
    surroundings = look.surroundings
    return {
        "schema": SCHEMA_VERSION,
        "suite": {"version": version("onejob"), "requirements_version": requirements_version()},
        "target": {
            "url": str(target.origin),
            "server": look.server,
            "worker": str(target.worker),
            "update_status": surroundings.update_status,
            "run": session.client.token,
        },
        "profile": session.options.profile,
        "seed": session.options.seed,
        "started_at": started_at.isoformat(timespec="seconds"),
        "duration_s": round(session.seconds, 3),
        "verdict": str(conclusion.overall),
        "exit_code": int(conclusion.exit),
        "because": conclusion.because,
        "requirements": [
            {
                "id": result.requirement.id,
                "level": result.requirement.level,
                "operation": result.requirement.operation,
                "title": result.requirement.title,
                "section": result.requirement.section,
                "verdict": str(result.verdict),
                "reason": result.reason,
                "known_failure": result.known,
                "accepted": result.accepted,
                "evidence": [as_json(violation, target.origin) for violation in result.violations],
            }
            for result in conclusion.requirements
        ],
        "checks": [
            {
                "check": result.check.rpartition("/")[2],
                "requirements": list(result.requirements),
                "ending": str(result.ending),
                "reason": result.reason,
                "seconds": round(result.seconds, 3),
                "cut_short": run.cut_short.get(result.check, ""),
            }
            for result in session.results
        ],
        "profile_of_target": {
            "median_latency_ms": round(surroundings.latency_s * 1000, 2),
            "keep_alive": session.client.keep_alive,
            "one_connection_at_a_time": look.one_at_a_time,
            "live_worker": run.has_worker,
            "update_status": surroundings.update_status_reason,
            "requests": session.client.exchanges,
            **dict(sorted(run.measured.items())),
            "open": dict(session.open_answers),
        },
    }
