"""An origin whose resources have versions, and what may be read after a write was answered.

GET /r/KEY answers "KEY VERSION" with the version at the moment the request came, after a delay;
any other method on /r/KEY makes a new version. A read is stale when it was started after the
answer to a write and shows an older version than that write made.
"""

import collections
import random
import threading

from .origin import Sleep, answer


class Versions:
    def __init__(self, origin, delay=0.004, seed=1):
        self.delay = delay
        self.reads = collections.Counter()   # at the origin, by key
        self.written = {}                    # version that a write made, by its field X-Write
        self._versions = collections.Counter()
        self._answered = collections.Counter()
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        origin.default = self._serve

    def _serve(self, exchange):
        key = exchange.request.path.rsplit("/", 1)[1]
        with self._lock:
            if exchange.request.method == "GET":
                self.reads[key] += 1
            else:
                self._versions[key] += 1
                self.written[exchange.request.header("x-write")] = self._versions[key]
            version = self._versions[key]
            pause = self._random.random() * self.delay
        exchange.run(Sleep(pause))
        exchange.run(self.answer(exchange.request, f"{key} {version}".encode()))

    def answer(self, request, body):
        """The answer's bytes or steps; tests may replace it."""
        return answer(200, body, {"Content-Type": "text/plain"})

    def answered(self, key, version):
        """A write's answer has come: reads that start from now on show this version or later."""
        with self._lock:
            self._answered[key] = max(self._answered[key], version)

    def newest(self, key):
        """The version at the origin now."""
        return self._versions[key]

    def floor(self, key):
        """The oldest version that a read of key that starts now may show."""
        return self._answered[key]


def version_of(body, key):
    """The version in an answer's body; it must be key's."""
    name, _, version = body.decode().partition(" ")
    assert name == key, (name, key)
    return int(version)
