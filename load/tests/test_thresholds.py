"""Thresholds read like a person writes them."""

import pytest

from onejob_load.thresholds import METRICS, ThresholdError, parse_thresholds


@pytest.mark.parametrize(
    ("text", "actual", "met"),
    [
        ("granted.p95<500ms", 0.499, True),
        ("granted.p95<500ms", 0.5, False),
        ("granted.p95 <= 0.5 s", 0.5, True),
        ("unexpected==0", 0, True),
        ("unexpected==0", 3, False),
        ("busy.rate<90%", 0.89, True),
        ("granted.count!=0", 0, False),
        ("races.spread>100us", 0.0002, True),
    ],
)
def test_a_threshold_judges_what_was_measured(text, actual, met):
    (threshold,) = parse_thresholds(text)

    assert threshold.judge({threshold.metric: actual}).met is met


def test_several_are_separated_by_commas():
    assert [one.metric for one in parse_thresholds("violations==0, hold.p50<1s,")] == [
        "violations",
        "hold.p50",
    ]


def test_what_was_never_measured_meets_no_threshold():
    (threshold,) = parse_thresholds("granted.p95<500ms")

    result = threshold.judge({"granted.p95": None})

    assert not result.met
    assert result.actual is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("granted.p95", "write for example granted.p95<500ms"),
        ("granted.p9<5ms", "did you mean granted.p99"),
        ("granted.p95<5 parsecs", "write for example"),
        ("granted.p95=<5ms", "write for example"),
    ],
)
def test_a_threshold_nobody_can_judge_by_says_why(text, hint):
    with pytest.raises(ThresholdError, match=hint):
        parse_thresholds(text)


def test_every_metric_that_may_be_named_is_measured(observer):
    figures = observer().figures()

    assert set(METRICS) <= set(figures)
