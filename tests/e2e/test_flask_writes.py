"""Flask, system 5: a written product clears what shows products, and only that."""

from lib.example import JSON, example, signed_in

DASHBOARD, SEARCH = "/api/dashboard", "/api/search?q=product"
LIST, ITEM, OTHER = "/api/products?limit=30", "/api/products/7", "/api/products/8"
USER, ANALYTICS = "/api/users/ann", "/api/analytics"
EVERYTHING = [DASHBOARD, SEARCH, LIST, ITEM, OTHER, USER, ANALYTICS]


def start(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    for target in EVERYTHING:
        assert proxy.get(target, signed_in()).x_cache == "MISS"
    assert states(proxy) == ["HIT"] * 7
    return proxy


def states(proxy):
    return [proxy.get(target, signed_in()).x_cache for target in EVERYTHING]


def test_new_product_clears_products_search_and_dashboard(larder, backend):
    proxy = start(larder, backend)
    new = proxy.post("/api/products", b'{"name": "Sencha", "category": "tea", "price": 5}', JSON)
    assert new.status == 201 and new.x_cache == "PASS"
    names = [p["name"] for p in proxy.get(LIST, signed_in()).json()["products"]]
    assert "Sencha" in names
    assert proxy.get(DASHBOARD).json()["products"] == 26
    # The list and the dashboard were just filled anew.
    assert states(proxy) == ["HIT", "MISS", "HIT", "MISS", "MISS", "HIT", "HIT"]


def test_changed_product_clears_its_item_the_lists_and_search(larder, backend):
    proxy = start(larder, backend)
    put = proxy.request("PUT", ITEM, JSON, b'{"name": "Renamed"}')
    assert put.status == 200
    assert proxy.get(ITEM).json()["product"]["name"] == "Renamed"
    assert states(proxy) == ["HIT", "MISS", "MISS", "HIT", "HIT", "HIT", "HIT"]


def test_deleted_product_is_gone_at_once(larder, backend):
    proxy = start(larder, backend)
    assert proxy.request("DELETE", ITEM).status == 204
    assert proxy.get(ITEM).status == 404
    assert proxy.get(OTHER).x_cache == "HIT"
    assert 7 not in [p["id"] for p in proxy.get(LIST).json()["products"]]


def test_refused_write_clears_nothing(larder, backend):
    proxy = start(larder, backend)
    assert proxy.post("/api/products", b'{"price": 5}', JSON).status == 400
    assert proxy.request("PUT", "/api/products/9999", JSON, b"{}").status == 404
    assert states(proxy) == ["HIT"] * 7
