"""No reason without a test: each word of reasons.def is one that explain gives, by a test that
compares it with the live answer, or one that only the way of a real request can bring."""

import pathlib
import re

import test_explain_redis
import test_explain_table

PROXY = pathlib.Path(__file__).parents[2] / "proxy"
ROWS = re.findall(r'^REASON\((\w+), "([^"]+)"', (PROXY / "tbl" / "reasons.def").read_text(), re.M)

# Beside those of test_explain_table.ALONE: what explain says once something has happened.
LATER = {
    "client-no-cache": test_explain_table.test_client_directives,
    "-": test_explain_table.test_what_memory_holds,
    "expired": test_explain_table.test_time_passes,
    "invalidated": test_explain_table.test_what_memory_holds,
    "stale": test_explain_table.test_time_passes,
    "stale-error": test_explain_table.test_an_origin_that_fails,
    "hit-for-miss": test_explain_table.test_what_could_not_be_stored,
    "uncertain": test_explain_redis.test_uncertain,
    "breaker": test_explain_redis.test_breaker,
}

# Nobody can know these before the origin has answered, or while nobody waits.
LIVE_ONLY = {
    # the origin's answer decides
    "revalidated", "no-store", "private", "no-ttl", "authorization", "set-cookie", "vary",
    "status", "partial", "no-length", "too-large", "tags", "stream", "bad-answer", "timeout",
    "connect", "reset", "no-upstream",
    # a write that other nodes could not be told of in advance
    "unannounced",
    # while a client waits or reads
    "lock-timeout", "too-slow", "client-gone",
}


def explained():
    words = {reason for _, reason, _ in test_explain_table.ALONE}
    # Of an identity that is missing the word has the name.
    return (words | set(LATER)) - {"no-org", "no-edge", "no-sid"}


def test_every_reason_is_in_one_list():
    words = {word for _, word in ROWS}
    assert explained() | LIVE_ONLY == words
    assert explained() & LIVE_ONLY == set()


def test_every_reason_is_given_somewhere():
    source = "".join(p.read_text() for p in PROXY.rglob("*.[ch]"))
    assert [word for name, word in ROWS if not re.search(rf"\bREASON_{name}\b", source)] == []
