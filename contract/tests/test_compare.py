"""`onejob compare`: two runs, or two servers, side by side."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from kit import CommandLine, judged

from onejob_contract.report.document import document
from onejob_contract.session import Session
from onejob_contract.verdict import Exit
from onejob_fixtures.servers import running

NOW = datetime.datetime(2020, 2, 29, 12, 0, tzinfo=datetime.UTC)
OPEN = "an unknown route"


@pytest.fixture(scope="module")
def right(correct_server: str) -> Session:
    return judged(correct_server, "PUBLISH-BUSY", "HEALTH-OK")


@pytest.fixture(scope="module")
def wrong() -> Session:
    with running("busy-says-409") as url:
        return judged(url, "PUBLISH-BUSY", "HEALTH-OK")


@pytest.fixture
def saved(tmp_path: Path, right: Session, wrong: Session) -> tuple[Path, Path]:
    """The reports of a server that is right and of one that is not."""
    right.open_answers, wrong.open_answers = {OPEN: "404"}, {OPEN: "405"}
    folders = tmp_path / "right", tmp_path / "wrong"
    for folder, session in zip(folders, (right, wrong), strict=True):
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(document(session, NOW)))
    return folders


def test_what_is_worse_is_told_with_its_reason(user: CommandLine, saved: tuple[Path, Path]) -> None:
    right, wrong = saved

    said = user.onejob("compare", right, wrong)

    assert said.exit == Exit.NONCONFORMANT
    assert "  worse   PUBLISH-BUSY: pass -> fail  expected 429" in said.out
    assert f"  differs {OPEN}: 404 -> 405" in said.out
    assert said.out.endswith("1 requirement the same, 1 worse in B\n")


def test_what_is_better_is_no_failure(user: CommandLine, saved: tuple[Path, Path]) -> None:
    right, wrong = saved

    said = user.onejob("compare", wrong, right / "report.json")

    assert said.exit == Exit.CONFORMANT
    assert "  better  PUBLISH-BUSY: fail -> pass" in said.out


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot read"), ("{", "is not JSON"), ("[]", "is no report of `onejob check`")],
)
def test_what_is_no_report_is_told(
    user: CommandLine, tmp_path: Path, content: str | None, reason: str
) -> None:
    file = tmp_path / "other.json"
    if content is not None:
        file.write_text(content)

    said = user.onejob("compare", file, file)

    assert said.exit == Exit.USAGE
    assert reason in said.err
    assert "Traceback" not in said.everything


def test_two_servers_are_judged_with_one_seed(user: CommandLine, correct_server: str) -> None:
    with running("busy-says-409") as wrong:
        said = user.onejob("compare", correct_server, wrong, "--seed", "5", deadline=120)

    assert said.exit == Exit.NONCONFORMANT
    assert "worse   PUBLISH-BUSY: pass -> fail" in said.out
    assert said.out.count("seed 5)") == 2
