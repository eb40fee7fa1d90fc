"""The admin plane of a running proxy."""

import json
import socket

from .ports import free_port
from .raw import RawClient
from .wait import eventually

TOKEN = "0123456789abcdef0123456789abcdef"


class Admin:
    """Requests to the admin address on `port`, with the token unless told otherwise."""

    def __init__(self, port, token=TOKEN):
        self.port = port
        self.token = token

    def request(self, method, target, body=None, headers=(), token=True, **kw):
        """body: bytes, or anything that becomes JSON; token: True, False or another one."""
        headers = list(headers)
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            if not any(name.lower() == "content-type" for name, _ in headers):
                headers.append(("Content-Type", "application/json"))
        if token:
            value = self.token if token is True else token
            headers.append(("Authorization", f"Bearer {value}"))
        with RawClient(self.port, timeout=kw.pop("timeout", 30)) as c:
            return c.request(method, target, headers, data, **kw)

    def accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        except ConnectionRefusedError:
            return False

    def get(self, target, **kw):
        return self.request("GET", target, **kw)

    def post(self, target, body=None, **kw):
        return self.request("POST", target, body, **kw)

    def delete(self, target, **kw):
        return self.request("DELETE", target, **kw)


def with_admin(conf):
    """The configuration with an `admin` directive, and the values that it wants."""
    return f"admin 127.0.0.1:%ADMIN_PORT% token={TOKEN}\n" + conf, {"admin_port": free_port()}


def start_admin(larder, conf, **values):
    """A proxy with an admin plane: (larder, Admin)."""
    conf, wanted = with_admin(conf)
    proxy = larder(conf, **{**wanted, **values})
    admin = Admin(proxy.values["admin_port"])
    eventually(admin.accepts, 15, "the admin address is listened on")
    return proxy, admin


def is_problem(response, status):
    """Is it a problem document (RFC 9457) with this status? The document."""
    assert response.status == status, response
    assert response.header("content-type") == "application/problem+json"
    assert response.header("cache-control") == "no-store"
    assert response.header("x-content-type-options") == "nosniff"
    problem = response.json()
    assert problem["type"] == "about:blank" and problem["status"] == status, problem
    assert problem["title"] and problem["detail"]
    return problem
