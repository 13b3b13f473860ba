"""Job ids: random, so that nobody guesses another's job or result."""

from __future__ import annotations

import uuid


def new_job_id() -> str:
    """Return an id no job ever had."""
    return str(uuid.uuid4())


def is_job_id(text: str) -> bool:
    """Whether we could have given this id: only then does it reach a database or a path."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
