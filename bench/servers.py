"""The servers that are measured: how each is configured, started, looked at and ended.

Every server runs in a folder of its own below the bench's temporary folder, on a free loopback
port, with one worker. The configuration is the leanest that does the job of the case (a
peer gets no rule that the case does not need), so that a ratio never flatters Larder.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import time

START_SECONDS = 20
STOP_SECONDS = 5


class BenchError(Exception):
    """Something that makes a figure meaningless: the bench says so and fails."""


def free_port():
    """A loopback port nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def ask(port, path, timeout=5):
    """One GET on a connection of its own; (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def process_tree(root):
    """The process and its descendants, as pids."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, []))
    return tree


class Server:
    """One server under test. Subclasses name the program and write its configuration."""

    name = ""
    package = ""  # what to install when the program is missing
    marks = {}  # case mode -> header that proves what happened; else the origin's count must do
    caches = True
    tiers = ("memory",)  # line-ups that it is part of: "memory", "redis"

    def __init__(self, bench):
        self.bench = bench  # .folder, .origin_port, .redis, .server_cpu, .tools, …
        self.mode = "cache"  # "cache", "pass" (nothing is stored) or "memory" (see Varnish)
        self.body = 1024
        self.folder = ""
        self.folder_name = ""  # when there are several of a kind
        self.port = 0
        self.process = None
        self._tree = []

    def program(self):
        """Path of the executable, None when it is not there."""
        return shutil.which(self.name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def version(self):
        return ""

    def command(self):
        """Writes what the server needs into self.folder and returns its command line."""
        raise NotImplementedError

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def launch(self, mode, body=1024):
        """Starts the process; does not wait until it answers."""
        self.mode, self.body = mode, body
        self.folder = os.path.join(self.bench.folder, self.folder_name or self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        command = self.command()
        cpu = self.bench.server_cpu
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                preexec_fn=(lambda: os.sched_setaffinity(0, cpu)) if cpu else None)

    def start(self, mode, body=1024):
        self.launch(mode, body)
        self.wait_answer(0.02)

    def wait_answer(self, pause, path="/pass/1"):
        """Waits until the server answers 200."""
        deadline = time.monotonic() + START_SECONDS
        last = "it does not listen"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended at start:\n{self.log_tail()}")
            try:
                status = ask(self.port, path)[0]
                if status == 200:
                    return
                last = f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                last = str(error) or type(error).__name__
            time.sleep(pause)
        raise BenchError(f"{self.name} gives no answer ({last}):\n{self.log_tail()}")

    def log_tail(self):
        try:
            with open(os.path.join(self.folder, "log"), errors="replace",
                      encoding="utf-8") as file:
                return "".join("    " + line for line in file.readlines()[-15:])
        except OSError:
            return ""

    def pids(self):
        self._tree = process_tree(self.process.pid)
        return self._tree

    def memory(self):
        """Bytes of anonymous and shared memory in use by all its processes."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                for kb in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", file.read(), re.M):
                    total += int(kb) * 1024
        return total

    def stop(self):
        """Ends this process by pid, and what it may leave behind."""
        if self.process is None:
            return
        if self.process.poll() is None:
            tree = self.pids()
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                for pid in tree:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.process.wait()
        self.process = None


def first_line(command):
    """First line of what a program says about its version."""
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.decode("utf-8", "replace").split("\n")[0]


def number_in(text):
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found.group(0) if found else "?"


class Canned(Server):
    name = "canned"
    caches = False

    def program(self):
        return os.path.join(self.bench.tools, "canned")

    def command(self):
        return [self.program(), str(self.port), str(self.body)]


class Larder(Server):
    name = "larder"
    tiers = ("memory", "redis")
    marks = {"hit": "X-Cache: HIT", "pass": "X-Cache: PASS", "miss": "X-Cache: MISS"}

    def program(self):
        path = self.bench.larder
        return path if os.access(path, os.X_OK) else None

    def version(self):
        return number_in(first_line([self.program(), "version"]))

    def command(self):
        tier = "memory 256mb"
        if self.mode == "redis":
            tier = f"memory 1mb\nredis {self.bench.redis.url} prefix=bench budget=1s"
        config = self.write("proxy.conf", f"""\
listen 127.0.0.1:{self.port}
workers 1
{tier}
log off
upstream origin http://127.0.0.1:{self.bench.origin_port}
defaults {{ upstream origin }}
route GET /{{size}} {{ scope public; key bench:{{size}}; ttl 1h }}
route GET /bin/{{size}} {{ scope public; key bin:{{size}}; ttl 1h }}
route GET /entry/{{n}}/{{size}} {{ scope public; key entry:{{n}}:{{size}}; ttl 1h }}
route POST /entry/{{n}}/{{size}} {{ invalidate entry:{{n}}:* }}
""")
        return [self.program(), "run", "-c", config]


class HAProxy(Server):
    name = "haproxy"
    package = "haproxy"

    def version(self):
        return number_in(first_line([self.program(), "-v"]))

    def command(self):
        cache, rules = "", ""
        if self.mode != "pass":
            cache = "cache bench\n    total-max-size 256\n    max-object-size 2097152\n" \
                    "    max-age 3600\n"
            rules = "    http-request cache-use bench\n    http-response cache-store bench\n"
        config = self.write("haproxy.cfg", f"""\
global
    nbthread 1
    maxconn {self.bench.idle_connections + 200}
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 60s
    timeout http-keep-alive 120s
    http-reuse always
{cache}frontend front
    bind 127.0.0.1:{self.port}
    default_backend origin
backend origin
{rules}    server origin 127.0.0.1:{self.bench.origin_port}
""")
        return [self.program(), "-db", "-f", config]


class Nginx(Server):
    name = "nginx"
    package = "nginx"

    def version(self):
        return number_in(first_line([self.program(), "-v"]))

    def stored_bytes(self):
        """nginx keeps heads and bodies in files, which process memory does not show."""
        total = 0
        for folder, _, names in os.walk(self.cache_folder()):
            total += sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in names)
        return total

    def cache_folder(self):
        return os.path.join(self.bench.fast_folder, "nginx-cache")

    def command(self):
        zone, use = "", ""
        if self.mode != "pass":
            shutil.rmtree(self.cache_folder(), ignore_errors=True)
            zone = f"    proxy_cache_path {self.cache_folder()} levels=1:2 keys_zone=bench:32m" \
                   " inactive=1h max_size=512m use_temp_path=off;\n"
            use = "            proxy_cache bench;\n"
        # Measured: for small bodies plain reads are a third cheaper, for large ones sendfile is.
        sendfile = "on" if self.body > 32768 else "off"
        user = "user root;\n" if os.geteuid() == 0 else ""
        config = self.write("nginx.conf", f"""\
{user}worker_processes 1;
daemon off;
pid {self.folder}/nginx.pid;
error_log {self.folder}/log warn;
worker_rlimit_nofile {self.bench.files};
events {{ worker_connections {self.bench.files - 500}; }}
http {{
    access_log off;
    sendfile {sendfile};
    open_file_cache max=1000 inactive=60s;
    keepalive_timeout 120s;
    keepalive_requests 1000000000;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
{zone}    upstream origin {{
        server 127.0.0.1:{self.bench.origin_port};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
{use}        }}
    }}
}}
""")
        return [self.program(), "-p", self.folder, "-e", f"{self.folder}/log", "-c", config]


class NginxLua(Nginx):
    """The usual way to a shared cache with nginx: Debian's Lua module and its Redis client."""

    name = "nginx-lua"
    package = "libnginx-mod-http-lua lua-nginx-redis"
    tiers = ("redis",)
    MODULES = "/usr/lib/nginx/modules"
    CLIENT = "/usr/share/lua/5.1/nginx/redis.lua"

    def program(self):
        there = os.path.exists(f"{self.MODULES}/ngx_http_lua_module.so") and os.path.exists(
            self.CLIENT)
        return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") \
            if there else None

    def command(self):
        user = "user root;\n" if os.geteuid() == 0 else ""
        config = self.write("nginx.conf", f"""\
load_module {self.MODULES}/ndk_http_module.so;
load_module {self.MODULES}/ngx_http_lua_module.so;
{user}worker_processes 1;
daemon off;
pid {self.folder}/nginx.pid;
error_log {self.folder}/log warn;
worker_rlimit_nofile {self.bench.files};
events {{ worker_connections {self.bench.files - 500}; }}
http {{
    access_log off;
    keepalive_timeout 120s;
    keepalive_requests 1000000000;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
    init_by_lua_block {{ redis = require "nginx.redis" }}
    upstream origin {{
        server 127.0.0.1:{self.bench.origin_port};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location /origin/ {{
            internal;
            proxy_pass http://origin/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location / {{
            default_type application/json;
            content_by_lua_block {{
                local r = redis:new()
                r:set_timeout(1000)
                if not r:connect("127.0.0.1", {self.bench.redis.port if self.bench.redis else 0}) then
                    return ngx.exec("/origin" .. ngx.var.request_uri)
                end
                local name = "nginx:" .. ngx.var.uri
                local body = r:get(name)
                if not body or body == ngx.null then
                    body = ngx.location.capture("/origin" .. ngx.var.request_uri).body
                    r:set(name, body, "EX", 3600)
                end
                r:set_keepalive(60000, 256)
                ngx.header.content_length = #body
                ngx.print(body)
            }}
        }}
    }}
}}
""")
        return [self.program(), "-p", self.folder, "-e", f"{self.folder}/log", "-c", config]


class Redis:
    """The server behind the Redis tier; its CPU is nobody's, as the origin's is."""

    def __init__(self, bench, *options, name="redis"):
        program = shutil.which("redis-server")
        if program is None:
            raise BenchError("redis-server is not there (apt-get install redis-server)")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.folder = os.path.join(bench.folder, name)
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", self.folder, "--maxmemory", "2gb",
                 "--maxmemory-policy", "volatile-lru", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self._socket = None
        deadline = time.monotonic() + START_SECONDS
        while self._socket is None:
            try:
                self._socket = socket.create_connection(("127.0.0.1", self.port), 300)
            except OSError as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise BenchError("redis-server does not start") from error
                time.sleep(0.02)
        self._file = self._socket.makefile("rb")

    def call(self, *args):
        """A command's answer as int, bytes, None or list; an error line is a BenchError."""
        parts = [str(arg).encode() for arg in args]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(
            b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self._reply()

    def _reply(self):
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        raise BenchError(f"redis-server says {line!r}")

    def calls_of(self, command):
        """How often a command has run."""
        for line in self.call("INFO", "commandstats").decode().splitlines():
            if line.startswith(f"cmdstat_{command}:calls="):
                return int(line.partition("=")[2].partition(",")[0])
        return 0

    def version(self):
        for line in self.call("INFO", "server").decode().splitlines():
            if line.startswith("redis_version:"):
                return line.partition(":")[2]
        return "?"

    def stop(self):
        if self._socket is not None:
            self._socket.close()
        self.process.terminate()
        self.process.wait()


class Varnish(Server):
    name = "varnish"
    package = "varnish"

    def program(self):
        return shutil.which("varnishd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def version(self):
        return number_in(first_line([self.program(), "-V"]))

    def command(self):
        rule = "sub vcl_recv { return (pass); }\n" if self.mode == "pass" else ""
        config = self.write("bench.vcl", f"""\
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.bench.origin_port}"; }}
{rule}""")
        threads = self.bench.connections + 50  # a busy connection occupies one
        command = [self.program(), "-F", "-n", os.path.join(self.folder, "work"),
                   "-a", f"127.0.0.1:{self.port}", "-T", "none", "-f", config,
                   "-s", "malloc,256m", "-p", "thread_pools=1", "-p", f"thread_pool_min={threads}",
                   "-p", f"thread_pool_max={threads}", "-p", "timeout_idle=120",
                   "-p", "thread_queue_limit=20000", "-p", "listen_depth=4096"]
        if self.mode == "memory":
            # The log ring would fill up during the measure and look like memory of the entries.
            command += ["-p", "vsl_space=1M"]
        return command


ALL = (Canned, Larder, HAProxy, Nginx, Varnish, NginxLua)
