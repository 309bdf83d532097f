"""The two kinds of programs that are compared: those that answer over a pipe, and Python packages."""

import json
import os
import subprocess
import sys
import time

import numpy as np


def wave(shape):
    """The input, the same for every peer (`wave` in serve.rs)."""
    return ((np.arange(np.prod(shape)) % 255).astype(np.float32) / np.float32(127) - np.float32(1)).reshape(shape)


class Served:
    """A program that speaks the lines of serve.rs."""

    def __init__(self, command, environment=None):
        pipe = subprocess.PIPE
        self.command = list(map(str, command))
        environment = dict(os.environ, **(environment or {}))
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, text=True, env=environment)
        greeting = self.answer()
        self.device = greeting["device"]
        self.output = np.array(greeting["output"], dtype=np.float32)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"ended without an answer: {' '.join(self.command)}")
        return json.loads(line)

    def times(self, runs):
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        return self.answer()

    def cpu_seconds(self):
        """Processor time so far, of all threads; nothing where there is no /proc."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class InProcess:
    """A Python package; subclasses have run(), from the input in memory to the output in memory."""

    output = None

    def times(self, runs):
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self.output = self.run()
            times.append((time.perf_counter() - start) * 1e3)
        # Some packages' threads spin for a while after a run; let them stop before the other side's turn.
        time.sleep(0.05)
        return times

    def cpu_seconds(self):
        return time.process_time()

    def close(self):
        pass
