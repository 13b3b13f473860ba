"""Ways in which conformance suites have passed without judging; each once happened to somebody.

Exit codes are those of real processes, since a command line library can lose them on the way.
"""

import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest
from kit import CommandLine, Said, command

from onejob_contract.target import UsageError, load_target, parse_url
from onejob_contract.verdict import Exit
from onejob_fixtures.servers import running

NOBODY: Final = "http://127.0.0.1:9"
"""Usage errors are told before the first request, so nobody needs to listen."""

FEW: Final = ("--profile", "quick", "--worker", "harness", "--select", "HEALTH-OK")


def refused(said: Said, *words: str) -> None:
    """A usage error in one sentence that holds these words."""
    assert said.exit == Exit.USAGE
    assert "Traceback" not in said.everything
    assert said.err.strip().count("\n") == 0
    for word in words:
        assert word in said.err


BAD_TARGET_FILES: Final = {
    "not TOML": ("url = ", "is not valid TOML"),
    "unknown key": ('adress = "http://127.0.0.1:9"', "unknown key 'adress'"),
    "misspelt key": ('ulr = "http://127.0.0.1:9"', "Did you mean 'url'?"),
    "unknown capability": (
        "[capabilities]\nupdate_statsu = false",
        "Did you mean 'update_status'",
    ),
    "unknown fault": (
        '[faults.disk]\ninject = "a"\nheal = "b"',
        "unknown key 'disk'",
    ),
    "half a fault": (
        '[faults.broker]\ninject = "true"',
        "needs both inject and heal",
    ),
    "unknown worker": ('worker = "life"', "worker 'life' is unknown"),
    "timeout of zero": (
        "[timeouts]\nresponse = 0",
        "must be a positive",
    ),
    "timeout in words": ('[timeouts]\nresponse = "1 s"', "not '1 s'"),
    "misspelt acceptance": (
        '[accept]\nHEALTH-OKAY = "old"',
        "Did you mean HEALTH-OK",
    ),
    "acceptance without a reason": (
        '[accept]\nHEALTH-OK = ""',
        "accept.HEALTH-OK needs a reason",
    ),
    "header that is no text": (
        '[headers]\nX-Key = "a\\nb"',
        "headers.X-Key",
    ),
    "header name with a space": (
        '[headers]\n"X Key" = "a"',
        "headers.X Key",
    ),
    "header beyond ASCII": ('[headers]\nX-Key = "ü"', "headers.X-Key"),
}


@pytest.mark.parametrize(("text", "words"), BAD_TARGET_FILES.values(), ids=BAD_TARGET_FILES)
def test_a_target_file_that_cannot_be_meant_is_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "onejob.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(UsageError) as told:
        load_target(file, NOBODY)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_target_without_a_url_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "onejob.toml"
    file.write_text('worker = "auto"\n', "utf-8")
    with pytest.raises(UsageError, match="has no url; add url = "):
        load_target(file, None)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:5000", "ftp://127.0.0.1", "http://", "http://[::1", "http://a:99999", "http://a?x=1",
     "http://a b/", "http://127.0.0.1:5000/a b", "http://a..b", "http://u:p@127.0.0.1:5000"],
)  # fmt: skip
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as told:
        parse_url(url)
    assert repr(url) in str(told.value)


def test_a_target_file_that_cannot_be_read_is_refused(user: CommandLine) -> None:
    refused(user.onejob("check", "--target", "missing.toml"), "cannot read the target file")


def test_a_misspelt_selection_is_refused(user: CommandLine) -> None:
    refused(user.onejob("check", NOBODY, "--select", "HEALTH-OKAY"), "Did you mean HEALTH-OK")


def test_a_selection_of_nothing_is_refused(user: CommandLine) -> None:
    refused(user.onejob("check", NOBODY, "--select", ","), "names nothing")


@pytest.mark.parametrize(
    ("line", "words"),
    [("HEALTH-OKAY: old", "Did you mean HEALTH-OK"), ("HEALTH-OK", "has no reason")],
)
def test_a_known_failure_that_names_nothing_is_refused(
    user: CommandLine, line: str, words: str
) -> None:
    (user.folder / "known.txt").write_text(f"# known\n{line}\n", "utf-8")
    said = user.onejob("check", NOBODY, "--known-failures", "known.txt")
    refused(said, "known.txt, line 2,", words)


def test_a_report_that_cannot_be_written_is_refused_before_the_run(user: CommandLine) -> None:
    (user.folder / "report").write_text("a file", "utf-8")
    said = user.onejob("check", NOBODY, "--report", "report/here")
    refused(said, "cannot write the report")


def test_a_known_failure_that_passes_now_fails_the_run(
    user: CommandLine, correct_server: str
) -> None:
    (user.folder / "known.txt").write_text("HEALTH-OK: repaired long ago\n", "utf-8")
    said = user.onejob("check", correct_server, *FEW, "--known-failures", "known.txt")
    assert said.exit == Exit.NONCONFORMANT
    assert "known failures that pass now; take them out: HEALTH-OK" in said.out


def test_a_known_failure_that_fails_does_not_fail_the_run(user: CommandLine) -> None:
    (user.folder / "known.txt").write_text("HEALTH-OK: ticket 17\n", "utf-8")
    with running("health-status-upper-case") as url:
        broken = user.onejob("check", url, *FEW)
        known = user.onejob("check", url, *FEW, "--known-failures", "known.txt")
    assert broken.exit == Exit.NONCONFORMANT
    assert known.exit == Exit.CONFORMANT
    assert "FAIL (known failure: ticket 17)" in known.out


def test_what_comes_after_a_known_failure_is_judged(user: CommandLine) -> None:
    (user.folder / "known.txt").write_text("UPDATE-REPEATED: ticket 18\n", "utf-8")
    alike = ("--profile", "quick", "--fail-fast", "--known-failures", "known.txt")
    with running("repeat-crashes") as url:
        known = user.onejob("check", url, *alike)
    assert known.exit == Exit.CONFORMANT
    assert "FAIL (known failure: ticket 18)" in known.out
    assert "LOCK-STALE-UPDATE" not in known.out


def test_what_cannot_be_seen_at_all_is_inconclusive(user: CommandLine, correct_server: str) -> None:
    said = user.onejob(
        *("check", correct_server, "--profile", "quick", "--select", "PUBLISH-UPLOAD-ROOT")
    )
    assert said.exit == Exit.NOT_JUDGED
    assert "inconclusive: nothing was judged" in said.out


def pytest_entry(user: CommandLine, *arguments: str, suite: str = "test_health") -> Said:
    """The suite inside somebody's own pytest."""
    return user.run(
        *("pytest", "-p", "no:cacheprovider", "--onejob-profile", "quick"),
        *("--pyargs", f"onejob_contract.suite.{suite}", *arguments),
        environment={
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_PLUGINS": "onejob_contract.plugin",
        },
    )


def test_the_suite_in_a_foreign_pytest_says_conformant_only_when_all_was_judged(
    user: CommandLine, correct_server: str
) -> None:
    """Only the checks of one module ran, so most requirements were not judged."""
    said = pytest_entry(user, "--onejob-url", correct_server)
    assert " passed" in said.out
    assert said.exit == Exit.NOT_JUDGED


def test_the_suite_in_a_foreign_pytest_fails_for_a_broken_server(user: CommandLine) -> None:
    with running("health-status-upper-case") as url:
        said = pytest_entry(user, "--onejob-url", url)
    assert said.exit == Exit.NONCONFORMANT
    assert "HEALTH-OK (must):" in said.out


def test_the_suite_in_a_foreign_pytest_does_not_pass_where_nobody_listens(
    user: CommandLine,
) -> None:
    said = pytest_entry(user, "--onejob-url", NOBODY)
    assert said.exit == Exit.NOT_JUDGED
    assert "cannot be reached" in said.everything
    assert "Traceback" not in said.everything


def test_the_suite_without_a_server_refuses_to_be_collected(user: CommandLine) -> None:
    said = pytest_entry(user)
    assert said.exit != Exit.CONFORMANT
    assert "the onejob suite needs a server to judge: add --onejob-url" in said.everything


def test_what_lies_where_the_user_stands_does_not_change_the_verdict(user: CommandLine) -> None:
    """A pytest.ini, a conftest and pytest's variables that would deselect every check."""
    (user.folder / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n", "utf-8")
    (user.folder / "conftest.py").write_text(
        "def pytest_collection_modifyitems(items):\n    items.clear()\n", "utf-8"
    )
    with running("health-status-upper-case") as url:
        said = user.run(
            *("onejob_contract.cli", "check", url, *FEW),
            environment={
                "PYTEST_ADDOPTS": "--collect-only",
                "PYTEST_PLUGINS": "conftest",
                "PYTHONPATH": str(user.folder),
            },
        )
    assert said.exit == Exit.NONCONFORMANT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind_and_is_no_pass(
    user: CommandLine, tmp_path: Path, number: signal.Signals
) -> None:
    """The embedded reference runs as processes of its own, in a temporary folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    run = subprocess.Popen(
        command("onejob_contract.cli", "check"),
        cwd=user.folder,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("judging http://127.0.0.1:"), "it has begun"
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
    assert run.returncode == Exit.NOT_JUDGED
    assert "interrupted" in err
    assert "Traceback" not in out + err
    assert list(temporary.iterdir()) == []
    assert processes_that_name(str(temporary)) == []


def processes_that_name(folder: str) -> list[str]:
    """The processes whose environment names this folder."""
    named = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if folder.encode() in environment.read_bytes():
                named.append(environment.parent.name)
        except OSError:  # ended while we looked, or another user's
            continue
    return named
