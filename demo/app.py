"""The service behind `make run`: a small Flask shop with a deliberately slow list.

It knows nothing of caches. Run by gunicorn with threads (scripts/run does it):
    PORT=8000 gunicorn --threads 16 --bind 127.0.0.1:8000 app:app
`python3 app.py token NAME` prints a signed-in user's token (HS256, DEMO_SECRET).
"""

import itertools
import os
import sys
import threading
import time

import jwt
from flask import Flask, abort, jsonify, request

SECRET = os.environ.get("DEMO_SECRET", "")
SLOW = 0.6  # seconds: the database, the paid API, the report

app = Flask(__name__)
lock = threading.Lock()
answers = itertools.count(1)
products = {i: {"id": i, "name": name, "price": price} for i, (name, price) in enumerate(
    [("Green tea", 4), ("Black tea", 3), ("Espresso", 9), ("Honey", 7)], 1)}


def answer(status=200, **fields):
    """JSON that says which answer of this process it is: a cached one keeps its number."""
    return jsonify(answer=next(answers), **fields), status


@app.get("/api/products")
def product_list():
    time.sleep(SLOW)
    with lock:
        return answer(products=list(products.values()))


@app.get("/api/products/<int:product_id>")
def product(product_id):
    time.sleep(SLOW / 2)
    with lock:
        row = products.get(product_id)
    if row is None:
        abort(404)
    return answer(product=row)


@app.post("/api/products")
def product_new():
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not body.get("name"):
        return answer(400, error="name is required")
    with lock:
        new_id = max(products) + 1
        products[new_id] = {"id": new_id, "name": str(body["name"]), "price": body.get("price")}
    return answer(201, product=products[new_id])


@app.get("/api/me")
def me():
    """Each user's own page: the token is checked here, and by Larder before a stored answer."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        user = jwt.decode(token, SECRET, algorithms=["HS256"])["sub"]
    except (jwt.InvalidTokenError, KeyError):
        return answer(401, error="not signed in")
    time.sleep(SLOW / 2)
    return answer(user=user, orders=[f"{user}-1", f"{user}-2"])


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "token":
        print(jwt.encode({"sub": sys.argv[2], "exp": int(time.time()) + 86400}, SECRET, "HS256"))
    else:
        sys.exit("usage: app.py token NAME (the service itself is run by gunicorn)")
