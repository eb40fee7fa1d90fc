"""Bodies of any size, made while they are sent and checked while they are received.

Nothing is kept, so a test of 200 MB needs no memory and little time.
"""

import time

from .origin import Gone

PERIOD = 251  # a prime, so that no buffer size hides a shift
_CYCLE = bytes(range(PERIOD)) * 1050  # 263,550 bytes
PIECE = 256 * 1024


def piece(offset, n):
    """The n (at most PIECE) bytes of the endless body from this offset on."""
    start = offset % PERIOD
    return _CYCLE[start:start + n]


class Meter:
    """Takes the body in pieces of any size; `count` bytes were right so far."""

    def __init__(self):
        self.count = 0

    def feed(self, data):
        for at in range(0, len(data), PIECE):
            part = data[at:at + PIECE]
            assert part == piece(self.count, len(part)), f"wrong bytes after {self.count}"
            self.count += len(part)


def send(sock, total, chunked=False, rate=None, progress=None):
    """Sends a body of so many bytes; rate: bytes per second. progress: a list that gets the
    number of bytes sent so far."""
    sock.settimeout(60)
    sent, start = 0, time.monotonic()
    step = PIECE if rate is None else max(1024, min(PIECE, rate // 20))
    while sent < total:
        data = piece(sent, min(step, total - sent))
        sock.sendall(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        sent += len(data)
        if progress is not None:
            progress[:] = [sent]
        if rate is not None:
            time.sleep(max(0, start + sent / rate - time.monotonic()))
    if chunked:
        sock.sendall(b"0\r\n\r\n")


def receive(sock, total, first=b"", rate=None):
    """Receives a body of so many bytes without framing, `first` being its beginning."""
    sock.settimeout(60)
    meter, start = Meter(), time.monotonic()
    meter.feed(first)
    while meter.count < total:
        data = sock.recv(min(PIECE, total - meter.count))
        assert data, f"ended after {meter.count} of {total} bytes"
        meter.feed(data)
        if rate is not None:
            time.sleep(max(0, start + meter.count / rate - time.monotonic()))
    return meter.count


def receive_chunked(sock, first=b"", rate=None):
    """Receives a chunked body to its end; returns its length. Every chunk line is checked."""
    sock.settimeout(60)
    meter, start = Meter(), time.monotonic()
    buffer, left = bytearray(first), 0
    while True:
        if left > 0 and buffer:
            take = min(left, len(buffer))
            meter.feed(bytes(buffer[:min(take, max(0, left - 2))]))
            if left <= 2 or take > left - 2:
                tail = bytes(buffer[max(0, left - 2):take])
                assert b"\r\n".startswith(tail) or b"\r\n".endswith(tail), tail
            del buffer[:take]
            left -= take
            continue
        end = buffer.find(b"\r\n")
        if left == 0 and end >= 0:
            size = int(bytes(buffer[:end]), 16)
            del buffer[:end + 2]
            if size == 0:
                while len(buffer) < 2:
                    buffer += _more(sock, meter)
                assert bytes(buffer) == b"\r\n", bytes(buffer)
                return meter.count
            left = size + 2
            continue
        buffer += _more(sock, meter)
        if rate is not None:
            time.sleep(max(0, start + meter.count / rate - time.monotonic()))


def _more(sock, meter):
    data = sock.recv(PIECE)
    assert data, f"ended after {meter.count} bytes"
    return data


def take_request_body(exchange, rate=None):
    """In an origin's answering function (route with read_body=False): receives the request's
    body; returns its length."""
    request, connection = exchange.request, exchange.connection
    first, connection._buffer = connection._buffer, b""
    if request.header("transfer-encoding"):
        n = receive_chunked(connection.sock, first, rate)
    else:
        n = receive(connection.sock, int(request.header("content-length")), first, rate)
    request.complete = True
    return n


def give(exchange, total, chunked=False, rate=None):
    """In an origin's answering function: sends an answer with a body of so many bytes."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % total
    exchange.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    try:
        send(exchange.connection.sock, total, chunked, rate)
    except OSError as e:
        raise Gone(str(e)) from None
