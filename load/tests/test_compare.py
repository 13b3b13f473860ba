"""Two saved runs side by side."""

import json

import pytest

from onejob_contract.history import Outcome
from onejob_load.report.compare import NotAReport, comparison_lines
from onejob_load.report.files import write_report


@pytest.fixture
def saved(observer, story, tmp_path):
    """Save a short run under a name, with settings of its own."""

    def save(name, **settings):
        watching = observer(**settings)
        told = story().publish(0, Outcome.GRANTED, "j1").update(10, "j1")
        watching.take(told.batch(20, last=True))
        watching.finish()
        history = tmp_path / "history.jsonl"
        history.touch()
        write_report(watching.snapshot(), history, tmp_path / name)
        return tmp_path / name

    return save


def test_equal_runs_show_no_change(saved):
    lines = list(comparison_lines(saved("before"), saved("after")))

    (granted,) = (line for line in lines if line.startswith("granted.count"))
    assert granted.split() == ["granted.count", "1", "1", "="]


def test_a_change_is_a_percentage(saved):
    before, after = saved("before"), saved("after")
    report = json.loads((after / "report.json").read_text("utf-8"))
    report["figures"]["granted.count"] = 3
    (after / "report.json").write_text(json.dumps(report), "utf-8")

    (granted,) = (
        line for line in comparison_lines(before, after) if line.startswith("granted.count")
    )

    assert granted.split() == ["granted.count", "1", "3", "+200.0", "%"]


def test_runs_with_different_settings_say_so(saved):
    lines = list(comparison_lines(saved("before", racers=4), saved("after", racers=64)))

    assert any("racers: 4 before, 64 after" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is no JSON"),
        ("[]", "is no report of `onejob load`"),
        ('{"figures": {}, "settings": {}, "schema": 99}', "has the schema 99"),
    ],
)
def test_a_file_that_is_no_saved_run_says_why(saved, tmp_path, content, reason):
    odd = tmp_path / "odd.json"
    odd.write_text(content, "utf-8")

    with pytest.raises(NotAReport, match=reason):
        list(comparison_lines(saved("before"), odd))


def test_data_in_the_page_cannot_end_its_script(observer, story, tmp_path):
    watching = observer()
    watching.take(story().publish(0, Outcome.GRANTED, "</script><b>").batch(9, last=True))
    watching.take(story().publish(5, Outcome.GRANTED, "</script><i>").batch(9, last=True))
    watching.finish()
    history = tmp_path / "history.jsonl"
    history.touch()

    write_report(watching.snapshot(), history, tmp_path / "report")

    assert (tmp_path / "report" / "report.html").read_text("utf-8").count("</script>") == 1
