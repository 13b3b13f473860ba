"""Result images: files the worker writes and the server shows at `/results/<name>`."""

from __future__ import annotations

import os
from pathlib import Path


class Results:
    """Result images below `root`, linked under the server's `url`."""

    def __init__(self, root: Path, url: str) -> None:
        self._root = root
        self._url = url.rstrip("/")

    def keep(self, job_id: str, attempt: int, png: bytes) -> str:
        """Write the image and return its URL.

        Each attempt has its own file: a worker that lost its claim cannot overwrite what its
        successor reported. Raises OSError.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        path = self._path(job_id, attempt)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(png)
        os.replace(unfinished, path)
        return f"{self._url}/results/{path.name}"

    def drop(self, job_id: str, attempt: int) -> None:
        """Remove an image nobody was told of."""
        self._path(job_id, attempt).unlink(missing_ok=True)

    def _path(self, job_id: str, attempt: int) -> Path:
        return self._root / f"{job_id}.{attempt}.png"
