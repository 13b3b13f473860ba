"""Clients that never stop publishing; everything they see becomes the history."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from onejob_contract.history import Operation, OperationKind, Outcome
from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import small_jpeg, small_png

_TIMEOUT_S = 4.0
_POLL_EVERY_S = 0.03
_OUTCOMES = {
    (OperationKind.PUBLISH, 200): Outcome.GRANTED,
    (OperationKind.PUBLISH, 429): Outcome.BUSY,
    (OperationKind.UPDATE, 200): Outcome.OK,
    (OperationKind.UPDATE, 404): Outcome.NOT_FOUND,
    (OperationKind.STATUS, 404): Outcome.NOT_FOUND,
}


@dataclass(slots=True)
class Record:
    """What all clients saw; `odd` counts answers that the document does not know."""

    history: list[Operation] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def granted(self) -> set[str]:
        """Return every job that was answered with 200."""
        return {
            operation.job
            for operation in list(self.history)
            if operation.outcome is Outcome.GRANTED and operation.job is not None
        }


class Client:
    """One client on one connection; reconnects by itself, repeats nothing."""

    def __init__(self, name: str, port: int, record: Record) -> None:
        self._name = name
        self._port = port
        self._record = record
        self._connection: http.client.HTTPConnection | None = None

    def publish(self, session: str) -> str | None:
        """Publish and return the job id, None unless it was granted."""
        form = encode(publish_parts(session, small_png(1), small_jpeg(2)))
        headers = {"Content-Type": form.content_type}
        done = self._ask(
            OperationKind.PUBLISH, "POST", "/publish", form.body, headers, session=session
        )
        return done.job if done is not None and done.outcome is Outcome.GRANTED else None

    def status(self, job: str) -> str | None:
        """Return the URL of the result, None unless the job is known to be completed."""
        done = self._ask(OperationKind.STATUS, "GET", f"/status/{job}", None, {}, job=job)
        return done.url if done is not None and done.outcome is Outcome.COMPLETED else None

    def update(self, job: str, url: str) -> None:
        """Report a job that was completed before."""
        body = json.dumps({"jobId": job, "resultUrl": url}).encode()
        headers = {"Content-Type": "application/json"}
        self._ask(OperationKind.UPDATE, "POST", "/update_status", body, headers, job=job, url=url)

    def _ask(
        self,
        kind: OperationKind,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        *,
        session: str | None = None,
        job: str | None = None,
        url: str | None = None,
    ) -> Operation | None:
        """Make one request; return its record, None if it certainly had no effect."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=_TIMEOUT_S
            )
            try:
                self._connection.connect()
            except OSError:
                self._connection = None
                time.sleep(0.05)
                return None
        invoked = time.monotonic_ns()
        returned: int | None = None
        outcome = Outcome.UNKNOWN
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            told = json.loads(answer.read())
            status, returned = answer.status, time.monotonic_ns()
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            self._connection = None
        else:
            if kind is OperationKind.PUBLISH and status == 400:
                self._record.refused[told["error"]] += 1
                return None
            if kind is OperationKind.STATUS and status == 200:
                outcome, url = Outcome(told["status"]), told.get("image_url")
            else:
                outcome = _OUTCOMES.get((kind, status), Outcome.UNKNOWN)
            if outcome is Outcome.GRANTED:
                job = told["jobId"]
            if outcome is Outcome.UNKNOWN:
                self._record.odd[f"{kind} {status} {told.get('error')}"] += 1
                returned = None
        operation = Operation(session, self._name, kind, job, url, invoked, returned, outcome)
        self._record.history.append(operation)
        return operation


class Crowd:
    """Clients in threads: publish, watch the job to its end, now and then repeat an old report."""

    def __init__(self, port: int, sessions: list[str], size: int, seed: int) -> None:
        self.record = Record()
        self._port = port
        self._sessions = sessions
        self._at_work = threading.Event()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._live, args=(f"client {n}", Random(f"{seed} {n}")))
            for n in range(size)
        ]

    def start(self) -> None:
        """Let them all begin."""
        for thread in self._threads:
            thread.start()

    def work(self) -> None:
        """Let them publish."""
        self._at_work.set()

    def rest(self) -> None:
        """Let them finish their requests and wait."""
        self._at_work.clear()

    def stop(self) -> None:
        """Let each finish its request and end."""
        self._stop.set()
        self._at_work.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _live(self, name: str, random: Random) -> None:
        client = Client(name, self._port, self.record)
        finished: list[tuple[str, str]] = []
        while self._at_work.wait() and not self._stop.is_set():
            job = client.publish(random.choice(self._sessions))
            while job is not None and self._at_work.is_set() and not self._stop.wait(_POLL_EVERY_S):
                if (url := client.status(job)) is not None:
                    finished.append((job, url))
                    break
            if finished and random.random() < 0.2:
                client.update(*random.choice(finished))
            self._stop.wait(random.uniform(0, 0.05))
