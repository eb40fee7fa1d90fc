"""A route that follows the origin, for tests of RFC 9111.

Nothing here waits for time to pass: an answer that shall be stale comes with an Age.
"""

from .origin import answer

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
route GET /* { scope public; ttl origin; heuristic on }
"""


def reused(proxy, origin, headers, status=200, body=b"x", path="/r"):
    """Is an answer with these fields stored and given to the next request as it is?"""
    origin.route(path, answer(status, body, headers))
    first = proxy.get(path)
    assert (first.status, first.body) == (status, b"" if status == 204 else body), first
    second = proxy.get(path)
    assert second.status == status, second
    assert second.x_cache == ("HIT" if origin.count(path) == 1 else "MISS"), second
    return origin.count(path) == 1
