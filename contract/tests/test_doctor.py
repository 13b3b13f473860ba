"""`onejob doctor`: whether a target can be judged, and what to change, before anybody waits."""

from __future__ import annotations

import pytest
from kit import CommandLine

from onejob_contract.verdict import Exit
from onejob_fixtures.servers import running


def test_a_server_without_a_worker_can_be_judged(user: CommandLine) -> None:
    with running("correct") as url:
        said = user.onejob("doctor", url)

    assert said.exit == Exit.CONFORMANT
    assert "no live worker was seen: the kit completes jobs" in said.out
    assert "server's clock" not in said.out
    assert said.out.rstrip().endswith("everything can be judged")


def test_a_worker_slower_than_the_first_look_is_seen(user: CommandLine) -> None:
    with running("worker-in-300-ms") as url:
        said = user.onejob("doctor", url)

    assert said.exit == Exit.NOT_JUDGED
    assert "the server's own worker completes jobs (one within 0." in said.out
    assert "or accept LOCK-HELD-OVER-TIME there" in said.out
    assert said.out.rstrip().endswith("a run would be inconclusive")


def test_what_a_target_file_declares_and_accepts_keeps_nobody_from_judging(
    user: CommandLine,
) -> None:
    (user.folder / "onejob.toml").write_text(
        "[capabilities]\nupdate_status = false\n"
        '[accept]\nLOCK-HELD-OVER-TIME = "the worker is fast"\n',
        "utf-8",
    )
    with running("hidden-403-worker-in-300-ms") as url:
        said = user.onejob("doctor", url, "--target", "onejob.toml")

    assert said.exit == Exit.CONFORMANT
    assert "/update_status is out of reach, as the target file declares" in said.out
    assert said.out.rstrip().endswith("what the server's own worker leaves time for can be judged")


@pytest.mark.parametrize(
    ("server", "finding"),
    [
        ("hidden-403-without-worker", "nobody completes jobs"),
        ("hidden-405-worker-in-2-s", "/update_status is out of reach: it answers 405"),
    ],
)
def test_what_keeps_a_run_from_judging_is_told_with_a_way_out(
    user: CommandLine, server: str, finding: str
) -> None:
    with running(server) as url:
        said = user.onejob("doctor", url)

    assert said.exit == Exit.NOT_JUDGED
    assert finding in said.out
    assert "-> let the kit reach" in said.out


def test_a_closed_port_is_told(user: CommandLine) -> None:
    said = user.onejob("doctor", "http://127.0.0.1:9")

    assert said.exit == Exit.NOT_JUDGED
    assert "Is the server running, and on this port?" in said.out
