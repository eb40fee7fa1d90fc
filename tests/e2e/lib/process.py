"""A child process with its output in files, ended by its own pid only."""

import os
import shutil
import signal as signals
import subprocess
import time


class Process:
    def __init__(self, argv, log_dir, name, env=None, cwd=None):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.stdout_path = os.path.join(log_dir, f"{name}.stdout")
        self.stderr_path = os.path.join(log_dir, f"{name}.stderr")
        full_env = dict(os.environ)
        full_env.update({k: str(v) for k, v in (env or {}).items()})
        # Ends with this process even when that is killed. The kernel watches the thread that
        # starts it, so start processes from the test's main thread.
        setpriv = shutil.which("setpriv")
        argv = ([setpriv, "--pdeathsig", "TERM"] if setpriv else []) + self.argv
        with open(self.stdout_path, "ab") as out, open(self.stderr_path, "ab") as err:
            # Its own session, so that a Ctrl-C at pytest does not reach it before teardown.
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=full_env,
                cwd=cwd, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def returncode(self):
        return self.popen.poll()

    def alive(self):
        return self.popen.poll() is None

    def stdout(self):
        with open(self.stdout_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def signal(self, sig):
        self.popen.send_signal(sig)

    def wait(self, timeout):
        """Exit code, or TimeoutError."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} did not end within {timeout} s") from None

    def stop(self, sig=signals.SIGTERM, timeout=15):
        """Ends it (SIGKILL when it does not obey) and returns the exit code."""
        if self.alive():
            self.popen.send_signal(sig)
        try:
            return self.wait(timeout)
        except TimeoutError:
            self.popen.kill()
            self.popen.wait()
            raise

    def describe(self):
        return (f"{self.name}: {' '.join(self.argv)}\nexit code: {self.returncode}\n"
                f"--- stdout (end)\n{self.stdout()[-4000:]}\n"
                f"--- stderr (end)\n{self.stderr()[-8000:]}")


def wait_ready(process, check, timeout):
    """Polls check() until true; fails at once, with the logs, when the process is gone."""
    deadline = time.monotonic() + timeout
    while True:
        if not process.alive():
            raise AssertionError(f"{process.name} ended before it was ready\n{process.describe()}")
        try:
            if check():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"{process.name} not ready in {timeout} s\n{process.describe()}")
        time.sleep(0.02)
