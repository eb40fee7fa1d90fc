"""must-understand and the no-store beside it (RFC 9111 5.2.2.3)."""

import pytest
from lib.follow import CONF, reused


@pytest.mark.parametrize("status, control, kept", [
    (200, "max-age=3600, no-store, must-understand", True),
    (200, "must-understand, no-store, max-age=3600", True),
    (404, "max-age=3600, no-store, must-understand", True),
    (599, "max-age=3600, no-store, must-understand", False),
    (299, "max-age=3600, no-store, must-understand", False),
    (200, "max-age=3600, must-understand", True),
    (599, "max-age=3600, must-understand", False),
    (200, "max-age=3600, no-store", False),
    (599, "max-age=3600", True),
    (200, "max-age=3600, no-store, must-understand=1", False),  # malformed: it permits nothing
    (200, "no-store, must-understand", False),                  # it says nothing of freshness
    (200, "private, max-age=3600, no-store, must-understand", False),
])
def test_no_store_counts_for_those_who_do_not_understand(larder, origin, status, control, kept):
    proxy = larder(CONF, origin=origin.url)
    assert reused(proxy, origin, {"Cache-Control": control}, status) == kept
