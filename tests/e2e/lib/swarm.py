"""A thousand clients, and an origin for as many requests, each in one thread.

    with Swarm(proxy.port, [get("/a")] * 1000) as swarm:
        swarm.send()
        swarm.taken()
        origin.wait(1)
        gate.open()
        answers = swarm.read()
"""

import asyncio
import re
import resource
import selectors
import socket
import struct
import threading
import time

from .wait import eventually


def raise_fd_limit(wanted=8192):
    """A proxy started afterwards inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def get(target, *headers, method="GET", version="1.1"):
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


# ---- clients


class Answer:
    """status, headers (lower-case names), body; `complete`: its framing came to an end."""

    def __init__(self, method):
        self.method = method
        self.status = None
        self.headers = {}
        self.body = b""
        self.complete = False
        self.ended = None  # "closed" or "reset"
        self.raw = b""
        self._decoded = 0

    @property
    def x_cache(self):
        return self.headers.get("x-cache")

    @property
    def collapsed(self):
        return "collapsed" in self.headers.get("cache-status", "")

    @property
    def detail(self):
        return self.headers.get("cache-status", "").rpartition("detail=")[2]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:80]!r} {self.complete} {self.ended}>"

    def feed(self, data):
        """Takes bytes (b"": the connection has ended); sets `complete` when it is."""
        self.raw += data
        if self.status is None and not self._take_head():
            return
        length = self.headers.get("content-length")
        if self.method == "HEAD" or self.status in (204, 304):
            self.complete = True
        elif "chunked" in self.headers.get("transfer-encoding", ""):
            self._take_chunks()
        elif length is not None:
            self.body = self.raw[self._decoded:]
            self.complete = len(self.body) >= int(length)
            assert len(self.body) <= int(length), "more than Content-Length says"
        else:
            self.body = self.raw[self._decoded:]
            self.complete = data == b""

    def _take_head(self):
        while True:
            end = self.raw.find(b"\r\n\r\n", self._decoded)
            if end < 0:
                return False
            first, *lines = self.raw[self._decoded:end].decode("latin-1").split("\r\n")
            self._decoded = end + 4
            status = int(re.match(r"HTTP/1\.1 (\d{3})", first).group(1))
            if status >= 200:
                break
        self.status = status
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            value = value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        return True

    def _take_chunks(self):
        while not self.complete:
            end = self.raw.find(b"\r\n", self._decoded)
            if end < 0:
                return
            size = int(self.raw[self._decoded:end], 16)
            after = end + 2 + size + 2
            if len(self.raw) < after:
                return
            assert self.raw[after - 2:after] == b"\r\n"
            self.body += self.raw[end + 2:after - 2]
            self._decoded = after
            self.complete = size == 0


class Swarm:
    """One connection for each request. For one thread."""

    def __init__(self, port, requests, timeout=30.0):
        self.port = port
        self.requests = requests
        self.timeout = timeout
        self.socks = [socket.create_connection(("127.0.0.1", port), timeout) for _ in requests]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for s in self.socks:
            s.close()

    def send(self, which=None):
        """Sends the requests (of these numbers), as fast as one thread can."""
        for n in range(len(self.socks)) if which is None else which:
            self.socks[n].sendall(self.requests[n])

    def taken(self):
        """Waits until the proxy has read all that was sent."""
        wanted = f":{self.port:04X}"

        def unread():
            with open("/proc/net/tcp", encoding="ascii") as f:
                rows = [line.split() for line in f.readlines()[1:]]
            return [r for r in rows if r[1].endswith(wanted) and not r[4].endswith(":00000000")]
        eventually(lambda: not unread(), self.timeout, "the proxy reads all requests")

    def abort(self, which):
        """RST from these."""
        for n in which:
            self.socks[n].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socks[n].close()

    def read(self, which=None):
        """Reads until each has its whole answer or has lost its connection: list of Answer."""
        numbers = list(range(len(self.socks)) if which is None else which)
        answers = {n: Answer(self.requests[n].split(b" ", 1)[0].decode()) for n in numbers}
        deadline = time.monotonic() + self.timeout
        with selectors.DefaultSelector() as selector:
            for n in numbers:
                selector.register(self.socks[n], selectors.EVENT_READ, n)
            while selector.get_map():
                left = deadline - time.monotonic()
                missing = [n for n in numbers if not answers[n].complete and not answers[n].ended]
                assert left > 0, f"{len(missing)} have no whole answer: {missing[:10]}"
                for key, _ in selector.select(min(left, 1.0)):
                    if self._read_one(key.fileobj, answers[key.data]):
                        selector.unregister(key.fileobj)
        return [answers[n] for n in numbers]

    @staticmethod
    def _read_one(sock, answer):
        try:
            data = sock.recv(262144)
        except ConnectionResetError:
            answer.ended = "reset"
            return True
        if not data:
            answer.ended = "closed"
        answer.feed(data)
        return answer.complete or not data


# ---- origin


class Gate:
    """Shut until open() is called, from any thread."""

    def __init__(self):
        self._open = threading.Event()

    def open(self):
        self._open.set()

    async def passed(self):
        while not self._open.is_set():
            await asyncio.sleep(0.002)


class Seen:
    """A request: method, target, headers (lower-case names), number from 0."""

    def __init__(self, head, number):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.number = number
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()


class QuickOrigin:
    """Answers with `await respond(seen, writer)`; what raises ConnectionError resets.

    Requests have no bodies. `requests` holds what was seen, in order of arrival.
    """

    def __init__(self, respond):
        self.respond = respond
        self.requests = []
        self.errors = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def wait(self, n, timeout=10):
        eventually(lambda: len(self.requests) >= n, timeout, f"{n} requests at the origin")

    def stop(self):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        assert not self.errors, self.errors

    async def _main(self):
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen = Seen(head[:-4], len(self.requests))
                self.requests.append(seen)
                await self.respond(seen, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()
        except ConnectionError:
            writer.transport.abort()
        except Exception as e:  # an error in a test's own script must not be lost
            self.errors.append(e)
            writer.transport.abort()
