"""The fault matrix (hardening.md section 3), part 2: the way to Redis. No client ever sees an
error, and no reply of Redis ever meets another request.
"""

import time

import pytest

from lib.load import CONF, FAULT, SLOWEST, Load, recovers, serve, warm
from lib.nodes import start_nodes


def cut_anywhere(faults):
    """RST after each number of bytes."""
    for after in list(range(0, 60)) + list(range(60, 4096, 97)):
        faults.cut_after = after
        time.sleep(0.01)
        faults.reset_all()
    faults.cut_after = None


def black_hole(faults):
    faults.hold()
    time.sleep(FAULT)
    faults.release()


def short_holes(faults):
    """Late replies: each must be thrown away with its connection."""
    for _ in range(8):
        faults.hold()
        time.sleep(0.14)
        faults.release()
        time.sleep(0.1)


def refused(faults):
    faults.refuse()
    time.sleep(1.5)
    faults.accept()


def slow(faults):
    faults.delay = 0.3
    time.sleep(FAULT)
    faults.delay = 0


def one_byte_at_a_time(faults):
    faults.piece = 1
    time.sleep(1)
    faults.piece = 0


def garbage(faults):
    """Bytes that are no reply at all, in the middle of replies."""
    for junk in (b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"$-5\r\n", b"*99999999999\r\n", b"\0" * 64,
                 b":12x\r\n", b"$999999999999\r\n", b"*-2\r\n", b"!\r\n", b"+" + b"x" * 70000,
                 b"*1\r\n" * 50):
        faults.rewrite = lambda data, junk=junk: data[:len(data) // 2] + junk + data[len(data) // 2:]
        time.sleep(0.15)
    faults.rewrite = None


def endless_string(faults):
    """A length of 512 MB, and bytes that never end."""
    faults.rewrite = lambda data: b"$536870912\r\n" + data * 50
    time.sleep(1)
    faults.rewrite = None


WAY = [cut_anywhere, black_hole, short_holes, refused, slow, one_byte_at_a_time, garbage,
       endless_string]


@pytest.mark.parametrize("fault", WAY, ids=lambda f: f.__name__)
def test_of_the_way(larder, redis, faults, origin, fault):
    serve(origin)
    nodes = start_nodes(larder, redis, 2, CONF, via=faults, origin=origin.url)
    warm(nodes[0])
    before = max(node.rss() for node in nodes)
    with Load(nodes) as load:
        fault(faults)
        faults.heal()
        recovers(nodes, redis)
    load.check(SLOWEST)
    assert nodes[0].sanitized or max(node.rss() for node in nodes) < before + 40_000_000
    assert redis.commands()["get"] > 200
