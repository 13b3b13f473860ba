"""The observer's verdict: over a run as it goes on, and over the whole of it."""

import pytest

from onejob_contract.history import Outcome
from onejob_load.batch import Incident, IncidentKind, Round, batch_from_json, batch_to_json

GRANTED, BUSY, UNKNOWN = Outcome.GRANTED, Outcome.BUSY, Outcome.UNKNOWN
PROCESSING, COMPLETED = Outcome.PROCESSING, Outcome.COMPLETED


def test_a_lock_that_held_passes(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").publish(5, BUSY).update(10, "j1")
    told.publish(20, GRANTED, "j2").update(30, "j2")

    watching.take(told.batch(40, last=True))
    watching.finish()

    run = watching.snapshot()
    assert (run["verdict"], run["exit_code"]) == ("passed", 0)
    assert run["figures"]["granted.count"] == 2
    assert run["figures"]["busy.rate"] == pytest.approx(1 / 3)


def test_two_jobs_at_a_time_are_a_double_grant_with_a_witness(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").publish(10, GRANTED, "j2", who="bob")

    watching.take(told.update(20, "j1").update(30, "j2").batch(40, last=True))
    watching.finish()

    run = watching.snapshot()
    (example,) = run["violations"]["examples"]
    assert (run["verdict"], run["exit_code"]) == ("failed", 1)
    assert example["kind"] == "double grant"
    assert {one["job"] for one in example["witness"]} >= {"j1", "j2"}


def test_a_violation_shows_while_the_run_goes_on(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").publish(10, GRANTED, "j2").update(20, "j1")
    told.update(30, "j2").publish(40, GRANTED, "j3").update(50, "j3").publish(60, GRANTED, "j4")

    watching.take(told.batch(70))

    assert watching.snapshot()["verdict"] == "failed"


def test_without_a_violation_a_running_run_promises_nothing(observer, story):
    watching = observer()

    watching.take(story().publish(0, GRANTED, "j1").batch(10))

    assert watching.snapshot()["verdict"] == "running"


def test_busy_on_a_free_session_is_a_violation(observer, story):
    watching = observer()

    watching.take(
        story().publish(0, GRANTED, "j1").update(10, "j1").publish(20, BUSY).batch(30, last=True)
    )
    watching.finish()

    (example,) = watching.snapshot()["violations"]["examples"]
    assert example["kind"] == "busy on a free session"


def test_a_free_session_that_stays_busy_is_stuck(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").update(10, "j1")

    watching.take(told.publish(20, BUSY).publish(900, BUSY).publish(1900, BUSY).batch(2000))
    while_running = watching.snapshot()
    watching.take(told.batch(2000, last=True))
    watching.finish()

    run = watching.snapshot()
    (example,) = run["violations"]["examples"]
    assert (while_running["verdict"], while_running["figures"]["stuck"]) == ("failed", 1)
    assert (example["kind"], run["figures"]["stuck"]) == ("stuck session", 1)


def test_a_free_session_that_was_busy_for_a_while_is_not_stuck(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").update(10, "j1").publish(20, BUSY)

    told.publish(1900, BUSY).publish(1950, GRANTED, "j2")
    watching.take(told.batch(2000, last=True))
    watching.finish()

    run = watching.snapshot()
    (example,) = run["violations"]["examples"]
    assert (example["kind"], run["figures"]["stuck"]) == ("busy on a free session", 0)


def test_a_session_that_a_lost_publish_may_hold_is_not_stuck(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").update(10, "j1").publish(20, UNKNOWN)

    watching.take(told.publish(30, BUSY).publish(1900, BUSY).batch(2000, last=True))
    watching.finish()

    run = watching.snapshot()
    assert (run["verdict"], run["figures"]["stuck"]) == ("passed", 0)


def test_a_job_that_outlives_its_time_is_stuck_and_said_so(observer, story):
    watching = observer(live_worker=True, job_timeout=2.0)
    told = story().publish(0, GRANTED, "j1").status(1900, PROCESSING, "j1").publish(1950, BUSY)
    told.publish(0, GRANTED, "j2", session="t").status(1000, COMPLETED, "j2", session="t")

    watching.take(told.batch(2000))
    in_time = watching.snapshot()
    watching.take(told.status(2100, PROCESSING, "j1").batch(2200, last=True))
    watching.finish()

    run = watching.snapshot()
    (example,) = run["violations"]["examples"]
    assert in_time["figures"]["stuck"] == 0
    assert (run["verdict"], run["because"]) == ("failed", "threshold missed: stuck==0")
    assert (example["kind"], example["session"]) == ("stuck session", "s")
    assert "still processing 2.1 s after its grant" in example["explanation"]


def test_a_worker_that_completed_nothing_makes_the_run_inconclusive(observer, story):
    watching = observer(live_worker=True)

    watching.take(story().publish(0, GRANTED, "j1").publish(20, BUSY).batch(40, last=True))
    watching.finish()

    run = watching.snapshot()
    assert (run["verdict"], run["exit_code"]) == ("inconclusive", 3)
    assert "does the server's own worker run" in run["because"]


def test_busy_after_a_publish_of_unknown_outcome_is_none(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").update(5, "j1").publish(10, UNKNOWN)

    watching.take(told.publish(20, BUSY).batch(30, last=True))
    watching.finish()

    assert watching.snapshot()["verdict"] == "passed"


def test_one_job_id_in_two_sessions_is_a_violation(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").publish(10, GRANTED, "j1", session="other")

    watching.take(told.batch(20, last=True))
    watching.finish()

    (example,) = watching.snapshot()["violations"]["examples"]
    assert example["kind"] == "job id granted twice"


def test_two_generators_of_one_machine_share_a_session(observer, story):
    watching = observer()
    first = story(generator="here.1").publish(0, GRANTED, "j1").update(20, "j1")
    second = story(generator="here.2").publish(10, BUSY, who="bob")

    watching.take(second.batch(15, last=True))
    watching.take(first.batch(30, last=True))
    watching.finish()

    assert watching.snapshot()["verdict"] == "passed"


def test_machines_are_judged_apart_and_the_report_says_so(observer, story):
    watching = observer()
    here = story().publish(0, GRANTED, "j1", session="here.s").update(20, "j1", session="here.s")
    # The other machine was started long after, so its clock is far behind.
    there = story(clock="there", generator="there.1")
    there.publish(-5000, GRANTED, "j2", session="there.s")

    watching.take(here.batch(30, last=True))
    watching.take(there.batch(-4000, last=True))
    watching.finish()

    run = watching.snapshot()
    assert run["verdict"] == "passed"
    assert "contention between machines was not judged" in run["notes"][0]


def test_a_lost_worker_ends_the_judgement_at_its_last_word(observer, story):
    watching = observer()
    lost = story(generator="here.2")
    other = story(generator="here.1").publish(0, GRANTED, "j1").update(10, "j1")
    watching.take(other.batch(20))
    watching.take(lost.batch(20))

    # given the lost worker was granted a job that nobody will ever hear of
    watching.lose("here.2")
    watching.take(other.publish(40, BUSY).batch(50, last=True))
    watching.finish()

    # then the refusal of the other one is not held against the server, nor is the run a proof
    run = watching.snapshot()
    assert (run["verdict"], run["exit_code"]) == ("inconclusive", 3)
    assert "here.2 was lost" in run["because"]


def test_a_violation_before_the_loss_still_convicts(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").publish(10, GRANTED, "j2").update(20, "j1")
    watching.take(told.update(30, "j2").batch(40))

    watching.lose("here.1")
    watching.finish()

    assert watching.snapshot()["verdict"] == "failed"


def test_a_target_that_dies_leaves_the_run_inconclusive(observer, story, no_connection):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").update(10, "j1")

    incidents = tuple(no_connection(ms) for ms in range(100, 8000, 500))
    watching.take(told.batch(8000, last=True, incidents=incidents))
    watching.finish()

    run = watching.snapshot()
    assert (run["verdict"], run["exit_code"]) == ("inconclusive", 3)
    assert "stopped answering 0 s into the run" in run["because"]


def test_a_run_that_granted_nothing_proves_nothing(observer, story):
    watching = observer()

    watching.take(story().batch(10, last=True))
    watching.finish()

    assert watching.snapshot()["exit_code"] == 3


def test_a_missed_threshold_fails_the_run(observer, story):
    watching = observer(thresholds="granted.p95<1ms")

    watching.take(story().publish(0, GRANTED, "j1").batch(10, last=True))
    watching.finish()

    run = watching.snapshot()
    assert (run["verdict"], run["exit_code"]) == ("failed", 1)
    assert run["because"] == "threshold missed: granted.p95<1ms"


def test_an_answer_the_document_does_not_know_fails_by_default(observer, story):
    watching = observer()
    odd = Incident(IncidentKind.UNEXPECTED, 1_000_000, "publish", "503 overloaded")

    watching.take(story().publish(0, GRANTED, "j1").batch(10, last=True, incidents=(odd,)))
    watching.finish()

    run = watching.snapshot()
    assert run["because"] == "threshold missed: unexpected==0"
    assert run["incidents"]["unexpected"] == [{"text": "publish: 503 overloaded", "count": 1}]


def test_a_stampede_that_did_not_overlap_is_no_proof(observer, story):
    watching = observer()
    slack = Round(0, "s", racers=4, winners=1, spread_ns=9_000_000, overlapping=1, pairs=6)

    watching.take(story().publish(0, GRANTED, "j1").batch(10, last=True, rounds=(slack,)))
    watching.finish()

    run = watching.snapshot()
    assert run["exit_code"] == 3
    assert "only 1 of 6 pairs" in run["because"]


def test_a_late_event_loop_is_shown_as_the_limit(observer, story):
    watching = observer()

    watching.take(story().publish(0, GRANTED, "j1").batch(10, lag=80.0))

    assert "event loop of here.1 is 80 ms late" in watching.snapshot()["limit"]


def test_a_batch_survives_its_way_through_json(story):
    odd = Incident(IncidentKind.FAILED, 5, "publish", "400")
    race = Round(1, "s", 8, 1, 200, 28, 28)
    told = story().publish(0, GRANTED, "j1").publish(5, UNKNOWN).update(9, "j1")

    batch = told.batch(20, last=True, incidents=(odd,), rounds=(race,))

    assert batch_from_json(batch_to_json(batch)) == batch


def test_a_worker_nobody_heard_of_leaves_nothing_to_judge(observer, story):
    watching = observer()
    told = story().publish(0, GRANTED, "j1").publish(10, GRANTED, "j2").update(20, "j1")

    watching.take(told.update(30, "j2").batch(40))
    watching.lose("worker7")
    watching.take(told.publish(50, GRANTED, "j3").publish(60, GRANTED, "j4").batch(70, last=True))
    watching.finish()

    run = watching.snapshot()
    assert (run["verdict"], run["violations"]["sessions"]) == ("inconclusive", 0)
    assert "worker7 was lost before its first word" in run["because"]
