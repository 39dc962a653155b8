# SPDX-License-Identifier: Apache-2.0
"""Hosts, and the processes on them.

A World starts processes on this host or in one of two network namespaces that it made; it ends what it
started, by process id, however the run ends. They are process groups, so that an interrupt reaches only
the program itself, but of one session: the kernel weighs sessions against each other (autogroup), and
sched_yield() hands a core over only within one. Should the program itself be
killed, the kernel ends its children, and the next run removes its namespaces.
"""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
READY_SECONDS = 15
POLL_SECONDS = 0.02
WAIT_SECONDS = 0.05  # between looks whether a program that measures has ended
PREFIX = "snaprpc-bench"
TAIL_LINES = 3
TAIL_CHARACTERS = 400


class Failed(Exception):
    """A run that did not work out: shown in the table, never hidden."""


class Interrupt:
    """An interrupt raises nothing where it happens to come, which may be in the middle of cleaning up or
    within a lock of subprocess's: it is seen where something is waited for."""
    is_asked = False

    @classmethod
    def ask(cls, *_):
        """Handler of a signal."""
        cls.is_asked = True

    @classmethod
    def check(cls):
        if cls.is_asked:
            raise KeyboardInterrupt


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _run_ip(*arguments):
    """In a process group of its own: an interrupt that comes while we clean up must not reach it."""
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, process_group=0)


def _ip(*arguments):
    run = _run_ip(*arguments)
    if run.returncode != 0:
        raise Failed(f"ip {' '.join(arguments)}: {run.stderr.strip()}")
    return run.stdout


def remove_stale_hosts():
    """Namespaces of earlier runs whose process is gone."""
    if not shutil.which("ip"):
        return
    listed = _run_ip("netns", "list").stdout
    for name, pid in re.findall(rf"^({PREFIX}-(\d+)-[ab])\b", listed, re.MULTILINE):
        if not os.path.exists(f"/proc/{pid}"):
            _run_ip("netns", "del", name)


class World:
    """One setup: "same-host", or "two-host" with an MTU. Use it in a `with`."""

    def __init__(self, setup, mtu):
        self.setup, self.mtu = setup, mtu
        self.is_two = setup == "two-host"
        self.processes = {}  # name: Popen
        self.programs = {}  # name: its program, for messages
        self.has_one_core = False  # what starts now on a single host shares core 0
        self.names = {}  # "a", "b": namespace
        self.work = tempfile.mkdtemp(prefix=f"{PREFIX}.")

    def __enter__(self):
        try:
            if self.is_two:
                self._make_hosts()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.end_all()
        for name in self.names.values():
            _run_ip("netns", "del", name)
        self.names = {}
        shutil.rmtree(self.work, ignore_errors=True)

    def _make_hosts(self):
        if os.geteuid() != 0 or not shutil.which("ip"):
            raise Failed("two hosts need network namespaces: run as root, with iproute2")
        for side in "ab":
            name = f"{PREFIX}-{os.getpid()}-{side}"
            _ip("netns", "add", name)
            self.names[side] = name
        a, b, mtu = self.names["a"], self.names["b"], str(self.mtu)
        _ip("-n", a, "link", "add", "wire", "mtu", mtu, "type", "veth",
            "peer", "name", "wire", "mtu", mtu, "netns", b)
        for side, last in (("a", 1), ("b", 2)):
            _ip("-n", self.names[side], "addr", "add", f"10.213.0.{last}/24", "dev", "wire")
            _ip("-n", self.names[side], "link", "set", "lo", "up")
            _ip("-n", self.names[side], "link", "set", "wire", "up")
        # The kernel says so up to a second later; until then UCX does not use the link.
        deadline = time.monotonic() + READY_SECONDS
        while not all(" state UP " in _ip("-n", name, "link", "show", "wire")
                      for name in self.names.values()):
            if time.monotonic() > deadline:
                raise Failed("the link between the two hosts does not come up")
            Interrupt.check()
            time.sleep(POLL_SECONDS)

    @property
    def server_side(self):
        return "b" if self.is_two else "a"

    @property
    def server_host(self):
        return "10.213.0.2" if self.is_two else "127.0.0.1"

    @property
    def device(self):
        return "wire" if self.is_two else "lo"

    def free_port(self, kind=socket.SOCK_STREAM):
        """A port nobody has. Namespaces are ours alone; on the host itself the kernel is asked."""
        if self.is_two:
            return 7100 if kind == socket.SOCK_STREAM else 4741
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def core(self, side):
        """The only core that what starts now on that host may use; None: all of them. Each of two hosts
        has one, so that neither takes what is the other's."""
        if self.is_two and os.cpu_count() > 1:
            return "ab".index(side)
        return 0 if self.has_one_core else None

    def command(self, side, arguments):
        """The same on that host. ip-netns and taskset exec, so the process id is the program's."""
        core = self.core(side)
        if core is not None:
            arguments = ["taskset", "-c", str(core), *arguments]
        if self.is_two:
            return ["ip", "netns", "exec", self.names[side], *arguments]
        return list(arguments)

    def environment(self, side, more=None):
        kept = {name: value for name, value in os.environ.items() if name != "SNAP_TRANSPORT"}
        return {**kept, "SNAPD_SOCKET": self.snapd_socket(side), **(more or {})}

    def snapd_socket(self, side):
        return os.path.join(self.work, f"snapd-{side if self.is_two else 'a'}.sock")

    def log(self, name, kind="out"):
        return os.path.join(self.work, f"{name}.{kind}")

    def start(self, name, side, arguments, environment=None):
        self.programs[name] = os.path.basename(arguments[0])
        with open(self.log(name), "w", encoding="utf-8") as out, \
             open(self.log(name, "err"), "w", encoding="utf-8") as err:
            # pylint: disable=subprocess-popen-preexec-fn
            process = subprocess.Popen(
                self.command(side, arguments), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=self.environment(side, environment), process_group=0,
                preexec_fn=_die_with_parent)
        self.processes[name] = process
        return process

    def output(self, name, kind="out"):
        """What it printed: "out", or "err"."""
        with open(self.log(name, kind), encoding="utf-8", errors="replace") as log:
            return log.read()

    def failure(self, name, how):
        """Which program failed, how, and what it said last."""
        program = self.programs[name]
        who = f"{name} ({program})" if program != name else name
        said = tail(self.output(name, "err")) or tail(plain(self.output(name)))
        return Failed(f"{who}: {how}" + (f": {said}" if said else ", and said nothing"))

    def until(self, name, is_ready):
        """Waits until `is_ready()`; the process that it waits for may not end meanwhile."""
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready():
            code = self.processes[name].poll()
            if code is not None:
                raise self.failure(name, f"ended too early, {how_it_ended(code)}")
            if time.monotonic() > deadline:
                raise self.failure(name, f"not ready after {READY_SECONDS} s")
            Interrupt.check()
            time.sleep(POLL_SECONDS)

    def listens(self, name, port):
        """Whether somebody listens at that TCP port on the host of the process."""
        local = re.compile(rf"^\s*\d+: [0-9A-F]+:{int(port):04X} [0-9A-F]+:0000 0A ", re.MULTILINE)
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{self.processes[name].pid}/net/{table}", encoding="ascii") as lines:
                if local.search(lines.read()):
                    return True
        return False

    def wait(self, name, seconds):
        """Waits for the end of a process; returns its output."""
        process = self.processes[name]
        deadline = time.monotonic() + seconds
        while (code := process.poll()) is None:
            if time.monotonic() > deadline:
                self.end(name)
                raise self.failure(name, f"no end after {seconds:.0f} s")
            Interrupt.check()
            time.sleep(WAIT_SECONDS)
        del self.processes[name]
        if code != 0:
            raise self.failure(name, how_it_ended(code))
        return self.output(name)

    def end(self, name):
        process = self.processes.get(name)
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        del self.processes[name]

    def end_all(self):
        for name in reversed(list(self.processes)):
            self.end(name)


def how_it_ended(code):
    """A return code of subprocess in words."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def plain(text):
    """Output that ends with a JSON object: what it says of errors, not its last brace."""
    start = text.find("{")
    try:
        found = json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        return text
    if not isinstance(found, dict):
        return text
    said = [f"{key} {found[key]}" for key in ("error", "failed", "lost", "calls") if key in found]
    return text[:start] + (", ".join(said) or json.dumps(found))


def tail(text):
    """The last lines in one, cut at the front only where they are very long."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-TAIL_LINES:])[-TAIL_CHARACTERS:]
