"""The FastAPI service of requirements.md, system 3, without any cache of its own.

Lists by offset (limit, offset) and by cursor (limit, cursor), and volumes per pair, whose cache
keys were volume:PAIR:INTERVAL. Each answer holds a serial number.
    uvicorn --port $PORT app:app
Environment: DELAY (seconds each /api answer takes, 0).
"""

import asyncio
import base64
import binascii
import collections
import itertools
import os

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

DELAY = float(os.environ.get("DELAY", "0"))

app = FastAPI(title="Markets")


class State:
    """Everything that POST /_reset puts back. One process, one thread: no locks."""

    def __init__(self):
        self.serials = itertools.count(1)
        self.counts = collections.Counter()
        self.pools = [{"id": i, "name": f"pool-{i}"} for i in range(100)]
        self.trades = [{"id": i, "pair": ("btc-usd", "eth-usd")[i % 2], "amount": i * 10}
                       for i in range(100)]


class Trade(BaseModel):
    pair: str
    amount: int


state = State()


def answer(**fields):
    return {"serial": next(state.serials), **fields}


@app.middleware("http")
async def count_and_delay(request: Request, call_next):
    path = request.url.path
    if not path.startswith("/_"):
        state.counts[path] += 1
    if DELAY and path.startswith("/api/"):
        await asyncio.sleep(DELAY)
    return await call_next(request)


@app.get("/api/pools")
async def pools(limit: int = Query(20, ge=1, le=100), offset: int = Query(0, ge=0)):
    rows = state.pools[offset:offset + limit]
    return answer(items=rows, total=len(state.pools), limit=limit, offset=offset)


@app.get("/api/trades")
async def trades(limit: int = Query(20, ge=1, le=100), cursor: str = ""):
    start = decode_cursor(cursor)
    rows = state.trades[start:start + limit]
    more = start + limit < len(state.trades)
    return answer(items=rows, next=encode_cursor(start + limit) if more else None)


@app.post("/api/trades", status_code=201)
async def new_trade(trade: Trade):
    row = {"id": len(state.trades), "pair": trade.pair, "amount": trade.amount}
    state.trades.append(row)
    return answer(trade=row)


@app.get("/api/volume/{pair}")
async def volume(pair: str, interval: str = "1d"):
    rows = [t for t in state.trades if t["pair"] == pair]
    if not rows:
        raise HTTPException(404, "no such pair")
    return answer(pair=pair, interval=interval, volume=sum(t["amount"] for t in rows))


@app.delete("/api/trades/{trade_id}", status_code=204)
async def delete_trade(trade_id: int):
    left = [t for t in state.trades if t["id"] != trade_id]
    if len(left) == len(state.trades):
        raise HTTPException(404, "no such trade")
    state.trades = left
    return Response(status_code=204)


@app.get("/api/stream")
async def stream():
    """Server-Sent Events: one now, the others each 0.1 s later."""
    async def events():
        for n in range(3):
            yield f"id: {n}\ndata: {next(state.serials)}\n\n"
            await asyncio.sleep(0.1)
    return StreamingResponse(events(), media_type="text/event-stream")


@app.api_route("/echo/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def echo(rest: str, request: Request):
    """Everything about the request comes back in the body."""
    return answer(
        method=request.method, path=request.url.path,
        raw_path=request.scope["raw_path"].decode("latin-1"),
        headers=[list(h) for h in request.headers.items()],
        query=[list(q) for q in request.query_params.multi_items()],
        cookies=[list(c) for c in request.cookies.items()],
        body=(await request.body()).decode("latin-1"))


@app.get("/_health")
async def health():
    return {"ok": True}


@app.get("/_count")
async def count():
    return {"total": sum(state.counts.values()), "paths": dict(state.counts)}


@app.post("/_reset")
async def reset():
    global state
    state = State()
    return JSONResponse({"ok": True})


def encode_cursor(position):
    return base64.urlsafe_b64encode(f"after:{position}".encode()).decode()


def decode_cursor(cursor):
    if not cursor:
        return 0
    try:
        word, _, position = base64.urlsafe_b64decode(cursor).decode().partition(":")
        if word != "after":
            raise ValueError(word)
        return int(position)
    except (ValueError, binascii.Error):
        raise HTTPException(400, "bad cursor") from None
