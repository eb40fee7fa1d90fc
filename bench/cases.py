"""The measures. Each takes the bench and returns its rows as plain data (see report.py).

CPU figures come in rounds: every server is started once, then they are loaded one after
another, round after round (A B C D, A B C D, …). A ratio is taken within a round, and the
median over the rounds is shown, so that a noisy minute on a shared machine hits all alike.
"""

import json
import statistics
import subprocess
import time

from servers import BenchError, Redis, ask

WARMUP_MS = 200
LARGE_SIZES = (102400, 1048576)
ENTRIES = 100000
ENTRY_BODY = 64
REDIS_NAMES = 20000
KEYSPACES = (1000, 1000000)
LATENCY_COUNT = 1000  # writes of a round
BY_HAND = 5
STARTS = 5


def load(bench, server, arguments, mark=None):
    """Runs the load generator to its end and returns its figures."""
    command = [f"{bench.tools}/load", "--port", str(server.port), *map(str, arguments)]
    for pid in server.pids():
        command += ["--cpu-pid", str(pid)]
    if mark:
        command += ["--expect-header", mark]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                            check=False, stdin=subprocess.DEVNULL)
    lines = result.stdout.decode("ascii").splitlines()
    figures = json.loads(lines[-1]) if lines else {}
    if result.returncode != 0 or figures.get("requests", 0) == 0:
        why = figures.get("first_error") or result.stderr.decode("utf-8", "replace").strip()
        raise BenchError(f"{server.name}: {figures.get('errors', '?')} errors under load: {why}"
                         f"\n{server.log_tail()}")
    return figures


def origin_count(bench):
    """Requests that have reached the origin."""
    return json.loads(ask(bench.origin_port, "/_count")[2])["requests"]


def fill(bench, server, path):
    """Asks until the answer comes from the cache, that is, until the origin sees no more."""
    for _ in range(20):
        before = origin_count(bench)
        status = ask(server.port, path)[0]
        if status == 200 and origin_count(bench) == before:
            return
        time.sleep(0.02)
    raise BenchError(f"{server.name} does not cache {path}: each request reaches the origin")


class Stopped:
    """Ends the servers of a case whatever happens in it."""

    def __init__(self, servers):
        self.servers = servers

    def __enter__(self):
        return self.servers

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()


def check_origin(server, what, reached, figures):
    """A hit must not reach the origin at all; a pass or a miss must, every time."""
    if what == "hit" and reached != 0:
        raise BenchError(f"{server.name}: {reached} of {figures['sent']} 'hits' "
                         "reached the origin")
    if what != "hit" and reached < figures["requests"]:
        raise BenchError(f"{server.name}: only {reached} of {figures['requests']} requests "
                         f"reached the origin in the {what} measure")


def one_round(bench, server, what, path, body, first, more=()):
    """Loads one server once; nanoseconds of CPU per request and more."""
    before = origin_count(bench) if server.caches else 0
    figures = load(bench, server,
                   ["--path", path, "--connections", bench.connections, "--ms",
                    int(bench.seconds * 1000), "--warmup-ms", WARMUP_MS, "--body-bytes", body,
                    "--first", first, *more],
                   server.marks.get(what))
    if server.caches:
        check_origin(server, what, origin_count(bench) - before, figures)
    cpu = figures["server_cpu_ns"]
    return {"cpu_us": cpu / figures["requests"] / 1000,
            "requests_s": figures["requests"] * 1e9 / figures["wall_ns"],
            "bytes_cpu_s": figures["requests"] * body * 1e9 / cpu,
            "busy": cpu / figures["wall_ns"],
            "sent": figures["sent"]}


def rounds_of(bench, what, mode, path, body, floor, rounds):
    """Interleaved rounds over all servers; {name: [round, …]}."""
    servers = bench.servers() if floor else [s for s in bench.servers() if s.caches]
    if not servers:
        raise BenchError("none of the chosen servers can do this")
    results = {server.name: [] for server in servers}
    first = {server.name: 1 for server in servers}
    with Stopped(servers):
        for server in servers:
            server.start(mode, body)
            if what == "hit" and server.caches:
                fill(bench, server, path)
        for number in range(rounds):
            for server in servers:
                bench.progress(f"{what} {body} bytes, round {number + 1}/{rounds}: {server.name}")
                figures = one_round(bench, server, what, path, body, first[server.name])
                first[server.name] += figures["sent"]
                results[server.name].append(figures)
    return results


def case_hit(bench):
    return [{"title": "hit, 1 KB", "what": "cpu", "goals": "hit",
             "rounds": rounds_of(bench, "hit", "cache", "/1024", 1024, True, bench.rounds)}]


def fill_redis(bench, server, arguments):
    """Every name once, until Redis has what was stored; then once more without the origin."""
    load(bench, server, [*arguments, "--count", REDIS_NAMES])
    deadline = time.monotonic() + 10
    while server.stored_keys() < REDIS_NAMES:
        if time.monotonic() > deadline:
            raise BenchError(f"{server.name}: {server.stored_keys()} of {REDIS_NAMES} names are "
                             "in Redis")
        time.sleep(0.05)


def redis_round(bench, server, first):
    """A round in which every request must have been one GET in Redis."""
    before = bench.redis.calls_of("get")
    figures = one_round(bench, server, "hit", "/entry/{n}/1024", 1024, first,
                        ["--names", REDIS_NAMES])
    asked = bench.redis.calls_of("get") - before
    if asked < figures["sent"] - bench.connections:  # those under way at the end
        raise BenchError(f"{server.name}: {asked} GETs for {figures['sent']} requests: some came "
                         "from elsewhere than Redis")
    return figures


def case_redis_hit(bench):
    """Names in turn, far more than the memory tier holds: each hit comes from Redis."""
    servers = bench.servers("redis")
    if not servers:
        raise BenchError("none of the chosen servers can do this")
    bench.redis = Redis(bench)
    results = {server.name: [] for server in servers}
    first = {server.name: 0 for server in servers}
    try:
        with Stopped(servers):
            for server in servers:
                before = bench.redis.call("DBSIZE")
                server.start("redis")
                server.stored_keys = lambda: bench.redis.call("DBSIZE") - before
                fill_redis(bench, server, ["--path", "/entry/{n}/1024", "--connections",
                                           bench.connections, "--body-bytes", 1024])
            for number in range(bench.rounds):
                for server in servers:
                    bench.progress(f"redis-hit, round {number + 1}/{bench.rounds}: {server.name}")
                    figures = redis_round(bench, server, first[server.name])
                    first[server.name] += figures["sent"]
                    results[server.name].append(figures)
    finally:
        bench.redis.stop()
        bench.redis = None
    return [{"title": f"hit from Redis, 1 KB ({REDIS_NAMES} names in turn, memory for 3 % of them)",
             "what": "cpu", "goals": "redis-hit", "rounds": results}]


def case_pass(bench):
    return [{"title": "pass (not cached), 1 KB", "what": "cpu", "goals": "pass",
             "rounds": rounds_of(bench, "pass", "pass", "/pass/1024", 1024, False,
                                 bench.rounds)}]


def case_miss(bench):
    return [{"title": "miss (fetched and stored, each a new name), 1 KB", "what": "cpu",
             "goals": "pass",
             "rounds": rounds_of(bench, "miss", "cache", "/entry/{n}/1024", 1024, False,
                                 bench.rounds)}]


def case_hit_large(bench):
    return [{"title": f"hit, {size // 1024} KB", "what": "bytes", "goals": "hit-large",
             "rounds": rounds_of(bench, "hit", "cache", f"/bin/{size}", size, True,
                                 max(1, bench.rounds // 2 + 1))}
            for size in LARGE_SIZES]


def settled_memory(server, seconds=3):
    """The server's memory once two looks in a row agree (or after the given time)."""
    deadline = time.monotonic() + seconds
    last = server.memory()
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = server.memory()
        if now == last:
            break
        last = now
    return last


def idle_memory(bench, server):
    """Bytes per idle keep-alive connection that has been served once."""
    load(bench, server, ["--path", "/1024", "--ms", 300, "--connections", 64])
    before = settled_memory(server)
    count = bench.idle_connections
    holder = subprocess.Popen(
        [f"{bench.tools}/load", "--port", str(server.port), "--path", "/1024", "--hold",
         "--connections", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        opened = json.loads(holder.stdout.readline() or b"{}")
        after = settled_memory(server)
        out, _ = holder.communicate(timeout=60)
        alive = json.loads(out or b"{}")
    finally:
        if holder.poll() is None:
            holder.kill()
        holder.wait()
    if opened.get("requests") != count or alive.get("requests") != count:
        raise BenchError(f"{server.name}: of {count} idle connections {opened.get('requests', 0)}"
                         f" were served, then {alive.get('requests', 0)} were still usable: "
                         f"{alive.get('first_error') or opened.get('first_error')}")
    return {"bytes": (after - before) / count, "base": before}


def latency(bench, port, *arguments, count=LATENCY_COUNT):
    """One client, one request after the other; its percentiles in ns."""
    result = subprocess.run([f"{bench.tools}/latency", "--port", str(port), "--count", str(count),
                             *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=120, check=False,
                            stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise BenchError(result.stderr.decode("utf-8", "replace").strip())
    return json.loads(result.stdout)


class Keyspace:
    """A Redis with so many keys and a Larder on it."""

    def __init__(self, bench, kind, keys):
        self.bench, self.keys, self.posts = bench, keys, 0
        self.redis = Redis(bench, "--enable-debug-command", "yes", "--maxmemory", "4gb",
                           name=f"redis-{keys}")
        self.label = f"{keys:,} keys"
        self.larder = None
        self.redis.call("DEBUG", "POPULATE", keys, "bench:other", 64)
        bench.redis = self.redis
        self.larder = kind(bench)
        self.larder.folder_name = f"larder-{keys}"
        self.larder.start("redis")

    def write(self):
        """POSTs, each of which invalidates a pattern of its own."""
        self.posts += LATENCY_COUNT
        return latency(self.bench, self.larder.port, "--first", self.posts, "--post",
                       "/entry/{n}/64")

    def check(self):
        """An invalidation does what it says, and no command took long."""
        fill(self.bench, self.larder, "/entry/7/64")
        before = origin_count(self.bench)
        latency(self.bench, self.larder.port, "--post", "/entry/7/64", count=1)
        ask(self.larder.port, "/entry/7/64")
        if origin_count(self.bench) - before != 2:
            raise BenchError("a write did not invalidate what it should")
        return self.slow()

    def slow(self):
        """(entries of Redis's slow log, longest in ms, its command); empties it."""
        log = self.redis.call("SLOWLOG", "GET", -1)
        self.redis.call("SLOWLOG", "RESET")
        worst = max(log, key=lambda entry: entry[2], default=None)
        return (len(log), worst[2] / 1000, worst[3][0].decode()) if worst else (0, 0.0, "")

    def by_hand(self, how):
        """What applications do without Larder: find ten names by pattern and delete them."""
        names = [f"bench:list:org-7:{page}" for page in range(10)]
        for name in names:
            self.redis.call("SET", name, "x" * 64, "EX", 3600)
        began = time.monotonic_ns()
        found = how(self.redis, "bench:list:org-7:*")
        took = time.monotonic_ns() - began
        if found != len(names):
            raise BenchError(f"{found} names were deleted, not {len(names)}")
        return took

    def stop(self):
        if self.larder is not None:
            self.larder.stop()
        self.redis.stop()


def keys_and_del(redis, pattern):
    return redis.call("DEL", *[name.decode() for name in redis.call("KEYS", pattern)])


def scan_and_unlink(redis, pattern):
    cursor, deleted = b"0", 0
    while True:
        cursor, names = redis.call("SCAN", cursor.decode(), "MATCH", pattern, "COUNT", 1000)
        if names:
            deleted += redis.call("UNLINK", *[name.decode() for name in names])
        if cursor == b"0":
            return deleted


def spread(values):
    """Percentiles of what was timed by hand."""
    values = sorted(values)
    return {"p50": values[len(values) // 2], "p99": values[-1]}


def invalidate_rounds(bench, spaces):
    """Interleaved rounds of the same client: {label: [percentiles, …]}."""
    rounds = {}
    for number in range(bench.rounds):
        bench.progress(f"invalidate, round {number + 1}/{bench.rounds}")
        large = spaces[-1]
        rounds.setdefault("bare XADD", []).append(
            latency(bench, large.redis.port, "--redis", "--", "XADD", "xadd", "MAXLEN", "~",
                    "10000", "*", "s", "{n}", "r", "glob entry:{n}:*", "m", "0123456789abcdef:1"))
        rounds.setdefault("write that invalidates nothing", []).append(
            latency(bench, large.larder.port, "--post", "/pass/{n}"))
        for space in spaces:
            rounds.setdefault(f"write that invalidates, {space.label}", []).append(space.write())
    return rounds


def case_invalidate(bench):
    """What a client waits for a write, at a thousand and at a million keys in Redis."""
    kinds = [kind for kind in bench.classes if kind.name == "larder"]
    if not kinds:
        raise BenchError("this is about larder, which was not chosen")
    spaces, slow, by_hand = [], {}, {}
    try:
        for keys in KEYSPACES:
            spaces.append(Keyspace(bench, kinds[0], keys))
        invalidate_rounds(bench, spaces)  # warm
        for space in spaces:
            space.slow()
        rounds = invalidate_rounds(bench, spaces)
        for space in spaces:
            slow[f"larder, {space.label}"] = space.check()
            for name, how in (("KEYS + DEL", keys_and_del), ("SCAN + UNLINK", scan_and_unlink)):
                by_hand[f"{name}, {space.label}"] = spread(
                    [space.by_hand(how) for _ in range(BY_HAND)])
                slow[f"{name}, {space.label}"] = space.slow()
    finally:
        for space in spaces:
            space.stop()
        bench.redis = None
    return [{"title": "a write that invalidates a pattern: what one client waits", "what": "latency",
             "goals": "invalidate", "rounds": rounds, "by_hand": by_hand, "slow": slow}]


def each_alone(bench, title, servers, measure):
    """Measures that need a fresh server each: one after the other."""
    rows = {}
    for server in servers:
        bench.progress(f"{title}: {server.name}")
        with Stopped([server]):
            server.start("memory")
            rows[server.name] = measure(bench, server)
    return rows


def case_idle(bench):
    return [{"title": f"memory per idle keep-alive connection ({bench.idle_connections})",
             "what": "idle", "goals": "idle",
             "rows": each_alone(bench, "idle", bench.servers(), idle_memory)}]


def entry_memory(bench, server):
    """Bytes per small entry, after a second pass has shown that all are there."""
    load(bench, server, ["--path", "/1024", "--ms", 300])
    arguments = ["--path", f"/entry/{{n}}/{ENTRY_BODY}", "--first", 1000000, "--connections",
                 bench.connections, "--body-bytes", ENTRY_BODY, "--count", ENTRIES]
    before = settled_memory(server)
    load(bench, server, arguments)
    after = settled_memory(server)
    reached = origin_count(bench)
    hits = load(bench, server, arguments, server.marks.get("hit"))
    reached = origin_count(bench) - reached
    # HAProxy's 32-bit hash loses one or two of so many names to collisions.
    if reached > ENTRIES // 1000:
        raise BenchError(f"{server.name}: of {ENTRIES} entries {reached} were not kept")
    wire = hits["bytes"] / ENTRIES
    name = len(f"entry:1000000:{ENTRY_BODY}")
    row = {"bytes": (after - before) / ENTRIES, "wire": wire,
           "beyond": (after - before) / ENTRIES - wire - name}
    if hasattr(server, "stored_bytes"):
        row["files"] = server.stored_bytes() / ENTRIES
    return row


def case_entries(bench):
    servers = [server for server in bench.servers() if server.caches]
    return [{"title": f"memory per entry ({ENTRIES} entries, body {ENTRY_BODY} bytes)",
             "what": "entries", "goals": "entries",
             "rows": each_alone(bench, "entries", servers, entry_memory)}]


def case_start(bench):
    rows = {}
    for server in bench.servers():
        bench.progress(f"start: {server.name}")
        times = []
        for _ in range(STARTS):
            with Stopped([server]):
                began = time.monotonic()
                server.launch("cache")
                server.wait_answer(0.0005)
                times.append((time.monotonic() - began) * 1000)
        rows[server.name] = {"ms": statistics.median(times), "all": times}
    return [{"title": f"start to first answer (median of {STARTS})", "what": "start",
             "goals": "start", "rows": rows}]


CASES = {"hit": case_hit, "redis-hit": case_redis_hit, "pass": case_pass, "miss": case_miss, "hit-large": case_hit_large,
         "idle": case_idle, "entries": case_entries, "start": case_start,
         "invalidate": case_invalidate}
