"""A fake origin: answers with exactly the bytes a test wants, records exactly what it got.

    origin = FakeOrigin().start()
    origin.route("/a", answer(200, b"hello"))            # whenever /a is asked
    origin.route("/b", [b"HTTP/1.1 200 OK\\r\\n", Sleep(0.1), Reset()])
    origin.script(answer(500), answer(200, b"ok"))       # next, in this order, whatever is asked
    origin.requests[0].raw                               # bytes as they came

An answer is bytes, a step (Sleep, Wait, Reset, …), a list of those, or a function
(exchange) -> None. Each connection has its own thread.
"""

import itertools
import socket
import struct
import threading
import time

from .wait import eventually


class Sleep:
    """Goes on after so many seconds (a slow origin is what is tested, not a wait of the test)."""

    def __init__(self, seconds):
        self.seconds = seconds


class Wait:
    """Goes on when the test sets the event (threading.Event)."""

    def __init__(self, event):
        self.event = event


class Reset:
    """Ends the connection with RST."""


class HalfClose:
    """FIN, but goes on reading."""


class Close:
    """Ends the connection with FIN."""


class Hang:
    """Says nothing more until the peer leaves or the origin is stopped."""


class ReadBody:
    """Reads the request's body now (for routes with read_body=False)."""


def answer(status=200, body=b"", headers=(), reason=None, chunked=False, length=True):
    """Bytes of a whole answer. chunked: a list or tuple of bytes, or one, becomes chunks."""
    if isinstance(headers, dict):
        headers = list(headers.items())
    lines = [f"HTTP/1.1 {status} {reason or 'Reason'}"]
    lines += [f"{n}: {v}" for n, v in headers]
    pieces = body if isinstance(body, (list, tuple)) else [body]
    pieces = [p.encode() if isinstance(p, str) else p for p in pieces]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        data = b"".join(chunk(p) for p in pieces if p) + LAST_CHUNK
    else:
        data = b"".join(pieces)
        if length and not any(n.lower() == "content-length" for n, _ in headers):
            if status >= 200 and status not in (204, 304):
                lines.append(f"Content-Length: {len(data)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + data


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


class Gone(Exception):
    """The peer left."""


class Request:
    """What came on the wire. `raw` = head + body with its framing; `body` without framing."""

    def __init__(self, head, connection):
        self.raw_head = head
        self.raw_body = b""
        self.body = b""
        self.connection = connection
        self.time = time.monotonic()
        self.complete = False
        first, *lines = head[:-4].split(b"\r\n")
        parts = first.split(b" ")
        self.method = parts[0].decode("latin-1")
        self.target = parts[1].decode("latin-1") if len(parts) > 1 else ""
        self.version = parts[2].decode("latin-1") if len(parts) > 2 else ""
        self.path = self.target.split("?", 1)[0]
        self.headers = []
        for line in lines:
            name, _, value = line.partition(b":")
            self.headers.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))

    @property
    def raw(self):
        return self.raw_head + self.raw_body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def __repr__(self):
        return f"<Request {self.method} {self.target} {self.headers!r}>"


class Connection:
    """One accepted connection: number (from 0), every byte received, whether it is over."""

    def __init__(self, number, sock):
        self.number = number
        self.sock = sock
        self.received = b""
        self.open = True
        self._buffer = b""

    def recv(self):
        try:
            data = self.sock.recv(65536)
        except OSError as e:
            raise Gone(str(e)) from None
        if not data:
            raise Gone("closed")
        self.received += data
        return data

    def read_until(self, marker):
        while marker not in self._buffer:
            self._buffer += self.recv()
        end = self._buffer.index(marker) + len(marker)
        data, self._buffer = self._buffer[:end], self._buffer[end:]
        return data

    def read_exactly(self, n):
        while len(self._buffer) < n:
            self._buffer += self.recv()
        data, self._buffer = self._buffer[:n], self._buffer[n:]
        return data

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Gone(str(e)) from None

    def reset(self):
        # SHUT_RD wakes nobody by itself; close() with linger 0 sends the RST.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.open = False
        self.sock.close()


class Exchange:
    """What an answering function gets: the request, and the connection to answer on."""

    def __init__(self, origin, connection, request):
        self.origin = origin
        self.connection = connection
        self.request = request

    def send(self, data):
        self.connection.send(data)

    def answer(self, *args, **kw):
        self.send(answer(*args, **kw))

    def read_body(self):
        """The request's body without framing; answers Expect: 100-continue first."""
        r, c = self.request, self.connection
        if r.complete:
            return r.body
        if (r.header("expect") or "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (r.header("transfer-encoding") or "").lower():
            self._read_chunks(r, c)
        elif r.header("content-length"):
            left = int(r.all("content-length")[0])
            while left > 0:
                if not c._buffer:
                    c._buffer = c.recv()
                piece = c._buffer[:left]
                c._buffer = c._buffer[len(piece):]
                r.raw_body += piece
                r.body += piece
                left -= len(piece)
        r.complete = True
        return r.body

    @staticmethod
    def _read_chunks(r, c):
        while True:
            line = c.read_until(b"\r\n")
            r.raw_body += line
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while True:  # trailers, then the empty line
                    line = c.read_until(b"\r\n")
                    r.raw_body += line
                    if line == b"\r\n":
                        return
            data = c.read_exactly(size + 2)
            r.raw_body += data
            r.body += data[:-2]

    def run(self, what):
        """Carries out an answer: bytes, step, list or function."""
        if callable(what):
            what(self)
        elif isinstance(what, (bytes, bytearray)):
            self.send(what)
        elif isinstance(what, (list, tuple)):
            for step in what:
                self.run(step)
        elif isinstance(what, Sleep):
            self.origin._stopping.wait(what.seconds)
        elif isinstance(what, Wait):
            while not what.event.wait(0.05):
                if self.origin._stopping.is_set():
                    raise Gone("origin stopped")
        elif isinstance(what, Reset):
            self.connection.reset()
            raise Gone("reset by the script")
        elif isinstance(what, Close):
            self.connection.close()
            raise Gone("closed by the script")
        elif isinstance(what, HalfClose):
            self.connection.sock.shutdown(socket.SHUT_WR)
        elif isinstance(what, Hang):
            while True:
                self.connection.recv()
        elif isinstance(what, ReadBody):
            self.read_body()
        else:
            raise TypeError(f"not an answer: {what!r}")


class FakeOrigin:
    def __init__(self, port=0, host="127.0.0.1", tls=None):
        self.requests = []
        self.connections = []
        self.default = self._serial_answer
        self.errors = []
        self._serial = itertools.count(1)
        self._routes = {}
        self._script = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._tls = tls
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self.host = host
        self.port = self._listener.getsockname()[1]
        self._threads = []

    # ---- what the test says

    def start(self, backlog=128):
        self._listener.listen(backlog)
        self._spawn(self._accept_loop)
        return self

    def route(self, path, what, method=None, read_body=True):
        """Answers requests for this path (without query), for one method or all."""
        self._routes[(method, path)] = (what, read_body)

    def script(self, *answers, read_body=True):
        """The next requests get these answers, in order, before any route is looked at."""
        with self._lock:
            self._script += [(a, read_body) for a in answers]

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def count(self, path=None, method=None):
        """How many requests came (for this path, with this method)."""
        return len(self.seen(path, method))

    def seen(self, path=None, method=None):
        with self._lock:
            return [r for r in self.requests if path in (None, r.path)
                    and method in (None, r.method)]

    def wait_requests(self, n, path=None, timeout=5.0):
        """Waits until at least n requests came, and returns them."""
        return eventually(lambda: len(self.seen(path)) >= n and self.seen(path), timeout,
                          f"{n} requests at the origin")

    def clear(self):
        """Forgets the requests recorded so far."""
        with self._lock:
            self.requests.clear()

    def stop(self):
        """Closes the port and every connection; a new one can be started on the same port."""
        self._stopping.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for c in list(self.connections):
            try:
                c.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for t in self._threads:
            t.join(5)

    # ---- threads

    def _spawn(self, target, *args):
        t = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(t)
        t.start()

    def _accept_loop(self):
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._serve, sock)

    def _serve(self, sock):
        if self._tls:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                return
        with self._lock:
            connection = Connection(len(self.connections), sock)
            self.connections.append(connection)
        try:
            while not self._stopping.is_set() and self._one_exchange(connection):
                pass
        except Gone:
            pass
        except Exception as e:  # an error in a test's own script must not be lost
            self.errors.append(e)
        finally:
            connection.close()

    def _one_exchange(self, connection):
        request = Request(connection.read_until(b"\r\n\r\n"), connection)
        exchange = Exchange(self, connection, request)
        with self._lock:
            what, read_body = self._pick(request)
            self.requests.append(request)
        if read_body:
            exchange.read_body()
        exchange.run(what)
        if not request.complete:
            exchange.read_body()
        return "close" not in (request.header("connection") or "").lower()

    def _pick(self, request):
        if self._script:
            return self._script.pop(0)
        for key in ((request.method, request.path), (None, request.path)):
            if key in self._routes:
                return self._routes[key]
        return self.default, True

    def _serial_answer(self, exchange):
        """The default: a new number each time, so that fresh and cached can be told apart."""
        body = b"serial %d %s" % (next(self._serial), exchange.request.target.encode("latin-1"))
        if exchange.request.method == "HEAD":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        else:
            exchange.answer(200, body, [("Content-Type", "text/plain")], reason="OK")
