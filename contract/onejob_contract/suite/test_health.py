"""GET /health."""

from onejob_contract.checks import proves
from onejob_contract.documented import Answer
from onejob_contract.iut import Iut
from onejob_contract.wire import Request


@proves("HEALTH-OK")
def test_health_says_ok_and_names_the_service(iut: Iut) -> None:
    """Three health checks in a row each answer 200 with both documented members."""
    for _ in range(3):
        iut.health().must_be(Answer.HEALTHY)


@proves("HEALTH-NO-ERRORS")
def test_health_stays_ok_whatever_else_happens(iut: Iut) -> None:
    """Health is asked while a session is busy, and after each kind of refused request."""
    job = iut.active_job()
    iut.health().must_be(Answer.HEALTHY)
    iut.publish(job.session)
    iut.health().must_be(Answer.HEALTHY)
    iut.publish_parts(job.session, iut.parts(job.session)[:1])
    iut.health().must_be(Answer.HEALTHY)
    iut.publish_parts(job.session, iut.parts(job.session)[1:])
    iut.health().must_be(Answer.HEALTHY)
    iut.status(f"no-such-job-{iut.nonce()}")
    iut.health().must_be(Answer.HEALTHY)
    iut.update(f"no-such-job-{iut.nonce()}", iut.new_url())
    iut.health().must_be(Answer.HEALTHY)
    iut.outside(Request("POST", "/update_status", (("Content-Type", "application/json"),), b"{"))
    iut.health().must_be(Answer.HEALTHY)
    if iut.run.surroundings.update_status:
        iut.complete(job)
        iut.health().must_be(Answer.HEALTHY)
    for _ in range(12):
        iut.active_job()
        iut.health().must_be(Answer.HEALTHY)
    for _ in iut.rounds(10, 40, 200):
        iut.health().must_be(Answer.HEALTHY)
