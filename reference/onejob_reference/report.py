"""Report a finished job to `POST /update_status`, again and again until it is answered."""

from __future__ import annotations

import enum
import random
import threading
from pathlib import Path

import requests
import structlog

_TIMEOUT_S = (2.0, 10.0)
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

log = structlog.get_logger()


class Answer(enum.Enum):
    """What became of a report."""

    TAKEN = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN = enum.auto()


class Reporter:
    """Reports to the server at `url`; `stop` ends the retries, and the lease hands the job on.

    `authorities` is a file of the certificates to trust instead of the public authorities'.
    """

    def __init__(
        self, url: str, secret: str, stop: threading.Event, authorities: Path | None = None
    ) -> None:
        self._endpoint = f"{url.rstrip('/')}/update_status"
        self._stop = stop
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy meant for the internet has no part in this
        if authorities is not None:
            self._session.verify = str(authorities)
        if secret:
            self._session.headers["Authorization"] = f"Bearer {secret}"

    def report(self, job_id: str, result_url: str, lost: threading.Event) -> Answer:
        """Return what the server answered: REFUSED if the job was completed by someone else.

        UNKNOWN if the claim was lost or the worker has to stop before there is an answer; the
        server may have taken the report all the same.
        """
        pause = _FIRST_PAUSE_S
        while not lost.is_set():
            status = self._post(job_id, result_url)
            if status is not None and status < 500:
                if status not in {200, 404}:
                    log.error("report refused", status=status, job=job_id)
                return Answer.TAKEN if status == 200 else Answer.REFUSED
            if self._stop.wait(pause * random.uniform(0.5, 1.0)):
                break
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        return Answer.UNKNOWN

    def _post(self, job_id: str, result_url: str) -> int | None:
        try:
            answer = self._session.post(
                self._endpoint,
                json={"jobId": job_id, "resultUrl": result_url},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError:
            log.warning("no trust in the server's certificate; see --authorities", job=job_id)
            return None
        except requests.RequestException as failure:
            log.warning("report not answered", reason=type(failure).__name__, job=job_id)
            return None
        return answer.status_code
