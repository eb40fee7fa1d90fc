"""Flask, system 5: private answers are kept for one user or one organization, never shared."""

from lib.cache import miss_then_hit, seen
from lib.example import example, signed_in


def test_each_user_has_a_copy(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    ann = miss_then_hit(proxy, "/api/users/ann", signed_in("ann")).json()
    bob = miss_then_hit(proxy, "/api/users/bob", signed_in("bob")).json()
    assert (ann["seen_by"], ann["secret"]) == ("ann", "diary of ann")
    assert (bob["seen_by"], bob["secret"]) == ("bob", "diary of bob")


def test_a_stored_page_is_not_shown_to_another_user(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    miss_then_hit(proxy, "/api/users/ann", signed_in("ann"))
    for _ in range(2):
        answer = proxy.get("/api/users/ann", signed_in("bob"))
        assert answer.status == 403 and b"diary" not in answer.body
    # An administrator sees the page, and what he saw is his: it says so.
    admin = signed_in("root", admin=True)
    assert miss_then_hit(proxy, "/api/users/ann", admin).json()["seen_by"] == "root"
    assert proxy.get("/api/users/ann", signed_in("ann")).json()["seen_by"] == "ann"
    assert proxy.get("/api/users/ann", signed_in("bob")).status == 403


def test_nobody_is_nobody(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    miss_then_hit(proxy, "/api/users/ann", signed_in("ann"))
    for _ in range(2):
        answer = proxy.get("/api/users/ann")
        assert (answer.status, seen(answer)) == (401, ("BYPASS", "no-user"))
    assert app.count("/api/users/ann") == 3


def test_search_and_analytics_are_kept_per_organization(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    for target in ("/api/search?q=product", "/api/analytics"):
        for org in ("org-1", "org-2"):
            answer = miss_then_hit(proxy, target, signed_in("ann", org))
            assert answer.json()["org"] == org
            # A colleague shares it.
            assert proxy.get(target, signed_in("eve", org)).body == answer.body
        assert app.count(target.split("?")[0]) == 2
        assert seen(proxy.get(target)) == ("BYPASS", "no-org")
