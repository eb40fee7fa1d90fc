"""A larder with a dashboard, and what its page shows in a browser."""

import json
import socket
import urllib.request

from .origin import answer
from .ports import free_port
from .wait import eventually

TOKEN = "0123456789abcdef-admin"
CONF = """
admin 127.0.0.1:%ADMIN% %TOKEN%
upstream main %UP%
defaults { upstream main }
type product { ttl 1h; scope public }
route GET /api/products      { type product; key products:list:{query} }
route GET /api/products/{id} { type product; key products:item:{id} }
route GET /quick             { ttl 1h; scope public; key quick:{query} }
"""


class Site:
    """A larder with an admin plane."""

    def __init__(self, larder, origin, token=TOKEN, **kw):
        origin.default = answer(200, b"body")
        self.admin = kw.pop("admin", None) or free_port()
        self.token = token
        self.url = f"http://127.0.0.1:{self.admin}/"
        self.proxy = larder(kw.pop("conf", CONF), admin=self.admin, token=f"token={token}" if token else "",
                            up=origin.url, **kw)
        # The data port may be open a moment before the admin address.
        eventually(lambda: socket.create_connection(("127.0.0.1", self.admin), 5).close() or True, 20)

    def ask(self, path):
        request = urllib.request.Request(self.url + path)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as response:
            return json.load(response)

    def traffic(self):
        """8 requests: 3 misses, 4 hits, 1 of no route."""
        for target in ("/api/products?page=1", "/api/products/7", "/api/products/8"):
            assert self.proxy.get(target).header("x-cache") == "MISS"
        for target in ("/api/products/7",) * 3 + ("/api/products/8",):
            assert self.proxy.get(target).header("x-cache") == "HIT"
        assert self.proxy.get("/elsewhere").status == 200

    def settle(self, n):
        """Waits until n requests are counted; the counters are those of finished ones."""
        eventually(lambda: self.ask("stats")["total_requests"] == n, 20)


def is_live(browser):
    return browser.text("#link") == "Live" and browser.shown("#board")


def only(browser, url):
    """Nothing was asked of anybody else, and nothing was wrong."""
    assert browser.console() == []
    strangers = [u for u in browser.requests() if not u.startswith((url, "data:", "about:"))]
    assert strangers == []
