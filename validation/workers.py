"""Processes that work on jobs, each known to the job that it has: one that dies takes one with it.

`concurrent.futures.ProcessPoolExecutor` fails all jobs when one of its processes dies, and leaves
its processes running when the main process is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

_SPAWN = multiprocessing.get_context("spawn")


class Died(RuntimeError):
    """The process that worked on a job ended before the job did."""


class Workers(Executor):
    """`count` processes, each started when there is a job for it.

    A job whose process dies (of memory, say) raises `Died`; a new process takes the next job.
    Processes end when the main process does, however it ends.
    """

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count)
        self._mine = threading.local()
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        return self._threads.submit(self._do, (function, given, named))

    def _do(self, job: tuple[Callable[..., Any], Any, Any]) -> Any:
        worker: _Worker | None = getattr(self._mine, "worker", None)
        if worker is None or not worker.process.is_alive():
            worker = self._mine.worker = _Worker()
            with self._lock:
                self._all.add(worker)
                if self._stopped:
                    worker.process.terminate()
        return worker.do(job)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            with self._lock:
                for worker in self._all:
                    worker.end()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            # What is not finished will not be used.
            self._threads.shutdown(wait=False, cancel_futures=True)
            with self._lock:
                self._stopped = True
                for worker in self._all:
                    worker.process.terminate()
        self.shutdown()


class _Worker:
    """A process and the pipe to it."""

    def __init__(self) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def do(self, job: tuple[Callable[..., Any], Any, Any]) -> Any:
        data = pickle.dumps(job)  # what cannot be sent is the job's fault, not the process's
        try:
            self.pipe.send_bytes(data)
            done, value = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise Died(f"its process {_ending(self.process.exitcode)}") from error
        if done:
            return value
        raise value

    def end(self) -> None:
        self.pipe.close()
        self.process.join()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}" + (", for want of memory?" if name == "SIGKILL" else "")
    return f"ended with exit code {code}"


def _serve(pipe: Connection) -> None:
    """Do jobs until the other end of the pipe closes, or its process ends."""
    # Ctrl-C goes to all processes of a terminal; the main one decides what becomes of the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                jobs.put(pipe.recv_bytes())
        except (EOFError, OSError):
            # Nobody is left to send results to, also in the middle of a job.
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        try:
            function, given, named = pickle.loads(jobs.get())
            answer = True, function(*given, **named)
        except Exception as error:
            answer = False, error
        try:
            data = pickle.dumps(answer)
            pickle.loads(data)
        except Exception:
            data = pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]}")))
        pipe.send_bytes(data)
