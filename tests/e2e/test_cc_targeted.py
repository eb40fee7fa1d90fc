"""Targeted cache control (RFC 9213): CDN-Cache-Control and Larder-Cache-Control."""

import time
from email.utils import formatdate

import pytest
from lib.follow import CONF, reused
from lib.origin import answer

NOW = time.time()
PAST, SOON, FUTURE = (formatdate(NOW + s, usegmt=True) for s in (-10000, 1, 10000))
DATE = formatdate(NOW - 30, usegmt=True)

# name: (fields, is the answer reused?); what is half a minute old is older than a second
CASES = {
    "max-age": ({"CDN": "max-age=3600"}, True),
    "max-age of 31 bits": ({"CDN": "max-age=2147483648"}, True),
    "max-age beyond 31 bits": ({"CDN": "max-age=99999999999"}, True),
    "Age counts": ({"CDN": "max-age=3600", "Age": "7200"}, False),
    "space before =": ({"CDN": "max-age =100", "CC": "max-age=1"}, False),
    "space after =": ({"CDN": "max-age= 100", "CC": "max-age=1"}, False),
    "max-age=0": ({"CDN": "max-age=0"}, False),
    "extension": ({"CDN": "foobar, max-age=3600"}, True),
    "capitals are no key of a dictionary": ({"CDN": "MaX-aGe=3600"}, False),
    "past Expires": ({"CDN": "max-age=3600", "Expires": PAST}, True),
    "invalid Expires": ({"CDN": "max-age=3600", "Expires": "0"}, True),
    "max-age=0, future Expires": ({"CDN": "max-age=0", "Expires": FUTURE}, False),
    "longer than Cache-Control": ({"CDN": "max-age=3600", "CC": "max-age=1"}, True),
    "shorter than Cache-Control": ({"CDN": "max-age=1", "CC": "max-age=3600"}, False),
    "private": ({"CDN": "private", "CC": "max-age=10000", "Expires": FUTURE}, False),
    "no-cache": ({"CDN": "no-cache", "CC": "max-age=10000", "Expires": FUTURE}, False),
    "no-store": ({"CDN": "no-store", "CC": "max-age=10000", "Expires": FUTURE}, False),
    "fresh, Cache-Control: no-store": ({"CDN": "max-age=10000", "CC": "no-store"}, True),
    "invalid member": ({"CDN": "max-age=10000, &&&&&", "CC": "no-store"}, False),
    "invalid member, fresh Cache-Control": ({"CDN": "max-age=0, &&&&&", "CC": "max-age=6000"}, True),
    "max-age of another type": ({"CDN": 'max-age="10000"', "CC": "no-store"}, False),
    "max-age of a decimal": ({"CDN": "max-age=10.5", "CC": "max-age=6000"}, False),
    "negative max-age": ({"CDN": "max-age=-1", "CC": "max-age=6000"}, False),
    "empty": ({"CDN": "", "CC": "max-age=6000"}, True),
    "must-revalidate does not make it fresh": ({"CDN": "must-revalidate"}, False),
    "s-maxage over max-age": ({"CDN": "max-age=1, s-maxage=6000"}, True),
    "no-store=?0 is not there": ({"CDN": "max-age=6000, no-store=?0"}, True),
    "parameters": ({"CDN": "max-age=6000;a=b"}, True),
    "the last of two counts": ({"CDN": "max-age=0, max-age=6000"}, True),
    "our own before the CDN's": ({"Own": "max-age=6000", "CDN": "no-store"}, True),
    "our own no-store": ({"Own": "no-store", "CDN": "max-age=6000", "CC": "max-age=6000"}, False),
    "our own invalid": ({"Own": "&", "CDN": "max-age=6000", "CC": "no-store"}, True),
}
NAMES = {"CDN": "CDN-Cache-Control", "Own": "Larder-Cache-Control", "CC": "Cache-Control"}


@pytest.mark.parametrize("case", CASES)
def test_who_decides(larder, origin, case):
    fields, expected = CASES[case]
    proxy = larder(CONF, origin=origin.url)
    fields = {"Date": DATE, **{NAMES.get(n, n): v for n, v in fields.items()}}
    assert reused(proxy, origin, fields) == expected


def test_two_lines_are_one_dictionary(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    lines = [("CDN-Cache-Control", "max-age=60"), ("CDN-Cache-Control", "no-store")]
    assert not reused(proxy, origin, lines)


def test_the_cdns_field_is_passed_on_and_our_own_is_not(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"x", {"CDN-Cache-Control": "max-age=60",
                                          "Larder-Cache-Control": "max-age=60"}))
    for result in ("MISS", "HIT"):
        got = proxy.get("/r")
        assert got.x_cache == result
        assert got.all("cdn-cache-control") == ["max-age=60"]
        assert got.header("larder-cache-control") is None


def test_what_is_longer_than_cache_control_keeps_its_dates(larder, origin):
    """Whoever is behind us sees how old the answer is: Age, Date and Expires are the truth."""
    proxy = larder(CONF, origin=origin.url)
    fields = {"Cache-Control": "max-age=1", "CDN-Cache-Control": "max-age=10000", "Date": DATE,
              "Expires": SOON}
    assert reused(proxy, origin, fields)
    got = proxy.get("/r")
    assert (got.all("date"), got.all("expires")) == ([DATE], [SOON])
    assert int(got.header("age")) >= 30
    assert got.all("cache-control") == ["max-age=1"]


def test_stale_windows_of_the_targeted_field(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    fields = {"CDN-Cache-Control": "max-age=60, stale-while-revalidate=60", "Age": "61",
              "Cache-Control": "no-store"}
    origin.route("/r", answer(200, b"x", fields))
    proxy.get("/r")
    assert proxy.get("/r").x_cache == "STALE"
