#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of benchmarks/harness: shape of results.json, medians, direction of ratios, and that failures
show. usage: harness_test.py BUILD_DIR"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "benchmarks"))
# pylint: disable=wrong-import-position
from harness import cpu, hosts, plan, results, show, systems, targets

BUILD = ""
ABOUT = {**results.machine(commit=False), "mode": "quick"}


def raw(value, cpu_s=1.0, machine_s=0.5, p50_us=10.0, unit="calls/s"):
    return {"value": value, "unit": unit, "seconds": 1.0, "machine_cpu_s": machine_s, "calls": value,
            "process_cpu_s": {"server": cpu_s / 2, "client": cpu_s / 2}, "transport": "x", "lost": 0,
            "in_flight": 64, "rtt_p50_us": p50_us, "rtt_p99_us": 20.0, "rtt_p999_us": 30.0}


def variant(test="rpc_rate", systems=("pony", "tcp", "grpc"), **changes):
    given = {"test": test, "setup": "two-host", "mtu": 1500, "size": 64, "inflight": 64, "streams": 1}
    return plan.Variant(**{**given, **changes}, systems=systems)


class Figures(unittest.TestCase):
    def test_a_document_has_every_field_and_no_fault(self):
        v = variant()
        document = results.build([(1, v, s, raw(100)) for s in v.systems], ABOUT)
        self.assertEqual(results.check(document), [])
        self.assertEqual([e["system"] for e in document["results"]], ["pony", "tcp", "grpc"])
        for field in results.FIELDS:
            self.assertIn(field, document["results"][0])
        json.dumps(document, allow_nan=False)

    def test_check_finds_what_is_missing(self):
        v = variant()
        document = results.build([(1, v, "pony", raw(100))], ABOUT)
        del document["results"][0]["per_core"]
        document["ratios"]["nonsense"] = 1
        document["schema_version"] = 7
        self.assertEqual(len(results.check(document)), 3)

    def test_ratios_are_medians_over_rounds_of_the_same_round(self):
        v, runs = variant(), []
        for number, (ours, theirs) in enumerate(((40, 10), (90, 30), (100, 10)), 1):
            runs += [(number, v, "pony", raw(ours)), (number, v, "grpc", raw(theirs))]
        document = results.build(runs, ABOUT)
        self.assertAlmostEqual(document["ratios"]["rpc_rate/two-host/pony:grpc"], 4.0)
        self.assertAlmostEqual(document["results"][0]["value"], 90)
        self.assertEqual(document["results"][0]["rounds"], 3)

    def test_lower_latency_gives_a_larger_ratio(self):
        v = variant("rpc_lat", inflight=1)
        runs = [(1, v, "tcp", raw(1, p50_us=5.0)), (1, v, "grpc", raw(1, p50_us=100.0))]
        self.assertAlmostEqual(results.build(runs, ABOUT)["ratios"]["rpc_lat/two-host/tcp:grpc"], 20.0)

    def test_cpu_is_the_larger_of_machine_and_processes(self):
        v = variant()
        for cpu_s, machine_s, cores in ((1.0, 0.5, 1.0), (1.0, 1.8, 1.8)):
            document = results.build([(1, v, "pony", raw(100, cpu_s, machine_s))], ABOUT)
            self.assertAlmostEqual(document["results"][0]["cores"], cores)
            self.assertAlmostEqual(document["results"][0]["per_core"], 100 / cores)
            self.assertEqual(set(document["results"][0]["processes"]), {"server", "client"})

    def test_cpu_of_threads_that_ended_counts(self):
        program = ("import threading, time\n"
                   "def burn():\n"
                   "    while time.thread_time() < 0.05: pass\n"
                   "t = threading.Thread(target=burn); t.start(); t.join(); print(); input()")
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            self.assertGreaterEqual(cpu.process_seconds(process.pid), 0.05)
        self.assertEqual(cpu.process_seconds(process.pid), 0)

    def test_the_short_key_is_the_worst_headline(self):
        one = variant("rpc_bw", inflight=8, mtu=9000)
        many = variant("rpc_bw", inflight=200, streams=200, mtu=9000)
        slow = variant("rpc_bw", inflight=8, mtu=1500)
        runs = [(1, one, "pony", raw(50)), (1, one, "tcp", raw(10)), (1, many, "pony", raw(40)),
                (1, many, "tcp", raw(10)), (1, slow, "pony", raw(10)), (1, slow, "tcp", raw(10))]
        ratios = results.build(runs, ABOUT)["ratios"]
        self.assertAlmostEqual(ratios["rpc_bw/two-host/pony:tcp"], 4.0)
        self.assertEqual(sum(key.endswith("pony:tcp") for key in ratios), 4)

    def test_scale_compares_one_connection_with_many(self):
        runs = [(1, variant("scale", streams=1), "pony", raw(1000)),
                (1, variant("scale", streams=10000), "pony", raw(800))]
        document = results.build(runs, ABOUT)
        self.assertAlmostEqual(document["ratios"]["scale/two-host/pony@10000:pony@1"], 0.8)
        judged = {text: (measured, ok) for text, _, measured, ok in targets.judge(document)}
        self.assertEqual(judged["cost per call at 10,000 connections to cost at 1"], ("1.25", True))

    def test_scale_is_as_good_as_its_worst_setup(self):
        runs = [(1, variant("scale", setup=setup, streams=streams), "pony", raw(value))
                for setup, streams, value in (("two-host", 1, 1000), ("two-host", 10000, 800),
                                              ("same-host", 1, 100), ("same-host", 10000, 160))]
        document = results.build(runs, ABOUT)
        judged = {text: (measured, ok) for text, _, measured, ok in targets.judge(document)}
        self.assertAlmostEqual(document["ratios"]["scale/same-host/pony@10000:pony@1"], 1.6)
        self.assertEqual(judged["cost per call at 10,000 connections to cost at 1"], ("1.25", True))

    def test_failures_are_kept_and_shown(self):
        v = variant()
        runs = [(1, v, "pony", raw(100)), (2, v, "pony", "fell over"), (1, v, "grpc", "never came")]
        document = results.build(runs, ABOUT)
        self.assertEqual(document["results"][0]["failures"], ["fell over"])
        self.assertEqual(document["failed"][0]["system"], "grpc")
        for shown in (show.text(document), show.markdown(document, "make bench")):
            self.assertIn("fell over", shown)
            self.assertIn("never came", shown)

    def test_what_was_not_measured_meets_no_target(self):
        judged = targets.judge(results.build([(1, variant(), "pony", raw(1))], ABOUT))
        self.assertTrue(judged)
        self.assertFalse(any(ok for _, _, _, ok in judged))

    def test_every_target_names_a_variant_of_the_full_mode(self):
        known = set()
        for v in plan.variants(plan.MODES["full"]):
            for ours, theirs in results.pairs(v.systems):
                known |= {f"{name}/{v.setup}/{ours}:{theirs}" for name in (v.test, v.label())}
        for target in targets.RATIOS:
            for key in target["keys"]:
                self.assertIn(key, known)

    def test_secured_systems_have_a_key_that_nobody_else_can_read(self):
        with tempfile.TemporaryDirectory() as folder:
            world = type("World", (), {"work": folder})
            conf = systems.security_of(world, "pony-chacha")
            self.assertIn("cipher = chacha20-poly1305", conf)
            self.assertEqual(conf, systems.security_of(world, "pony-chacha"))  # the same key again
            keys = os.path.join(folder, "cluster-keys")
            self.assertIn(f"key_file = {keys}", conf)
            self.assertEqual(os.stat(keys).st_mode & 0o777, 0o600)
            self.assertEqual(systems.security_of(world, "pony"), "")
            self.assertEqual(systems.security_of(world, "pony-spin"), "")
        self.assertEqual(systems.policy_of("pony-aes"), systems.policy_of("pony"))
        for v in plan.variants(plan.MODES["full"]):
            self.assertTrue(v.setup == "two-host" or not set(plan.SECURED) & set(v.systems))

    def test_a_transfer_of_any_size_is_found_in_the_output_of_fi_pingpong(self):
        head = "bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec\n"
        for size in ("64", "1k", "1.5m"):
            row = f"{size:8}100     =100     200k        0.93s      0.22       7.25       0.14\n"
            self.assertAlmostEqual(systems.pingpong_us(head + row), 7.25)
        with self.assertRaises(hosts.Failed):
            systems.pingpong_us(head)

    def test_each_of_two_hosts_has_a_core(self):
        world = hosts.World("two-host", 1500)  # not entered: makes nothing but a folder
        os.rmdir(world.work)
        cores = [world.core(side) for side in "ab"]
        self.assertEqual(cores, [0, 1] if os.cpu_count() > 1 else [None, None])

    def test_a_listening_port_is_seen(self):
        with hosts.World("same-host", plan.LO_MTU) as world, socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            world.start("idler", "a", ["sleep", "60"])
            self.assertFalse(world.listens("idler", listener.getsockname()[1]))
            listener.listen()
            self.assertTrue(world.listens("idler", listener.getsockname()[1]))

    def test_docs_are_rewritten_between_the_markers_only(self):
        document = results.build([(1, variant(), "pony", raw(100))], ABOUT)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.md")
            with open(path, "w", encoding="utf-8") as out:
                out.write(f"before\n{show.BEGIN}\nold\n{show.END}\nafter\n")
            for _ in range(2):
                show.write_docs(path, document, "make bench")
            with open(path, encoding="utf-8") as source:
                text = source.read()
        self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
        self.assertNotIn("old", text)
        self.assertEqual(text.count(show.BEGIN), 1)

    def test_docs_benchmarks_has_the_markers(self):
        with open(os.path.join(ROOT, "docs/benchmarks.md"), encoding="utf-8") as source:
            text = source.read()
        self.assertEqual((text.count(show.BEGIN), text.count(show.END)), (1, 1))


class Failures(unittest.TestCase):
    """What is said of a program that fails."""

    def failure_of(self, script, seconds=20):
        with hosts.World("same-host", plan.LO_MTU) as world:
            world.start("client", "a", ["sh", "-c", script])
            with self.assertRaises(hosts.Failed) as raised:
                world.wait("client", seconds)
            self.assertEqual(world.processes, {})
        return str(raised.exception)

    def test_the_error_is_shown_and_not_the_end_of_the_result(self):
        said = self.failure_of("printf '{\\n  \"calls\": 7,\\n  \"failed\": 3\\n}\\n'; "
                               "echo 'perf: 3 calls failed: no reply' >&2; exit 3")
        self.assertEqual(said, "client (sh): exit status 3: perf: 3 calls failed: no reply")

    def test_a_result_without_an_error_says_what_failed(self):
        said = self.failure_of("printf 'begun\\n{\\n \"x\": 1,\\n \"calls\": 7,\\n \"failed\": 3\\n}\\n'; exit 1")
        self.assertEqual(said, "client (sh): exit status 1: begun / failed 3, calls 7")

    def test_what_is_no_whole_json_is_shown_as_it_is(self):
        self.assertEqual(self.failure_of("echo 'got {1, 2'; exit 1"),
                         "client (sh): exit status 1: got {1, 2")

    def test_the_last_lines_of_many_are_shown(self):
        said = self.failure_of("seq 100 >&2; exit 1")
        self.assertEqual(said, "client (sh): exit status 1: 98 / 99 / 100")

    def test_a_signal_is_named(self):
        self.assertEqual(self.failure_of("kill -SEGV $$"), "client (sh): killed by SIGSEGV, and said nothing")

    def test_who_does_not_end_is_named_with_what_it_said(self):
        said = self.failure_of("echo waiting; exec sleep 60", seconds=0.3)
        self.assertTrue(said.startswith("client (sh): no end after"), said)

    def test_who_ends_before_it_is_ready_is_named_with_its_error(self):
        with hosts.World("same-host", plan.LO_MTU) as world:
            world.start("server", "a", ["sh", "-c", "echo 'address in use' >&2; exit 2"])
            with self.assertRaises(hosts.Failed) as raised:
                world.until("server", lambda: False)
        self.assertEqual(str(raised.exception), "server (sh): ended too early, exit status 2: address in use")


class TinyRun(unittest.TestCase):
    def test_bench_runs_interleaved_and_leaves_nothing_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                [sys.executable, os.path.join(ROOT, "benchmarks/bench.py"), "quick", "--build", BUILD,
                 "--out", folder, "--only", "rpc_lat,rpc_bw,idle_cpu,connect_rate", "--setups",
                 "same-host", "--systems", "pony,tcp", "--rounds", "2", "--seconds", "0.05"],
                capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": folder})
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            with open(os.path.join(folder, "results.json"), encoding="utf-8") as source:
                document = json.load(source)
            left = [name for name in os.listdir(folder) if name.startswith("snaprpc-bench")]
        self.assertEqual(results.check(document), [])
        self.assertEqual(document["failed"], [], run.stdout)
        self.assertEqual(left, [])
        found = {(e["test"], e["system"]): e for e in document["results"]}
        self.assertEqual(found["rpc_lat", "pony"]["rounds"], 2)
        self.assertIn("snapd_a", found["rpc_lat", "pony"]["processes"])
        self.assertEqual({e["transport"] for e in document["results"] if e["system"] == "tcp"}, {"tcp"})
        self.assertIn("rpc_lat/same-host/pony:tcp", document["ratios"])

    def test_an_unknown_test_is_refused(self):
        run = subprocess.run([sys.executable, os.path.join(ROOT, "benchmarks/bench.py"), "--only", "x"],
                             capture_output=True, text=True, check=False)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("rpc_lat", run.stderr)


def processes_of(folder):
    """Processes whose environment names the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                if folder.encode() in environment.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def can_make_hosts():
    try:
        with hosts.World("two-host", 1500):
            return True
    except hosts.Failed:
        return False


class Interrupted(unittest.TestCase):
    """Twice each time: the second comes while it cleans up."""

    def interrupted(self, number, setup, is_time, more):
        """Begins a long benchmark and interrupts it; returns (exit status, stderr, results or None)."""
        with tempfile.TemporaryDirectory() as folder:
            err = os.path.join(folder, "stderr")
            with open(err, "w", encoding="utf-8") as out:
                bench = subprocess.Popen(
                    [sys.executable, os.path.join(ROOT, "benchmarks/bench.py"), "quick", "--build", BUILD,
                     "--out", folder, "--only", "rpc_lat", "--setups", setup, "--systems", "pony,tcp",
                     "--rounds", "1000", *more], stdout=subprocess.DEVNULL, stderr=out,
                    start_new_session=True, env={**os.environ, "TMPDIR": folder})
            try:
                deadline = time.monotonic() + 60
                while not is_time(folder, err):
                    self.assertIsNone(bench.poll(), "it ended by itself")
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(hosts.POLL_SECONDS)
                os.killpg(bench.pid, number)
                os.killpg(bench.pid, number)
                code = bench.wait(30)
            finally:
                bench.kill()
                bench.wait()
            self.assertEqual(processes_of(folder), [])
            self.assertEqual([n for n in os.listdir(folder) if n.startswith(hosts.PREFIX)], [])
            if setup == "two-host":
                listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
                self.assertNotIn(f"{hosts.PREFIX}-{bench.pid}-", listed.stdout)
            with open(err, encoding="utf-8") as source:
                said = source.read()
            path = os.path.join(folder, "results.json")
            if not os.path.exists(path):
                return code, said, None
            with open(path, encoding="utf-8") as source:
                return code, said, json.load(source)

    def expect_rounds_are_kept(self, number, setup):
        def in_round_two(_, err):
            with open(err, encoding="utf-8") as source:
                return "round 2 " in source.read()

        code, said, document = self.interrupted(number, setup, in_round_two, ["--seconds", "0.05"])
        self.assertEqual(code, 130, said)
        self.assertEqual(results.check(document), [])
        self.assertEqual({e["system"] for e in document["results"]}, {"pony", "tcp"})
        self.assertIn("INTERRUPTED in round", show.text(document))

    def test_the_runs_that_ended_are_kept(self):
        self.expect_rounds_are_kept(signal.SIGINT, "same-host")

    def test_hosts_are_removed(self):
        if not can_make_hosts():
            self.skipTest("two hosts need network namespaces")
        self.expect_rounds_are_kept(signal.SIGTERM, "two-host")

    def test_before_any_run_has_ended_nothing_is_written(self):
        def client_runs(folder, _):
            return any(os.path.exists(os.path.join(folder, name, "client.out")) for name in os.listdir(folder))

        code, said, document = self.interrupted(signal.SIGTERM, "same-host", client_runs, ["--seconds", "60"])
        self.assertNotEqual(code, 0)
        self.assertIn("nothing was written", said)
        self.assertIsNone(document)


if __name__ == "__main__":
    BUILD = sys.argv.pop()
    unittest.main(verbosity=2)
