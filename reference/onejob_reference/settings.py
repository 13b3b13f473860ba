"""Every setting of server and worker: one frozen object, filled once from options or environment.

Each field is an option of `onejob serve`, `onejob worker` or both, and an environment
variable `ONEJOB_<NAME>`; its help text stands beside it, here and nowhere else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

SERVE = frozenset({"serve"})
WORKER = frozenset({"worker"})
BOTH = SERVE | WORKER


class SettingsError(ValueError):
    """A setting that cannot be used; the text names it and the way out."""


def state_folder() -> Path:
    """Where this user's jobs and results are kept unless the settings say otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "onejob"


def _explained(commands: frozenset[str], text: str) -> dict[str, object]:
    return {"commands": commands, "help": text}


@dataclass(frozen=True, slots=True)
class Settings:
    """What server and workers have to agree on, and what each may choose."""

    database: str = field(
        default_factory=lambda: f"sqlite:///{state_folder() / 'jobs.sqlite3'}",
        metadata=_explained(
            BOTH,
            "Job table: sqlite:///FILE or postgresql://USER@HOST/NAME. "
            "Default: jobs.sqlite3 in $XDG_STATE_HOME/onejob or ~/.local/state/onejob.",
        ),
    )
    lock: str = field(
        default="sql:",
        metadata=_explained(
            SERVE,
            "Session lock: sql: (in the job table's database), sql:DATABASE-URL, "
            "redis://HOST:PORT/N, memory: (one server process only), or a backend that another "
            "package provides.",
        ),
    )
    dispatch: str = field(
        default="local:",
        metadata=_explained(
            BOTH,
            "How workers hear of jobs: local: (they look into the job table) or a Celery broker, "
            "redis://HOST:PORT/N or amqp://USER:PASSWORD@HOST:PORT//.",
        ),
    )
    upload_root: Path = field(
        default=Path("/tmp"),  # noqa: S108 - the document names this folder
        metadata=_explained(BOTH, "Uploads are kept at UPLOAD_ROOT/<jobId>/ until the job ends."),
    )
    result_root: Path = field(
        default_factory=lambda: state_folder() / "results",
        metadata=_explained(
            BOTH, "Folder of the result images. Default: results, beside the default job table."
        ),
    )
    update_secret: str = field(
        default="",
        metadata=_explained(
            BOTH,
            "Secret shared by server and workers; when set, /update_status answers only those "
            "who send it as 'Authorization: Bearer SECRET'.",
        ),
    )
    lease: float = field(
        default=10.0,
        metadata=_explained(
            BOTH,
            "Seconds after which the work of a process that fell silent has passed to another, at "
            "the latest.",
        ),
    )
    bind: str = field(
        default="127.0.0.1:5000",
        metadata=_explained(SERVE, "Address to listen on; port 0 takes a free one."),
    )
    processes: int = field(default=1, metadata=_explained(SERVE, "Server processes."))
    threads: int = field(default=16, metadata=_explained(SERVE, "Threads per server process."))
    max_upload: int = field(
        default=64 * 2**20, metadata=_explained(SERVE, "Largest request body in bytes.")
    )
    certificate: Path | None = field(
        default=None, metadata=_explained(SERVE, "TLS certificate file; serves https.")
    )
    private_key: Path | None = field(
        default=None, metadata=_explained(SERVE, "TLS private key file.")
    )
    metrics_port: int | None = field(
        default=None,
        metadata=_explained(
            SERVE, "Serve Prometheus metrics on this port, at the address of --bind."
        ),
    )
    url: str = field(
        default="http://127.0.0.1:5000",
        metadata=_explained(WORKER, "Where workers reach the server."),
    )
    authorities: Path | None = field(
        default=None,
        metadata=_explained(
            WORKER,
            "Certificates to trust when the server speaks https, such as its own. "
            "Default: those of the public authorities.",
        ),
    )
    result_url: str = field(
        default="",
        metadata=_explained(
            WORKER,
            "What result links start with, if clients reach the server elsewhere than workers.",
        ),
    )
    max_pixels: int = field(
        default=50_000_000,
        metadata=_explained(WORKER, "Images of more pixels than this are not decoded."),
    )
    max_seconds: float = field(
        default=20.0,
        metadata=_explained(WORKER, "Images that take longer than this to decode are given up."),
    )
    max_attempts: int = field(
        default=5,
        metadata=_explained(
            WORKER, "After this many workers died of a job, it ends with a placeholder image."
        ),
    )

    @property
    def claim(self) -> float:
        """Seconds a claim lives unless it is renewed; a job that waits for longer was not heard of.

        The rest of a lease is for whoever takes over.
        """
        return self.lease / 2

    @property
    def patience(self) -> float:
        """Seconds to wait for the answer of a backend, or for an undecided publish."""
        return self.lease / 4

    def __post_init__(self) -> None:
        if self.lock.startswith("memory:") and self.processes > 1:
            raise SettingsError(
                "the lock memory: cannot be shared by several server processes; "
                "use --processes 1, or --lock sql: or redis://..."
            )
        if (self.certificate is None) != (self.private_key is None):
            raise SettingsError("TLS needs both --certificate and --private-key")
