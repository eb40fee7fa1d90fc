"""Two proxies on one Redis of any form, and a racer (lib.racer) that reads and writes through both
from the first moment on. Judged as in test_redis_property.py: nothing older than an acknowledged
write, on its own node ever, elsewhere not after max_lag unless it is marked; no error.

    race = RacedNodes(folder, redis_url, delay=60, clients=16, pace=2000)
    race.acknowledged(10)            # so many more invalidations, not pending
    race.verdict("masters change")   # the end: asserts that nothing was wrong
    race.close()
"""

import os

from .larder import Larder
from .ports import free_port
from .racer import Racer
from .wait import eventually

SEED = int(os.environ.get("SOAK_SEED", 1))
MAX_LAG = 500
CONF = """
workers 2
log off
redis %REDIS% prefix=race budget=100ms max_lag=500ms
state_dir %STATE%
upstream main %ORIGIN% max_fails=0
route GET /r/{key} { scope public; key r:{key}; tag t:{key} all; ttl 60s }
route POST /r/{key}   { invalidate r:{key} }
route PUT /r/{key}    { invalidate tag:t:{key} }
route DELETE /r/{key} { invalidate r:{key} r:k? }
"""


class RacedNodes:
    def __init__(self, folder, redis, **racer):
        origin, ports = free_port(), [free_port(), free_port()]
        self.racer = Racer(folder, ports, origin, max_lag=MAX_LAG, seed=SEED, writes=5,
                           resources=60, confirm=50, **racer)
        self.nodes = []
        try:
            for n, port in enumerate(ports):
                state = folder / f"state{n}"
                state.mkdir()
                self.nodes.append(Larder(folder, CONF, name=f"node{n}", port=port, redis=redis,
                                         origin=f"http://127.0.0.1:{origin}", state=state))
            self.racer.start()
        except BaseException:
            self.close()
            raise

    def violations(self):
        return self.racer.figures()["violations"]

    def acknowledged(self, more):
        """Waits for so many more invalidations that are acknowledged, not pending."""
        def count():
            figures = self.racer.figures()
            return figures["writes"] - figures["pending"]
        so_far = count()
        eventually(lambda: count() >= so_far + more, 30, "writes are acknowledged (again)")

    def verdict(self, what):
        """Stops the racer; its figures, and a text of them for assertions of the caller's."""
        self.acknowledged(10)
        figures = self.racer.stop()
        text = f"{what}, seed {SEED}: {figures}"
        print(text)
        assert figures["violations"] == 0, text
        assert figures["errors"] == 0 and figures["lost"] == 0, text
        eventually(lambda: self.racer.behind() == 0, 30, f"every node shows the newest; {text}")
        return figures, text

    def close(self):
        self.racer.close()
        for node in self.nodes:
            node.finish()
