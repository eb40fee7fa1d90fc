"""A command on a terminal of its own."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from .larder import binary


class Terminal:
    """Runs `larder ARGS…` on a pseudo terminal; `text` is all that it has shown."""

    def __init__(self, *args, env=None, rows=40, columns=120):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.text = ""
        self.process = subprocess.Popen(
            [binary(), *map(str, args)], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", "LARDER_TOKEN": "", **(env or {})})
        os.close(slave)

    def read(self, timeout):
        """Takes what comes within the time; False at the end."""
        if not select.select([self.master], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other side is closed
            data = b""
        self.text += data.decode(errors="replace")
        return data != b""

    def wait_for(self, what, after=0, timeout=20):
        """Reads until `what` stands behind the first `after` characters; returns its end."""
        deadline = time.monotonic() + timeout
        while what not in self.text[after:]:
            assert time.monotonic() < deadline, f"no {what!r} in {self.text[after:]!r}"
            assert self.read(0.1), f"ended without {what!r}: {self.text[after:]!r}"
        return self.text.index(what, after) + len(what)

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, timeout=20):
        """Reads to the end; returns the exit code."""
        deadline = time.monotonic() + timeout
        while self.read(0.1):
            assert time.monotonic() < deadline, f"still running: {self.text[-500:]!r}"
        return self.process.wait(timeout)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
