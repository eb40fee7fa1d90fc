"""Real redis-server processes, a client that speaks to them, and a proxy in between for faults.

    redis = RedisServer(folder)            # or the fixture `redis`: redis(password="x")
    redis.url                              # for Larder's directive
    redis.call("GET", "shop:a")            # bytes, int, None, list; RedisError for an error
    redis.pause(), redis.resume()          # SIGSTOP, SIGCONT
    redis.kill(), redis.start()            # kill -9; again, on the same port
    faults = FaultProxy(redis.port)        # or the fixture `fault_proxy`
    faults.hold()                          # nothing goes through until faults.release()

Nothing here knows what Larder keeps in Redis, but for entries().
"""

import os
import shutil
import signal
import socket
import struct
import threading
import time

from .ports import free_port
from .process import Process, wait_ready

JOURNAL_KEYS = ("journal", "epoch", "nodes", "sites", "applied")


class RedisError(Exception):
    """An error reply; its text begins with the code (NOAUTH, OOM, …)."""


class RedisClient:
    """One connection; RESP2. Opened with the first command and again when it was lost."""

    def __init__(self, port=None, unix=None, password=None, tls=None, timeout=5.0):
        self._where = (port, unix)
        self._password = password
        self._tls = tls
        self._timeout = timeout
        self._sock = self._file = None

    def close(self):
        if self._sock is not None:
            self._file.close()
            self._sock.close()
            self._sock = None

    def _connect(self):
        port, unix = self._where
        if unix:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(self._timeout)
            sock.connect(unix)
        else:
            sock = socket.create_connection(("127.0.0.1", port), self._timeout)
        if self._tls:
            sock = self._tls.wrap_socket(sock, server_hostname="localhost")
        self._sock, self._file = sock, sock.makefile("rb")
        if self._password:
            self._exchange(("AUTH", self._password))

    def call(self, *args):
        try:
            if self._sock is None:
                self._connect()
            return self._exchange(args)
        except OSError:
            self.close()
            raise

    def _exchange(self, args):
        self._sock.sendall(encode(args))
        return self._reply()

    def _reply(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            n = int(rest)
            return None if n < 0 else self._file.read(n + 2)[:-2]
        if kind == b"*":
            return None if int(rest) < 0 else [self._item() for _ in range(int(rest))]
        raise AssertionError(f"not a reply: {line!r}")

    def _item(self):
        try:
            return self._reply()
        except RedisError as e:
            return e


def encode(args):
    """A command's bytes."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class RedisServer:
    """redis-server on a free port (and a Unix socket), nothing saved unless appendonly."""

    def __init__(self, folder, name="redis", password=None, appendonly=False, tls=None,
                 options=()):
        """tls: a lib.certs.Authority; then `port` speaks TLS only. options: ("maxmemory", "1mb")…"""
        self.folder = os.path.join(str(folder), name)
        os.makedirs(self.folder, exist_ok=True)
        self.name = name
        self.password = password
        self.port = free_port()
        self.unix = os.path.join(self.folder, "s")
        self.ca_file = tls.ca_file if tls else None
        self._client_tls = tls.client_context() if tls else None
        self._options = [("save", ""), ("appendonly", "yes" if appendonly else "no"),
                         ("appendfsync", "always"), ("dir", self.folder),
                         ("bind", "127.0.0.1"), ("unixsocket", self.unix),
                         ("enable-debug-command", "yes"),
                         ("enable-protected-configs", "yes"), ("maxmemory", "256mb"),
                         ("maxmemory-policy", "noeviction")]
        if tls:
            cert, key = tls.issue("localhost", "127.0.0.1", file=name)
            self._options += [("port", 0), ("tls-port", self.port), ("tls-cert-file", cert),
                              ("tls-key-file", key), ("tls-ca-cert-file", tls.ca_file),
                              ("tls-auth-clients", "no")]
        else:
            self._options += [("port", self.port)]
        if password:
            self._options += [("requirepass", password), ("masterauth", password)]
        self._options += options
        self.process = None
        self._client = None
        self.start()

    def start(self, wait=True):
        """Starts it (again), on the same port."""
        argv = [shutil.which("redis-server") or "/usr/bin/redis-server"]
        for option, value in self._options:
            argv += [f"--{option}", value]
        self.process = Process(argv, self.folder, self.name, cwd=self.folder)
        self._client = RedisClient(port=self.port, password=self.password, tls=self._client_tls)
        if wait:
            wait_ready(self.process, self._answers, 20)

    def _answers(self):
        try:
            return self.call("PING") == b"PONG"
        except RedisError as e:  # LOADING
            return not str(e).startswith("LOADING")

    @property
    def url(self):
        secret = f":{self.password}@" if self.password else ""
        return f"{'rediss' if self.ca_file else 'redis'}://{secret}127.0.0.1:{self.port}"

    def client(self, **kw):
        """A connection of its own, for another thread."""
        return RedisClient(port=self.port, password=self.password, tls=self._client_tls, **kw)

    def call(self, *args):
        return self._client.call(*args)

    def pause(self):
        """SIGSTOP; connections stay open and even new ones are accepted by the kernel."""
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def kill(self):
        """kill -9."""
        self.process.popen.kill()
        self.process.popen.wait()
        self._client.close()

    def stop(self):
        """The end: nothing in it is of use any more."""
        if self.process.alive():
            self.kill()

    def restart(self):
        """kill -9 and start: empty, unless appendonly."""
        self.kill()
        self.start()

    # ---- what is in it

    def keys(self):
        """All names, as text."""
        return sorted(k.decode("utf-8", "backslashreplace") for k in self.call("KEYS", "*"))

    def entries(self, prefix):
        """Names of Larder's entries, without the keys of the journal and of leases."""
        own = {f"{{{prefix}}}:{k}" for k in JOURNAL_KEYS + ("wake",)}
        return [k for k in self.keys() if k not in own and "}:lease:" not in k]

    def leases(self):
        """Names of the leases that are held."""
        return [k for k in self.keys() if "}:lease:" in k]

    def commands(self):
        """{"get": calls, …} since the start or the last CONFIG RESETSTAT."""
        counts = {}
        for line in self.call("INFO", "commandstats").decode().splitlines():
            if line.startswith("cmdstat_"):
                name, _, rest = line[len("cmdstat_"):].partition(":")
                counts[name] = int(rest.split(",")[0].partition("=")[2])
        return counts

    def info(self, field):
        """A field of INFO as text, or None."""
        for line in self.call("INFO").decode().splitlines():
            if line.startswith(field + ":"):
                return line.partition(":")[2]
        return None


class _Pair:
    """One connection through the proxy."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.to_client = 0  # bytes passed on
        self.over = False

    def end(self, reset):
        self.over = True
        for sock in (self.client, self.server):
            try:
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wakes the other thread, which has the socket in use; a reset wants no FIN.
                sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                sock.close()
            except OSError:
                pass


class FaultProxy:
    """TCP in front of Redis. What it does to connections can be changed at any time."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.port = free_port()
        self.delay = 0.0         # seconds before each piece towards Larder
        self.piece = 0           # most bytes of one write towards Larder; 0: as they come
        self.cut_after = None    # RST after so many bytes towards Larder, on each connection
        self.rewrite = None      # function(bytes) -> bytes of what goes towards Larder
        self.accepted = 0
        self._open = threading.Event()
        self._open.set()
        self._pairs = []
        self._lock = threading.Lock()
        self._listener = None
        self._stopped = False
        self.accept()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    # ---- faults

    def hold(self):
        """A black hole: connections stay, bytes wait in both directions."""
        self._open.clear()

    def release(self):
        """What was held goes on its way, late."""
        self._open.set()

    def reset_all(self):
        """RST on every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.end(reset=True)

    def refuse(self):
        """Nobody listens any more; what is open is reset."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset_all()

    def accept(self):
        """Listens (again)."""
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept_loop, args=(listener,), daemon=True).start()

    def heal(self):
        """No faults any more."""
        self.delay, self.piece, self.cut_after, self.rewrite = 0.0, 0, None, None
        self.accept()
        self.release()

    def stop(self):
        self._stopped = True
        self.refuse()
        self.release()

    # ---- threads

    def _accept_loop(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.append(pair)
            for run in (self._to_server, self._to_client):
                threading.Thread(target=run, args=(pair,), daemon=True).start()

    def _to_server(self, pair):
        try:
            while data := pair.client.recv(65536):
                self._open.wait()
                pair.server.sendall(data)
        except OSError:
            pass
        pair.end(reset=False)

    def _to_client(self, pair):
        try:
            while data := pair.server.recv(65536):
                self._open.wait()
                if self.delay:
                    time.sleep(self.delay)
                if self.rewrite is not None:
                    data = self.rewrite(data)
                if not self._pass_on(pair, data):
                    pair.end(reset=True)
                    return
        except OSError:
            pass
        pair.end(reset=False)

    def _pass_on(self, pair, data):
        """False when the connection is to be cut."""
        cut = self.cut_after
        if cut is not None and pair.to_client + len(data) >= cut:
            pair.client.sendall(data[:max(0, cut - pair.to_client)])
            return False
        pair.to_client += len(data)
        step = self.piece or len(data)
        for start in range(0, len(data), step or 1):
            pair.client.sendall(data[start:start + step])
        return True
