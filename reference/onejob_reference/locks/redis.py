"""A session lock in Redis; leases run by the clock of Redis.

Taking and freeing are redis-py's `Lock`. Extending is a script of our own, because that
class cannot make a lease permanent.
"""

from __future__ import annotations

import math

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, LockNotOwnedError  # noqa: A004 - of Redis
from redis.lock import Lock
from redis.retry import Retry

_TIMEOUT_S = 1.0
_ANY_TEXT = "surrogatepass"

# KEYS[1] the lock, ARGV[1] the token, ARGV[2] the lease in milliseconds or "" for permanent
_EXTEND = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then
    return 0
end
if ARGV[2] == '' then
    redis.call('persist', KEYS[1])
else
    redis.call('pexpire', KEYS[1], ARGV[2])
end
return 1
"""


class RedisLock:
    """Locks as keys `onejob:lock:<session>` of the Redis behind `redis://HOST:PORT/N`.

    Redis must not evict keys (`maxmemory-policy noeviction`). Methods raise RedisError.
    """

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            encoding_errors=_ANY_TEXT,
            # A connection that broke since its last use is replaced; silence is not repeated.
            retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 2, (ConnectionError,)),
        )
        self._extend = self._redis.register_script(_EXTEND)

    def acquire(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.acquire`."""
        return bool(self._lock(session, lease).acquire(blocking=False, token=token))

    def extend(self, session: str, token: str, lease: float | None) -> bool:
        """See `SessionLock.extend`."""
        milliseconds = "" if lease is None else math.ceil(lease * 1000)
        return bool(self._extend(keys=[_key(session)], args=[token, milliseconds]))

    def release(self, session: str, token: str) -> bool:
        """See `SessionLock.release`."""
        try:
            self._lock(session, None).do_release(token)
        except LockNotOwnedError:
            return False
        return True

    def owner(self, session: str) -> str | None:
        """See `SessionLock.owner`."""
        token = self._redis.get(_key(session))
        return token.decode("utf-8", _ANY_TEXT) if isinstance(token, bytes) else None

    def _lock(self, session: str, lease: float | None) -> Lock:
        return Lock(self._redis, _key(session), timeout=lease, thread_local=False)


def _key(session: str) -> str:
    return f"onejob:lock:{session}"
