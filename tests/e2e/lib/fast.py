"""A client for many requests: keep-alive, answers with Content-Length or chunks, no checks.

lib.raw checks every byte with h11; this one is for tests in which thousands of requests race.
"""

import re
import socket
import threading

_HEAD = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_X_CACHE = re.compile(rb"\r\nX-Cache: (\w+)")


class Answer:
    __slots__ = ("status", "head", "body")

    def __init__(self, status, head, body):
        self.status = status
        self.head = head
        self.body = body

    @property
    def x_cache(self):
        match = _X_CACHE.search(self.head)
        return match.group(1).decode() if match else None

    @property
    def collapsed(self):
        return b"; collapsed" in self.head

    def __repr__(self):
        return f"<{self.head!r} {self.body[:200]!r}>"


class FastClient:
    """One connection, opened again when the proxy closed it. For one thread."""

    def __init__(self, port, timeout=20.0):
        self.port = port
        self.timeout = timeout
        self._sock = None
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._buffer = b""

    def request(self, method, target, headers=(), body=b""):
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{n}: {v}" for n, v in headers]
        if body or method not in ("GET", "HEAD", "DELETE"):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self.read(method)

    def get(self, target, headers=()):
        return self.request("GET", target, headers)

    def send(self, data):
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.sendall(data)

    def read(self, method="GET"):
        end = self._fill(b"\r\n\r\n")
        head, self._buffer = self._buffer[:end], self._buffer[end:]
        status = int(_HEAD.match(head).group(1))
        body = b""
        if method != "HEAD" and status not in (204, 304):
            length = _LENGTH.search(head)
            body = self._take(int(length.group(1))) if length else self._chunks()
        if b"\r\nConnection: close" in head:
            self.close()
        return Answer(status, head, body)

    def _more(self):
        data = self._sock.recv(65536)
        if not data:
            self.close()
            raise ConnectionResetError("closed in the middle of an answer")
        self._buffer += data

    def _fill(self, marker):
        while marker not in self._buffer:
            self._more()
        return self._buffer.index(marker) + len(marker)

    def _take(self, n):
        while len(self._buffer) < n:
            self._more()
        data, self._buffer = self._buffer[:n], self._buffer[n:]
        return data

    def _chunks(self):
        body = b""
        while True:
            size = int(self._take(self._fill(b"\r\n")), 16)
            body += self._take(size)
            self._take(2)
            if size == 0:
                return body


class Crew:
    """Threads that run until stop(), or until each has done its part; errors are kept.

        crew = Crew()
        crew.start(reader, 1); crew.start(writer)
        crew.join()                      # raises the first error
    """

    def __init__(self):
        self.stopping = threading.Event()
        self.errors = []
        self._threads = []

    def start(self, run, *args):
        def guarded():
            try:
                run(*args)
            except BaseException as e:  # noqa: B036 - shown by join()
                self.errors.append(e)
                self.stopping.set()
        t = threading.Thread(target=guarded, daemon=True)
        self._threads.append(t)
        t.start()

    def busy(self):
        """Is one of them still running?"""
        return any(t.is_alive() for t in self._threads)

    def join(self, timeout=60):
        for t in self._threads:
            t.join(timeout)
            assert not t.is_alive(), "a client hangs"
        if self.errors:
            raise self.errors[0]

    def stop(self):
        self.stopping.set()
        self.join()
