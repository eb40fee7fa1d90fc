"""The Flask API of requirements.md, system 5, without any cache of its own.

Dashboard, search, users, products and analytics as a team would write them; each answer holds a
serial number, so a test can tell a fresh answer from a stored one. Run by gunicorn in one process:
    PORT=8000 gunicorn --threads 16 --bind 127.0.0.1:$PORT app:app
Environment: DELAY (seconds each /api answer takes, 0), JWT_SECRET (HS256).
"""

import collections
import hashlib
import itertools
import os
import threading
import time

import jwt
from flask import Flask, Response, abort, jsonify, request

DELAY = float(os.environ.get("DELAY", "0"))
SECRET = os.environ.get("JWT_SECRET", "a-test-secret-of-more-than-32-bytes!")

app = Flask(__name__)
lock = threading.Lock()


def initial_products():
    return {i: {"id": i, "name": f"Product {i}", "category": ("tea", "coffee")[i % 2],
                "price": 100 + i} for i in range(1, 26)}


class State:
    """Everything that POST /_reset puts back."""

    def __init__(self):
        self.serials = itertools.count(1)
        self.counts = collections.Counter()
        self.products = initial_products()


state = State()


def answer(status=200, **fields):
    """JSON with the next serial number."""
    return jsonify(serial=next(state.serials), **fields), status


def caller():
    """Claims of the verified bearer token, or 401."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        abort(401)
    try:
        return jwt.decode(token, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        abort(401)


@app.before_request
def count_and_delay():
    if request.path.startswith("/_"):
        return
    with lock:
        state.counts[request.path] += 1
    if DELAY and request.path.startswith("/api/"):
        time.sleep(DELAY)


@app.errorhandler(401)
@app.errorhandler(403)
@app.errorhandler(404)
def problem(error):
    return answer(error.code, error=error.name)


@app.get("/api/dashboard")
def dashboard():
    with lock:
        return answer(products=len(state.products), revenue=sum(
            p["price"] for p in state.products.values()))


@app.get("/api/search")
def search():
    claims = caller()
    q = request.args.get("q", "").lower()
    with lock:
        found = [p for p in state.products.values() if q in p["name"].lower()]
    return answer(q=q, org=claims.get("organizationId"), results=found)


@app.get("/api/users/<user_id>")
def user(user_id):
    claims = caller()
    if claims.get("sub") != user_id and not claims.get("admin"):
        abort(403)
    return answer(id=user_id, seen_by=claims.get("sub"), secret=f"diary of {user_id}")


@app.get("/api/analytics")
def analytics():
    claims = caller()
    return answer(org=claims.get("organizationId"), visits=4711)


@app.get("/api/products")
def product_list():
    page = request.args.get("page", 1, type=int)
    limit = request.args.get("limit", 10, type=int)
    category = request.args.get("category")
    with lock:
        rows = [p for p in state.products.values() if category in (None, p["category"])]
    return answer(page=page, total=len(rows), products=rows[(page - 1) * limit:page * limit])


@app.get("/api/products/<int:product_id>")
def product(product_id):
    with lock:
        row = state.products.get(product_id)
    if row is None:
        abort(404)
    return answer(product=row)


@app.post("/api/products")
def product_new():
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not body.get("name"):
        return answer(400, error="name is required")
    with lock:
        new_id = max(state.products, default=0) + 1
        state.products[new_id] = dict(body, id=new_id)
    return answer(201, product=state.products[new_id])


@app.route("/api/products/<int:product_id>", methods=["PUT", "PATCH"])
def product_change(product_id):
    body = request.get_json(silent=True) or {}
    with lock:
        if product_id not in state.products:
            abort(404)
        state.products[product_id] = {**state.products[product_id], **body, "id": product_id}
    return answer(product=state.products[product_id])


@app.delete("/api/products/<int:product_id>")
def product_delete(product_id):
    with lock:
        if state.products.pop(product_id, None) is None:
            abort(404)
    return "", 204


@app.get("/api/report")
def report():
    """A longer text with ETag and Last-Modified, made conditional by Flask itself."""
    with lock:
        text = "\n".join(f"{p['id']};{p['name']};{p['price']}" for p in state.products.values())
    response = Response(text * 20, mimetype="text/csv")
    response.add_etag()
    response.last_modified = 1700000000
    return response.make_conditional(request)


@app.get("/api/events")
def events():
    """Server-Sent Events: one now, the others each 0.1 s later."""
    def stream():
        for n in range(3):
            yield f"id: {n}\ndata: {next(state.serials)}\n\n"
            time.sleep(0.1)
    return Response(stream(), content_type="text/event-stream; charset=utf-8")


@app.post("/upload")
def upload():
    """Reads a body of any size piece by piece."""
    digest, size = hashlib.sha256(), 0
    while piece := request.stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return answer(size=size, sha256=digest.hexdigest())


@app.route("/echo", defaults={"rest": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@app.route("/echo/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def echo(rest):
    """Everything about the request comes back in the body."""
    return answer(
        method=request.method, path=request.path, raw_uri=request.environ.get("RAW_URI"),
        host=request.host, headers=[[n, v] for n, v in request.headers],
        query=[[n, v] for n, v in request.args.items(multi=True)],
        cookies=[[n, v] for n, v in request.cookies.items(multi=True)],
        body=request.get_data(as_text=True))


@app.get("/_health")
def health():
    return jsonify(ok=True)


@app.get("/_count")
def count():
    with lock:
        return jsonify(total=sum(state.counts.values()), paths=dict(state.counts))


@app.post("/_reset")
def reset():
    global state
    state = State()
    return jsonify(ok=True)
