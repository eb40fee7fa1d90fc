"""Checks of partial answers (RFC 9110 section 14)."""

import re


def part(response):
    """(first, last, whole length, bytes) of a single-part 206; its lengths must agree."""
    assert response.status == 206, response
    values = response.all("content-range")
    assert len(values) == 1, response
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", values[0])
    assert match, values[0]
    first, last, length = map(int, match.groups())
    assert len(response.body) == last - first + 1, response
    return first, last, length, response.body


def parts(response):
    """[(media type, first, last, whole length, bytes)] of a multipart/byteranges 206.

    Read by lengths, not by searching for the boundary: what the parts hold is the test's choice.
    """
    assert response.status == 206, response
    assert response.header("content-range") is None, "it belongs to the parts"
    types = response.all("content-type")
    assert len(types) == 1, response
    match = re.fullmatch(r"multipart/byteranges; ?boundary=([A-Za-z0-9]{16,70})", types[0])
    assert match, types[0]
    delimiter = b"--" + match.group(1).encode()
    rest = response.body
    found = []
    while True:
        rest = rest[2:] if rest.startswith(b"\r\n") else rest
        assert rest.startswith(delimiter), rest[:100]
        rest = rest[len(delimiter):]
        if rest.startswith(b"--"):
            assert rest in (b"--", b"--\r\n"), rest[:100]
            return found
        assert rest.startswith(b"\r\n"), rest[:100]
        head, rest = rest[2:].split(b"\r\n\r\n", 1)
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
        fields = {n.lower(): v.decode() for n, v in fields.items()}
        first, last, length = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)",
                                                    fields["content-range".encode()]).groups())
        n = last - first + 1
        found.append((fields.get(b"content-type"), first, last, length, rest[:n]))
        assert len(rest) >= n
        rest = rest[n:]


def body_of(n):
    """n bytes in which every place differs from its neighbours."""
    return b"".join(b"%07d\n" % i for i in range((n + 7) // 8))[:n]
