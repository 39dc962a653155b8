# SPDX-License-Identifier: Apache-2.0
"""CPU time as common/cpu.c counts it, for the peers that bring a program of their own."""
import os
import time


CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED of the whole process, as clock_getcpuclockid() makes it


def process_seconds(pid):
    """On CPUs by all its threads, those that ended too. 0: the process is gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | CLOCK_OF_PROCESS) / 1e9
    except OSError:
        return 0


def machine_seconds():
    """Busy: all but idle and iowait."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:8]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


class Window:
    """CPU of the machine and of named processes from its making until stop()."""

    def __init__(self, pids):
        self.pids = pids  # name: pid
        self.machine = machine_seconds()
        self.before = {name: process_seconds(pid) for name, pid in pids.items()}

    def stop(self):
        """(machine's seconds, seconds by process)"""
        used = {name: process_seconds(pid) - self.before[name] for name, pid in self.pids.items()}
        return machine_seconds() - self.machine, used
