"""A Redis whose answers a test may replace: a real one answers whatever the script leaves alone.

    fake = ScriptedRedis(redis.port)
    fake.script = lambda args: b"-LOADING wait\\r\\n" if args[0] == b"GET" else None
    fake.script = None           # healthy again

One command at a time and connection, so that every answer meets its own command, unless the
script's bytes say otherwise.
"""

import socket
import threading

from .ports import free_port

SUBSCRIBING = (b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE")


class ScriptedRedis:
    def __init__(self, target_port):
        self.target_port = target_port
        self.port = free_port()
        self.script = None       # function(args as bytes) -> bytes to answer, or None
        self.scripted = 0        # commands that the script answered
        self._stopped = False
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def stop(self):
        self._stopped = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while not self._stopped:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            with client, socket.create_connection(("127.0.0.1", self.target_port), 5) as server:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.settimeout(None)
                self._talk(client, server)
        except OSError:
            pass

    def _talk(self, client, server):
        commands, replies = client.makefile("rb"), server.makefile("rb")
        while (read := read_command(commands)) is not None:
            raw, args = read
            script = self.script
            answer = script(args) if script is not None else None
            if answer is None:
                server.sendall(raw)
                if args[0].upper() in SUBSCRIBING:
                    self._push(client, server, replies, commands)
                    return
                answer = read_reply(replies)
                if answer is None:
                    return
            else:
                self.scripted += 1
            client.sendall(answer)

    def _push(self, client, server, replies, commands):
        """From now on the server speaks when it wants to."""
        def back():
            try:
                while data := replies.read1(65536):
                    client.sendall(data)
            except OSError:
                pass
            # Wakes the other direction.
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        threading.Thread(target=back, daemon=True).start()
        while data := commands.read1(65536):
            server.sendall(data)
        server.shutdown(socket.SHUT_RDWR)


def read_command(f):
    """(its bytes, its parts), or None at the end."""
    line = f.readline()
    if not line.startswith(b"*"):
        return None
    raw, args = [line], []
    for _ in range(int(line[1:])):
        head = f.readline()
        if not head.startswith(b"$"):
            return None
        body = f.read(int(head[1:]) + 2)
        raw += (head, body)
        args.append(body[:-2])
    return b"".join(raw), args


def read_reply(f):
    """The bytes of one reply (RESP2), or None at the end."""
    line = f.readline()
    if not line.endswith(b"\r\n"):
        return None
    n = int(line[1:]) if line[:1] in b"$*" else -1
    parts = [line]
    if line[:1] == b"$" and n >= 0:
        parts.append(f.read(n + 2))
    for _ in range(n if line[:1] == b"*" else 0):
        item = read_reply(f)
        if item is None:
            return None
        parts.append(item)
    return b"".join(parts)
