"""Sessions and reports that all front ends of a Redis share. Ring: adapter (network)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

from cloud.fleet.fleet import KEPT_DAYS, MOST_EDGES, Heard, News
from cloud.redis_engine.link import RedisLink
from shared.access.sessions import SeenSession

_SESSION = TypeAdapter(SeenSession)
_DAY_S = 86_400

# KEYS: reports, order. ARGV: most edges, seconds they are kept, then name and report of each. By Redis' own clock.
_PUT = """
local now = redis.call('TIME')
local at = now[1] + now[2] / 1000000
for n = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1])
  redis.call('ZADD', KEYS[2], at, ARGV[n])
end
local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at - ARGV[2], 'LIMIT', 0, 1000)
local many = redis.call('ZRANGE', KEYS[2], 0, -1 - ARGV[1])
for _, gone in ipairs({old, many}) do
  for _, name in ipairs(gone) do
    redis.call('HDEL', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
  end
end
"""

# KEYS: reports, order. ARGV: since when. Gives the newest time, and each report since then.
_NEWS = """
local names = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[1], '+inf')
local told = {tostring(ARGV[1])}
for _, name in ipairs(names) do
  told[1] = redis.call('ZSCORE', KEYS[2], name)
  told[#told + 1] = redis.call('HGET', KEYS[1], name)
end
return told
"""


class RedisState:
    """Keys `session:…`, `edges` and `edges:order`, see `cloud.kept_state.KeptState`."""

    trouble = None  # that Redis is away is told by the house

    def __init__(self, link: RedisLink, *, idle_s: float) -> None:
        """Keep the connection, which becomes ours; a session that nobody uses is forgotten after `idle_s`."""
        self._link = link
        self._idle_s = max(1, round(idle_s))
        self._put = link.client.register_script(_PUT)
        self._news = link.client.register_script(_NEWS)
        self._keys = [link.key("edges"), link.key("edges:order")]

    def load(self, key: str) -> SeenSession | None:
        """Give a session; what another version wrote is none."""
        text = self._link.ask(lambda: self._link.client.get(self._name(key)))
        with suppress(ValidationError):
            return None if text is None else _SESSION.validate_json(text)
        return None

    def save(self, key: str, seen: SeenSession) -> None:
        """Keep a session until it is over by itself."""
        text = _SESSION.dump_json(seen)
        self._link.ask(lambda: self._link.client.set(self._name(key), text, ex=self._idle_s))

    def remove(self, key: str) -> None:
        """Forget a session."""
        self._link.ask(lambda: self._link.client.delete(self._name(key)))

    def put(self, heard: Sequence[Heard]) -> None:
        """Keep what edges reported; the oldest go."""
        told: list[str | bytes | int] = [MOST_EDGES, KEPT_DAYS * _DAY_S]
        for one in heard:
            told += [one.report.name, one.to_json()]
        self._link.ask(lambda: self._put(keys=self._keys, args=told))

    def news(self, since: float) -> News:
        """Give what was reported at any front end since then, by Redis' clock."""
        with self._link.guard():
            until, *texts = self._news(keys=self._keys, args=[repr(since)])
            found = (Heard.from_json(text) for text in texts if text)
            return News(heard=tuple(h for h in found if h is not None), until=float(until))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _name(self, key: str) -> str:
        return self._link.key("session", key)
