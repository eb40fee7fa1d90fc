"""Free loopback ports that stay ours.

"Bind port 0, close, use the number" is a race, and Larder's SO_REUSEPORT listeners would not
even notice a clash: two proxies would share the port. So each port is reserved by a lock file
for the life of this process, in a range below the kernel's ephemeral ports.
"""

import fcntl
import os
import random
import socket
import tempfile

FIRST, LAST = 20000, 32000
_held = []


def _lock_dir():
    path = os.path.join(tempfile.gettempdir(), f"larder-ports-{os.getuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def _reserve(port):
    fd = os.open(os.path.join(_lock_dir(), str(port)), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return False
    # Without SO_REUSEADDR or SO_REUSEPORT: fails when anybody listens or lingers there.
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            os.close(fd)
            return False
    _held.append(fd)
    return True


def free_port():
    """A TCP port on 127.0.0.1 that no other test process gets while this one lives."""
    for _ in range(1000):
        port = random.randrange(FIRST, LAST)
        if _reserve(port):
            return port
    raise RuntimeError("no free port found")
