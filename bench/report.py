"""What the bench prints: one table per measure, and each goal beside what was reached.

The goals are those of the design's budget table. A ratio is the median of the rounds' ratios;
the lowest and the highest round stand behind it, because a median alone hides a bad machine.
"""

import statistics

# Case -> list of (peer or None, limit). With a peer: larder's figure divided by the peer's. "cpu":
# at most the limit; "bytes": at least; without a peer: the row's own figure, at most.
GOALS = {
    "hit": [("canned", 1.15), ("haproxy", 0.95), ("nginx", 0.7), ("varnish", 0.5)],
    "redis-hit": [("nginx-lua", 0.5)],
    "pass": [("haproxy", 0.95)],
    "hit-large": [("haproxy", 1.0), ("varnish", 1.0)],
    "idle": [(None, 512)],
    "entries": [(None, 200)],
    "start": [(None, 50)],
}
FIGURE = {"cpu": "cpu_us", "bytes": "bytes_cpu_s", "idle": "bytes", "entries": "beyond",
          "start": "ms"}
UNIT = {"idle": "bytes", "entries": "bytes beyond name, head and body", "start": "ms"}


def ratios(table, name, peer):
    """(median, lowest, highest) of name's figure over peer's, round by round."""
    key = FIGURE[table["what"]]
    pairs = zip(table["rounds"][name], table["rounds"][peer])
    values = [mine[key] / theirs[key] for mine, theirs in pairs]
    return statistics.median(values), min(values), max(values)


def median_of(rounds, key):
    return statistics.median(figures[key] for figures in rounds)


def print_rounds(table):
    """A table of interleaved rounds: the figure, ratios to the others, throughput."""
    names = list(table["rounds"])
    peers = [name for name in names if name != "larder"]
    unit = "CPU µs/req" if table["what"] == "cpu" else "MB/CPU s"
    print(f"  {'':10}{unit:>12}" + "".join(f"{'× ' + peer:>12}" for peer in peers)
          + f"{'requests/s':>13}{'CPU':>7}")
    for name in names:
        rounds = table["rounds"][name]
        value = median_of(rounds, FIGURE[table["what"]])
        text = f"{value:.2f}" if table["what"] == "cpu" else f"{value / 1e6:.0f}"
        cells = "".join(f"{ratios(table, name, peer)[0]:>12.2f}" for peer in peers)
        print(f"  {name:10}{text:>12}{cells}{median_of(rounds, 'requests_s'):>13.0f}"
              f"{median_of(rounds, 'busy') * 100:>6.0f}%")


def print_rows(table):
    """A table of single figures."""
    for name, row in table["rows"].items():
        if table["what"] == "idle":
            text = f"{row['bytes']:>10.0f} bytes   (before: {row['base'] / 1048576:.1f} MB)"
        elif table["what"] == "start":
            text = f"{row['ms']:>10.1f} ms      ({min(row['all']):.1f}–{max(row['all']):.1f})"
        else:
            text = f"{row['bytes']:>10.0f} bytes, {row['beyond']:>6.0f} beyond name, head and body"
            text += f" ({row['wire']:.0f} on the wire)"
            if row["bytes"] < 1:
                text = f"{'—':>10} (its cache memory is set aside at start)"
            if "files" in row:
                text += f"; head and body are in files, {row['files']:.0f} bytes"
        print(f"  {name:10}{text}")


def judge(table):
    """The goals of a table as data; [] when larder or the peer was not measured."""
    found = []
    rows = table.get("rounds") or table["rows"]
    if "larder" not in rows:
        return found
    for peer, limit in GOALS[table["goals"]]:
        if peer is None:
            reached = low = high = rows["larder"][FIGURE[table["what"]]]
        elif peer in rows:
            reached, low, high = ratios(table, "larder", peer)
        else:
            continue
        met = reached >= limit if table["what"] == "bytes" else reached <= limit
        found.append({"case": table["title"], "peer": peer, "limit": limit, "met": met,
                      "reached": reached, "low": low, "high": high})
    return found


def print_goals(table, goals):
    sign = "≥" if table["what"] == "bytes" else "≤"
    for goal in goals:
        verdict = "met" if goal["met"] else "MISSED"
        if goal["peer"] is None:
            unit = UNIT[table["what"]]
            print(f"  goal {sign} {goal['limit']} {unit}: reached {goal['reached']:.1f}  {verdict}")
        else:
            print(f"  goal {sign} {goal['limit']} × {goal['peer']}: reached "
                  f"{goal['reached']:.2f} ({goal['low']:.2f}–{goal['high']:.2f})  {verdict}")


def worse(table, figure, mine, other):
    """A goal's figures: percentile of one label over another's, round by round."""
    pairs = zip(table["rounds"][mine], table["rounds"][other])
    values = [a[figure] / b[figure] for a, b in pairs]
    return statistics.median(values), min(values), max(values)


def judge_latency(table):
    """A write at a million keys beside a bare XADD, and beside one at a thousand."""
    small, large = [name for name in table["rounds"] if name.startswith("write that invalidates,")]
    found = []
    for figure, other, limit in (("p99", "bare XADD", 3), ("p50", small, 1.1), ("p99", small, 1.1)):
        reached, low, high = worse(table, figure, large, other)
        found.append({"case": f"{table['title']}, {figure}", "peer": other, "limit": limit,
                      "met": reached <= limit, "reached": reached, "low": low, "high": high,
                      "figure": figure})
    return found


def print_latency(table):
    print(f"  {'':46}{'p50 µs':>12}{'p99 µs':>12}")
    rows = {name: {key: median_of(rounds, key) for key in ("p50", "p99")}
            for name, rounds in table["rounds"].items()}
    plain = rows["write that invalidates nothing"]["p50"]
    for name, row in (rows | table["by_hand"]).items():
        added = f"   ({(row['p50'] - plain) / 1000:.1f} of it for the invalidation)"
        print(f"  {name:46}{row['p50'] / 1000:>12.1f}{row['p99'] / 1000:>12.1f}"
              f"{added if name.startswith('write that invalidates,') else ''}")
    print("  Redis's slow log (commands over 10 ms):")
    for name, (count, longest, command) in table["slow"].items():
        text = f"{count} entries, the longest {longest:.0f} ms ({command})" if count else "empty"
        print(f"    {name:44}{text}")


def print_table(table):
    """Prints one measure and returns its goals."""
    print(f"\n{table['title']}")
    if table["what"] == "latency":
        print_latency(table)
        goals = judge_latency(table)
        for goal in goals:
            print(f"  goal {goal['figure']} at a million ≤ {goal['limit']} × {goal['peer']}: reached "
                  f"{goal['reached']:.2f} ({goal['low']:.2f}–{goal['high']:.2f})  "
                  f"{'met' if goal['met'] else 'MISSED'}")
        return goals
    if "rounds" in table:
        print_rounds(table)
    else:
        print_rows(table)
    goals = judge(table)
    print_goals(table, goals)
    return goals
