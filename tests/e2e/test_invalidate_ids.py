"""Ids of any spelling: the write of one clears its entry and no other's."""

import pytest

IDS = ["1", "10", "a", "A", "a-b", "a_b", "a.b", "a~b", "a%20b", "a+b", "a:b", "a*", "*", "a%3F",
       "[a]", "%5Ba%5D", "a%25", "a%2541", "%C3%A9", "%F0%9F%8D%B5", "a@b", "a=b", "a&b", "a,b",
       "(a)", "!", "'", "$", "~a", "~e", "x" * 300, "%5E", "%7Ba%7D", "%22", "%3C", "a%7Cb", "%60"]
CONF = """
upstream main %ORIGIN%
route GET    /a/{id}   { scope public; key a:{id}; ttl 60s }
route GET    /a/{id}/b { scope public; key b:{id}:x; ttl 60s }
route PUT    /a/{id}   { invalidate a:{id} b:{id}:* }
"""


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_each_is_itself(larder, origin, method):
    """PUT has a route that says what goes; DELETE has none, its path says it."""
    proxy = larder(CONF, origin=origin.url)
    # "[a]" and "%5Ba%5D" are two spellings of one path.
    names = {}
    with proxy.raw() as c:
        for one in IDS:
            names.setdefault(c.get(f"/a/{one}").body, []).append(one)
            c.get(f"/a/{one}/b")
        same = [sorted(spellings) for spellings in names.values() if len(spellings) > 1]
        assert same == [["%5Ba%5D", "[a]"]], same
        for one in IDS:
            assert c.request(method, f"/a/{one}").status == 200
            states = {o: c.get(f"/a/{o}").x_cache for o in IDS}
            cleared = {o for o, state in states.items() if state != "HIT"}
            # The first spelling that asks fills it for the other.
            assert cleared == {"[a]" if one == "%5Ba%5D" else one}, one
            below = c.get(f"/a/{one}/b").x_cache
            assert below == ("MISS" if method == "PUT" else "HIT"), one
