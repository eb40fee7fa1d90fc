"""What an answer says about the cache: X-Cache, Cache-Status (RFC 9211) and Age."""

import re


def cache_status(response):
    """Larder's member of Cache-Status as a dict: {"hit": True, "ttl": 299, "detail": "miss"}.

    Exactly one field with exactly one member is there, or the test fails.
    """
    values = response.all("cache-status")
    assert len(values) == 1, f"{len(values)} Cache-Status fields: {response!r}"
    name, *parameters = [p.strip() for p in values[0].split(";")]
    assert name == "larder", values[0]
    known = {}
    for parameter in parameters:
        match = re.fullmatch(r"([a-z][a-z0-9_*.-]*)(?:=(-?[0-9]+|[A-Za-z][\w.:/*-]*))?", parameter)
        assert match, f"malformed parameter {parameter!r} in {values[0]!r}"
        key, value = match.groups()
        assert key not in known, values[0]
        if value is None:
            known[key] = True
        else:
            known[key] = int(value) if re.fullmatch(r"-?[0-9]+", value) else value
    return known


def reason(response):
    """The reason word, None for a plain hit."""
    return cache_status(response).get("detail")


def seen(response):
    """(X-Cache, reason word), as tests compare them: ("BYPASS", "no-org")."""
    assert len(response.all("x-cache")) == 1, response
    return response.x_cache, reason(response)


def miss_then_hit(proxy, target, headers=(), **kw):
    """Asks twice: the first is stored, the second is a hit with the same bytes. Returns it."""
    first = proxy.get(target, headers, **kw)
    assert first.status == 200, first
    assert first.x_cache == "MISS", (target, first)
    second = proxy.get(target, headers, **kw)
    assert (second.status, second.x_cache) == (200, "HIT"), (target, second)
    assert second.body == first.body
    return second
