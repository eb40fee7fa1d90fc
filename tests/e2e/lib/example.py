"""The example configurations of conf/, with this test's ports and keys in their places."""

import os
import re

from .larder import REPO
from .tokens import SECRET, bearer, make_jwt


def example(name, extra=""):
    """Text of conf/NAME.conf for the `larder` fixture, `extra` appended.

    Only what a test cannot have as it stands there is replaced: the port, and the keys of the
    tokens (the applications of tests/backends know one HS256 secret).
    """
    with open(os.path.join(REPO, "conf", f"{name}.conf"), encoding="utf-8") as f:
        text = f.read()
    text, n = re.subn(r"^listen .*$", "listen 127.0.0.1:%PORT%", text, flags=re.M)
    assert n == 1, f"conf/{name}.conf has {n} listen lines"
    text = re.sub(r"^(jwt +main) .*$", rf"\1 alg=HS256 secret={SECRET}", text, flags=re.M)
    return f"{text}\n{extra}\n"


def signed_in(sub="ann", org="org-1", **more):
    """Header fields of a user of an organization."""
    return bearer(make_jwt(sub=sub, organizationId=org, **more))


JSON = [("Content-Type", "application/json")]
