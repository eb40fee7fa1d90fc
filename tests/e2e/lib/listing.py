"""GET /keys, all pages of it."""

import urllib.parse

from .explaining import ask


def pages(proxy, **query):
    """All items, following the cursor; the sizes of the pages."""
    found, sizes = [], []
    while True:
        page = ask(proxy, "/keys?" + urllib.parse.urlencode(query) if query else "/keys")
        found += page["keys"]
        sizes.append(len(page["keys"]))
        if page["cursor"] is None:
            return found, sizes
        query["cursor"] = page["cursor"]


def names(items):
    return sorted(item["name"] for item in items)
