# SPDX-License-Identifier: Apache-2.0
"""CPU time as common/cpu.c counts it, for the peers that bring a program of their own."""
import os


def process_seconds(pid):
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as stat:
                total += int(stat.read().split()[0])
    except OSError:
        pass
    return total / 1e9


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
