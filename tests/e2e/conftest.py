"""Fixtures of the end-to-end tests; README.md in this folder has an example."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib.backends import Backend  # noqa: E402
from lib.larder import Larder  # noqa: E402
from lib.origin import FakeOrigin  # noqa: E402
from lib.redis import FaultProxy, RedisServer  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what its proxies logged."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for larder in getattr(item, "larders", ()):
            report.sections.append(("larder", larder.process.describe()))


@pytest.fixture
def larder(request, tmp_path):
    """Factory: larder(conf, env=None, args=(), wait=True, **values) -> lib.larder.Larder.

    %NAME% in conf is replaced by values["name"]; %PORT% and %DIR% are always there. At teardown
    each must end with exit code 0 on SIGTERM and without a sanitizer report.
    """
    started = request.node.larders = []

    def start(conf, **kw):
        name = kw.pop("name", f"larder{len(started) or ''}")
        proxy = Larder(tmp_path, conf, name=name, **kw)
        started.append(proxy)
        return proxy

    yield start
    errors = []
    for proxy in reversed(started):
        try:
            proxy.finish()
        except (AssertionError, TimeoutError) as e:
            errors.append(str(e))
            proxy.kill()
    assert not errors, "\n".join(errors)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A lib.browser.Browser."""
    from lib.browser import Browser  # selenium is slow to load, and few need it

    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.quit()


@pytest.fixture
def make_redis(tmp_path):
    """Factory: make_redis(password=…, appendonly=…, tls=…, options=…) -> lib.redis.RedisServer."""
    made = []

    def make(**kw):
        made.append(RedisServer(tmp_path, kw.pop("name", f"redis{len(made) or ''}"), **kw))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def redis(make_redis):
    """One started redis-server."""
    return make_redis()


@pytest.fixture
def faults(redis):
    """A lib.redis.FaultProxy in front of it."""
    proxy = FaultProxy(redis.port)
    yield proxy
    proxy.stop()


@pytest.fixture
def make_origin():
    """Factory: make_origin(**kw) -> a started lib.origin.FakeOrigin."""
    made = []

    def make(**kw):
        made.append(FakeOrigin(**kw).start())
        return made[-1]

    yield make
    for origin in made:
        origin.stop()
    errors = [e for origin in made for e in origin.errors]
    assert not errors, f"errors in the fake origin's script: {errors!r}"


@pytest.fixture
def origin(make_origin):
    """One started fake origin."""
    return make_origin()


@pytest.fixture(scope="session")
def _backends(tmp_path_factory):
    running = {}
    yield running
    for backend in running.values():
        backend.stop()


@pytest.fixture
def backend(_backends, tmp_path_factory):
    """Factory: backend("flask", **env) -> lib.backends.Backend, its data and counters reset.

    The process is kept for the other tests of this worker that want the same one.
    """
    def get(name, **env):
        key = (name, tuple(sorted(env.items())))
        if key in _backends and not _backends[key].process.alive():
            del _backends[key]
        if key not in _backends:
            _backends[key] = Backend(name, tmp_path_factory.mktemp(name), env)
        _backends[key].reset()
        return _backends[key]

    return get
