"""A team's target file also holds the thresholds of its load tests."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from onejob_contract.target import load_target
from onejob_load.command import load

URL = 'url = "http://127.0.0.1:9"\n'


def test_thresholds_are_read_from_the_target_file(tmp_path: Path) -> None:
    file = tmp_path / "onejob.toml"
    file.write_text(f'{URL}thresholds = "violations==0"')
    assert load_target(file, None).thresholds == "violations==0"


def test_a_threshold_nobody_understands_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "onejob.toml"
    file.write_text(f'{URL}thresholds = "granted.p95!!1ms"')
    said = CliRunner().invoke(load, ["--target", str(file), "--headless"])
    assert said.exit_code == 2
    assert "'granted.p95!!1ms' is no threshold" in said.output


def test_the_command_line_wins_over_the_target_file(tmp_path: Path) -> None:
    file = tmp_path / "onejob.toml"
    file.write_text(f'{URL}thresholds = "violations==0"')
    said = CliRunner().invoke(
        load, ["--target", str(file), "--headless", "--thresholds", "nonsense"]
    )
    assert said.exit_code == 2
    assert "'nonsense'" in said.output
