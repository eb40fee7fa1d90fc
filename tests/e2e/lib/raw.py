"""A client that sends exactly the bytes it is told and reads answers with h11.

h11 is written independently of Larder and of llhttp, so it also checks the framing of what
Larder sends.
"""

import socket
import ssl
import struct
import time

import h11


class Response:
    """One answer. `headers` is a list of (name, value) in lower-case name and str value."""

    def __init__(self, version, status, reason, headers, body, interim, raw, trailers):
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.interim = interim
        self.raw = raw
        self.trailers = trailers

    def header(self, name, default=None):
        """All values of the field joined by ", ", as RFC 9110 allows, or the default."""
        values = self.all(name)
        return ", ".join(values) if values else default

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        import json
        return json.loads(self.body)

    @property
    def x_cache(self):
        return self.header("x-cache")

    def __repr__(self):
        return f"<Response {self.status} {self.headers!r} {self.body[:200]!r}>"


class Truncated(AssertionError):
    """The peer closed or reset before the answer was complete. `partial` is what came."""

    def __init__(self, message, partial):
        super().__init__(message)
        self.partial = partial


def encode_request(method, target, headers=(), body=b"", host="localhost", version="1.1"):
    """Request bytes; adds Host and Content-Length unless `headers` has them."""
    if isinstance(headers, dict):
        headers = list(headers.items())
    if isinstance(body, str):
        body = body.encode()
    names = {n.lower() for n, _ in headers}
    lines = [f"{method} {target} HTTP/{version}"]
    if "host" not in names and host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{n}: {v}" for n, v in headers]
    unsafe = method not in ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "CONNECT")
    if (body or unsafe) and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class RawClient:
    """One connection. Every read has a deadline (`timeout` seconds, for the whole answer)."""

    def __init__(self, port, host="127.0.0.1", timeout=10.0, tls=None, server_name=None,
                 source=None, unix=None, rcvbuf=None):
        self.timeout = timeout
        self._pending = b""
        self._eof = False
        if unix:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(unix)
        else:
            self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.sock.settimeout(timeout)
            if rcvbuf:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            if source:
                self.sock.bind((source, 0))
            self.sock.connect((host, port))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            # An end without close_notify is a reset, not an end.
            self.sock = tls.wrap_socket(self.sock, server_hostname=server_name or "localhost",
                                        suppress_ragged_eofs=False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- sending

    def send(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def half_close(self):
        """FIN: nothing more comes from us, we still read."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def request(self, method, target, headers=(), body=b"", **kw):
        """Sends a well-formed request and reads its answer."""
        self.send(encode_request(method, target, headers, body, **kw))
        return self.read_response(method)

    def get(self, target, headers=(), **kw):
        return self.request("GET", target, headers, **kw)

    # ---- reading

    def _recv(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no more bytes within the deadline")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except ssl.SSLEOFError as e:
            raise ConnectionResetError(str(e)) from None
        if not data:
            self._eof = True
        return data

    def read_response(self, method="GET", timeout=None, upgrade=False):
        """The next answer. Interim 1xx answers are in `.interim` as (status, headers).

        With upgrade=True a 101 ends the reading: it is returned as the answer, and what comes
        after it is read with read_some(). Raises Truncated when the peer ends too early,
        TimeoutError when it takes too long, h11.RemoteProtocolError when it is not HTTP.
        """
        deadline = time.monotonic() + (timeout or self.timeout)
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        ask = [("Host", "x")]
        if upgrade:
            ask += [("Connection", "upgrade"), ("Upgrade", "x")]
        parser.send(h11.Request(method=method, target="/", headers=ask))
        parser.send(h11.EndOfMessage())

        head, body, interim, trailers, raw = None, [], [], [], b""

        def feed(data):
            nonlocal raw
            raw += data
            parser.receive_data(data)

        if self._pending:
            data, self._pending = self._pending, b""
            feed(data)
        if self._eof:
            parser.receive_data(b"")
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as e:
                if self._eof:
                    raise Truncated(f"answer cut short: {e}", raw) from None
                raise
            if event is h11.NEED_DATA:
                if self._eof:
                    raise Truncated("connection closed in the middle of an answer", raw)
                try:
                    data = self._recv(deadline)
                except ConnectionResetError:
                    raise Truncated("connection reset in the middle of an answer", raw) from None
                if data:
                    feed(data)
                else:
                    parser.receive_data(b"")
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    head = event
                    break
                interim.append((event.status_code, _decode(event.headers)))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                trailers = _decode(event.headers)
                break
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                raise Truncated("connection closed before an answer", raw)
        rest = bytes(parser.trailing_data[0])
        self._pending = rest
        return Response(head.http_version.decode(), head.status_code, head.reason.decode("latin-1"),
                        _decode(head.headers), b"".join(body), interim,
                        raw[:len(raw) - len(rest)] if rest else raw, trailers)

    def read_some(self, timeout=None):
        """Bytes as they come, at least one; b"" at the end."""
        if self._pending:
            data, self._pending = self._pending, b""
            return data
        return self._recv(time.monotonic() + (timeout or self.timeout))

    def read_until(self, marker, timeout=None):
        """Raw bytes up to and including the marker."""
        deadline = time.monotonic() + (timeout or self.timeout)
        data = self._pending
        self._pending = b""
        while marker not in data:
            more = self._recv(deadline)
            if not more:
                raise Truncated(f"closed before {marker!r}", data)
            data += more
        end = data.index(marker) + len(marker)
        self._pending = data[end:]
        return data[:end]

    def read_all(self, timeout=None):
        """Raw bytes until the peer closes or resets."""
        deadline = time.monotonic() + (timeout or self.timeout)
        data = self._pending
        self._pending = b""
        while not self._eof:
            try:
                data += self._recv(deadline)
            except ConnectionResetError:
                self._eof = True
        return data

    def closed(self, timeout=None):
        """True when the peer closes or resets within the timeout without sending any byte."""
        if self._pending:
            return False
        try:
            return self._recv(time.monotonic() + (timeout or self.timeout)) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def quiet(self, seconds=0.2):
        """True when nothing at all (no byte, no close) comes for so long."""
        if self._pending:
            return False
        try:
            data = self._recv(time.monotonic() + seconds)
        except TimeoutError:
            return True
        self._pending = data
        return False


def _decode(headers):
    return [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in headers]


def fetch(port, method, target, headers=(), body=b"", timeout=10.0, source=None, **kw):
    """One request on a connection of its own (from the address `source`)."""
    with RawClient(port, timeout=timeout, source=source) as c:
        return c.request(method, target, headers, body, **kw)
