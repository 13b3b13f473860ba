"""Before the first check: whether there is a server, of this API, and what can be seen of it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from onejob_contract.client import Client, publish_request
from onejob_contract.documented import FAILURES, Answer, Call
from onejob_contract.leftovers import Leftover, folder, leftovers
from onejob_contract.places import MANY, Places
from onejob_contract.races import rendezvous
from onejob_contract.run import SLOW_S, Surroundings
from onejob_contract.steps import Step
from onejob_contract.target import Target, WorkerMode
from onejob_contract.wire import Connection, Exchange, Request, Trouble, WireError
from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import small_jpeg, small_pairs, small_png

WHO = "preflight"
_MUCH_LONGER = 5
"""A connection that takes so many times as long as one alone waits until that is closed."""
_MOST_HELD = 24
"""So many requests of the widest race are held back together."""
_QUEUED_S = 0.5
"""A connection that takes longer found the server's queue full: the kernel asks again after 1 s."""
_BESIDE_EACH_OTHER = 8
_HARDLY_LONGER = 2
_A_RACE = 2
_HIDDEN = (401, 403, 405, 407, 501)
_CUT_OFF = (Trouble.CLOSED, Trouble.STALE)
_LONGEST_QUEUE = 5
"""Nobody waits for others longer than this fraction of the deadline."""


class NotJudgeable(Exception):
    """The target cannot be judged: one sentence that says why and what to do (exit 3)."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the first requests showed. `server` is what the server calls itself.

    `one_at_a_time` says that a kept connection blocks all others, so none is kept. `left_active`
    are jobs that it began and did not complete, with their sessions.
    """

    surroundings: Surroundings
    server: str
    first_steps: tuple[Step, ...]
    one_at_a_time: bool
    left_active: Mapping[str, str]


def left_injected(target: Target) -> list[Leftover]:
    """The faults of the target that are injected. Raises NotJudgeable if that cannot be told."""
    try:
        return leftovers(str(target.origin))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotJudgeable(
            f"the notes of injected faults in {folder()} cannot be read ({error}); "
            "remove what is damaged there"
        ) from None


def must_be_whole(target: Target) -> None:
    """Raise NotJudgeable while a fault is injected, by a run that died or by one beside ours."""
    left = left_injected(target)
    if left:
        raise NotJudgeable(
            f"{target.origin} is broken on purpose: {left[0].told()}. "
            + (
                "Wait until that run has ended."
                if left[0].is_in_use
                else f"Heal it with `onejob doctor {target.origin} --heal`."
            )
        )


def look(client: Client, patience_s: float) -> Preflight:
    """Look at the target with a handful of requests. Raises NotJudgeable.

    Where /update_status is out of reach a live worker is waited for, `patience_s` at most.
    """
    target = client.target
    url = str(target.origin)
    began = time.monotonic()
    health = _first(client, url)
    latencies = [time.monotonic() - began]
    one_at_a_time = _blocks_others(client)
    if one_at_a_time:
        client.keep_alive = False
    client.places = Places(_room(client, latencies[0]))
    if client.places.number < MANY:
        client.keep_alive = False  # each kept connection may hold one of the server's threads
    session = f"onejob-preflight-{client.token}"
    for pair in small_pairs():
        form = encode(publish_parts(session, *pair))
        publish = client.publish(session, form, WHO)
        if publish.answer not in FAILURES:
            break
    unknown = client.status(f"onejob-no-such-job-{client.token}", WHO)
    steps = (health, publish, unknown)
    _must_be_this_api(steps, url)
    latencies += [_seconds(step.exchange) for step in (publish, unknown)]
    warm: list[float] = []
    reachable, reason, live = target.update_status, "declared in the target file", False
    left_active: dict[str, str] = {}
    if publish.granted_job is not None:
        refused = client.publish(session, form, WHO)
        update, live, completed, why = _who_completes(client, publish.granted_job)
        latencies.append(_seconds(update.exchange))
        another = f"{session}-2"
        form = encode(publish_parts(another, small_png(1), small_jpeg(1)))
        again = client.publish(another, form, WHO)
        # The second of its kind is no cold start.
        warm = [_seconds(step.exchange) for step in (refused, again)]
        if refused.granted_job is not None:
            _who_completes(client, refused.granted_job)
        if again.granted_job is not None:
            left_active[again.granted_job] = another
        if reachable is None:
            reachable, reason = completed, why
        if not reachable and not live:
            live = _worker_finishes(client, publish.granted_job, patience_s)
    pace_s = statistics.mean([*sorted(latencies)[:-1], *warm])
    if pace_s > SLOW_S:
        # Answers may take any time: the slowest is compared, but not a cold start.
        queue = _short_queue(client, max([*sorted(latencies)[:-1], *warm]), left_active)
        client.places = Places(min(client.places.number, queue), in_turn=queue < MANY)
    if reachable is not False:
        _complete(client, left_active)
    surroundings = Surroundings(
        latency_s=statistics.median([*latencies, *warm]),
        pace_s=pace_s,
        update_status=reachable if reachable is not None else True,
        update_status_reason=reason,
        live_worker=live or target.worker is WorkerMode.LIVE,
    )
    server = health.exchange.response.header("Server") if health.exchange.response else None
    return Preflight(surroundings, server or "unnamed", steps, one_at_a_time, left_active)


def _first(client: Client, url: str) -> Step:
    """The very first request, whose failure says most."""
    step = client.recorded(Call.HEALTH, client.send(Request("GET", "/health"), WHO), WHO)
    exchange = step.exchange
    if "CERTIFICATE_VERIFY_FAILED" in exchange.detail:
        raise NotJudgeable(
            f"{url} has a certificate that nobody here trusts: {exchange.detail}. If it is your "
            "own, set SSL_CERT_FILE to the file of the certificate."
        )
    if exchange.trouble is Trouble.REFUSED:
        raise NotJudgeable(
            f"{url} cannot be reached: {exchange.detail}. Is the server running, and on this port?"
        )
    if exchange.response is None and exchange.trouble is not Trouble.TOO_LARGE:
        again = client.send(Request("GET", "/"), WHO)
        if again.response is None:
            raise NotJudgeable(
                f"{url} accepts connections but does not answer in HTTP ({exchange.trouble}: "
                f"{exchange.detail}). Is it another service, or https instead of http?"
            )
    return step


def _must_be_this_api(steps: tuple[Step, ...], url: str) -> None:
    """A server is this API, however broken, if anything it says resembles it."""
    health, publish = (step.exchange.response for step in steps[:2])
    resembles = (
        (health is not None and health.status == 200)
        or (publish is not None and publish.status in (200, 429))
        or any(step.reading.answer is not None for step in steps)
        or any(
            isinstance(step.reading.body, dict)
            and {"error", "status", "jobId"} & step.reading.body.keys()
            for step in steps
        )
    )
    if not resembles:
        shown = "; ".join(
            f"{step.exchange.request.method} {step.exchange.request.target.split('onejob-')[0]} -> "
            f"{step.reading.actual[:60]!r}"
            for step in steps
        )
        raise NotJudgeable(
            f"{url} is something else: none of its answers resembles this API ({shown}). "
            "Is the port right, and the path prefix part of the URL?"
        )


def _who_completes(client: Client, job: str) -> tuple[Step, bool, bool, str]:
    """The update; was a live worker faster than us, is update_status ours to use, and why."""
    before = client.status(job, WHO)
    live = before.answer is Answer.COMPLETED
    url = f"https://results.example.com/{client.token}-preflight.png"
    update = client.update(job, url, WHO)
    if update.exchange.trouble in _CUT_OFF:
        update = client.update(job, url, WHO)
        if update.exchange.trouble in _CUT_OFF:
            return update, live, False, "it closes the connection without an answer"
    response = update.exchange.response
    if update.answer is not None or response is None:
        return update, live, True, "it answers as documented"
    scheme = client.target.origin.scheme
    leads_away = response.status // 100 == 3 and not _leads_back(update, scheme)
    if response.status in _HIDDEN or leads_away:
        return update, live, False, f"it answers {response.status}"
    if response.status == 404:
        other = client.send(Request("POST", f"/onejob-no-such-route-{client.token}"), WHO).response
        if other is not None and other.status == 404:
            return update, live, False, "it answers 404 like a route that does not exist"
    return update, live, True, "it answers"


def _leads_back(redirected: Step, scheme: str) -> bool:
    """Whether a redirect leads to the same route, with a slash more or less at its end."""
    response, request = redirected.exchange.response, redirected.exchange.request
    location = urlsplit((response and response.header("Location")) or "")
    is_elsewhere = location.scheme not in ("", scheme)
    return not is_elsewhere and location.path.rstrip("/").endswith(request.target)


def watch_for_worker(client: Client, patience_s: float) -> float | None:
    """Leave a job alone, and say after how many seconds the server's own worker completed it.

    Returns None if that did not happen within `patience_s`; then the job is completed by us.
    """
    session = f"onejob-watch-{client.token}"
    form = encode(publish_parts(session, small_png(1), small_jpeg(1)))
    began = time.monotonic()
    request = publish_request(form)
    publish = client.recorded(Call.PUBLISH, client.send(request, WHO), WHO, session=session)
    job = publish.granted_job
    if job is None:
        return None
    if _worker_finishes(client, job, patience_s):
        return time.monotonic() - began
    client.update(job, f"https://results.example.com/{client.token}-watched.png", WHO)
    return None


def _worker_finishes(client: Client, job: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    pause = threading.Event()
    while time.monotonic() < deadline:
        if client.status(job, WHO).answer is Answer.COMPLETED:
            return True
        pause.wait(0.05)
    return False


def _blocks_others(client: Client) -> bool:
    """Whether an idle kept connection keeps a second one waiting, as one-thread servers do."""
    if not client.keep_alive:
        return True
    deadline = time.monotonic() + client.target.response_timeout_s
    try:
        first = client.connection(deadline)
    except WireError:
        return True
    began = time.monotonic()
    try:
        first.send(client.stamped(Request("GET", "/health"), WHO), deadline)
        first.receive(deadline)
    except WireError:
        first.close()
        return True
    answered = threading.Event()

    def ask() -> None:
        with suppress(WireError), closing(Connection(client.target.origin, deadline)) as second:
            second.send(client.stamped(Request("GET", "/health"), WHO), deadline)
            second.receive(deadline)
            answered.set()

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    alone_s = time.monotonic() - began
    blocked = not answered.wait(max(_QUEUED_S, _MUCH_LONGER * alone_s))
    client.give_back(first, reusable=not blocked)
    asker.join(client.target.response_timeout_s)
    return blocked


def _room(client: Client, alone_s: float) -> int:
    """How many connections the server serves side by side; MANY if it serves all that are tried.

    Some let in only so many requests that are not complete yet; others answer only so many
    connections that stay open, and the next one when one of those is closed. One place is left
    free if a race is possible without it: what the kit closed may still stand in the queue.
    `alone_s` is how long one answer took.
    """
    if client.target.origin.scheme == "https":
        return MANY  # a handshake needs the server's attention already
    client.close()  # what is kept may hold one of the server's threads
    held: list[Connection] = []
    request = client.stamped(Request("GET", "/health"), WHO)
    deadline = time.monotonic() + client.target.response_timeout_s
    try:
        for _ in range(_MOST_HELD):
            held.append(Connection(client.target.origin, time.monotonic() + _QUEUED_S))
            held[-1].send_head(request, deadline)
    except WireError:
        pass
    for connection in held:
        with suppress(WireError):
            connection.send_tail(deadline)
    in_turn_s = time.monotonic() + _QUEUED_S + _MUCH_LONGER * alone_s * len(held)
    answered = 0
    for connection in held:
        with suppress(WireError):
            connection.receive(min(deadline, in_turn_s))
            answered += 1
    for connection in held:
        connection.close()
    if answered == _MOST_HELD:
        return MANY
    return answered - 1 if answered > _A_RACE else max(1, answered)


def _short_queue(client: Client, alone_s: float, left_active: dict[str, str]) -> int:
    """How many requests may wait in a slow server, by how fast it works on several together.

    MANY if several take hardly longer than one, which takes `alone_s`, or no time to speak of. The
    jobs that it is granted meanwhile are added to those that are `left_active`.
    """
    sessions = [f"onejob-beside-{client.token}-{number}" for number in range(_BESIDE_EACH_OTHER)]
    forms = [encode(publish_parts(one, small_png(1), small_jpeg(1))) for one in sessions]
    began = time.monotonic()
    exchanges = rendezvous(client, [(publish_request(form), WHO) for form in forms])
    together_s = time.monotonic() - began
    for session, exchange in zip(sessions, exchanges, strict=True):
        step = client.recorded(Call.PUBLISH, exchange, WHO, session=session)
        if step.granted_job is not None:
            left_active[step.granted_job] = session
    each_s = together_s / _BESIDE_EACH_OTHER
    if together_s < _HARDLY_LONGER * alone_s or each_s < SLOW_S:
        return MANY
    return max(1, int(client.target.response_timeout_s / _LONGEST_QUEUE / each_s))


def _complete(client: Client, left_active: dict[str, str]) -> None:
    """Complete these jobs: the oldest active job of a server is to be one that a check looks at."""
    url = f"https://results.example.com/{client.token}-preflight.png"
    with ThreadPoolExecutor(1 + _BESIDE_EACH_OTHER) as pool:
        steps = pool.map(lambda job: client.update(job, url, WHO), list(left_active))
    for step in steps:
        if step.answer is Answer.UPDATED and step.job is not None:
            del left_active[step.job]


def _seconds(exchange: Exchange) -> float:
    return (exchange.returned_ns - exchange.invoked_ns) / 1e9
