"""Work side by side: the same results in the same order, whichever processes do it and whichever of them die."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.cases.catalogue import CASES
from harness.cases.user_case import user_case
from harness.cli import check, training_jobs
from harness.cli.request import CheckRequest
from harness.cli.run_commands import run_trainings
from harness.cli.training_jobs import jobs_of, train_side_by_side
from harness.errors import UsageError
from harness.jobs import cluster
from harness.jobs.engines import InTurn, Workers, open_engine, workers_of
from harness.jobs.identity import identity
from harness.jobs.job import Job, JobError, JobFailure, result_of
from harness.jobs.processes import Processes
from harness.train import idx_files
from harness.train import seeds as seeds_module
from harness.train.fashion_mnist import load_sample, of_parts
from harness.train.options import TrainingOptions
from tests.targets import jobs

ROOT = Path(__file__).parents[1]
TARGET = """
import os, pathlib, signal
from reference.under_test import *
flag = pathlib.Path(__file__).with_suffix(".flag")
if flag.exists():
    flag.unlink()
    os.kill(os.getppid(), signal.SIGKILL)
"""
"""A target that kills, once, the process that checks it."""
HANGS = """
import os, pathlib, time
for pid in (os.getpid(), os.getppid()):
    pathlib.Path(__file__).with_name(f"{pid}.pid").touch()
time.sleep(60)
"""


@pytest.fixture(scope="module")
def processes():
    with closing(Processes(2)) as engine:
        yield engine


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a cluster of two processes, which nobody starts anew."""
    distributed = pytest.importorskip("distributed", reason="pip install 'bnproof[dask]'")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--no-dashboard", "--nthreads", "1"]
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=60) as local,
        ExitStack() as stack,
    ):
        for name in ("a", "b"):
            folder = tmp_path_factory.mktemp(name)
            own = [local.scheduler_address, "--local-directory", folder]
            worker = stack.enter_context(subprocess.Popen([*command, *own], cwd=ROOT, stderr=subprocess.DEVNULL))
            stack.callback(worker.kill)
        with distributed.Client(local.scheduler_address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield local.scheduler_address


def outcomes(engine, function, arguments, told=None):
    def on_progress(done, text):
        if told is not None:
            told.append((done, text))

    return list(engine.in_order([Job(function, argument) for argument in arguments], on_progress))


def check_an_engine(engine):
    told = []
    assert outcomes(engine, jobs.slow_first, range(5), told) == [0, 1, 4, 9, 16]
    assert told[-1] == (5, "")
    assert any(text.startswith("number") and done % 1 for done, text in told)
    usage, fault = outcomes(engine, jobs.fail, range(2))
    assert usage == JobFailure("number 0\ncannot be done", is_usage=True)
    assert fault.reason == "ValueError: number 1 cannot be done"
    assert "in fail" in fault.traceback
    shared = np.arange(3)
    assert list(engine.in_order(Job(jobs.element, number, shared) for number in range(3))) == [0, 1, 2]


def test_jobs_one_after_another():
    check_an_engine(InTurn())


def test_jobs_in_processes(processes):
    check_an_engine(processes)
    (failure,) = outcomes(processes, jobs.unpicklable, [0])
    assert "pickle" in failure.reason


def test_jobs_without_end(processes):
    with closing(processes.in_order(Job(jobs.square, number) for number in iter(int, None))) as endless:
        assert next(endless) == next(endless) == 0
    check_an_engine(processes)


def test_a_killed_process_costs_a_retry(processes, tmp_path):
    assert outcomes(processes, jobs.die_once, [tmp_path / "a", tmp_path / "b", tmp_path / "a"]) == ["done"] * 3
    died, lived = outcomes(processes, jobs.die, [None]) + outcomes(processes, jobs.square, [3])
    assert died == JobFailure("the process that did it died 4 times, the last time by SIGKILL")
    assert lived == 9


def check_that_work_is_broken_off(engine, folder):
    work = engine.in_order([Job(jobs.square, 2), Job(jobs.for_ever, folder), Job(jobs.for_ever, folder)])
    assert next(work) == 4
    wait_until(lambda: any(folder.iterdir()))
    work.close()
    wait_until(lambda: not any(folder.iterdir()))


def wait_until(condition, seconds=60.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_is_under_way_is_broken_off(processes, tmp_path):
    check_that_work_is_broken_off(processes, tmp_path)


def test_a_check_that_is_stopped_leaves_no_process(tmp_path):
    """By Ctrl-C, which a terminal sends to the whole group."""
    target = tmp_path / "target.py"
    target.write_text(HANGS)
    command = [sys.executable, "-m", "harness.cli", "check", f"{target}:Hangs", "--jobs", "2"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until(lambda: len([*tmp_path.glob("*.pid")]) == 2)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
    wait_until(lambda: not any(is_alive(int(path.stem)) for path in tmp_path.glob("*.pid")))


def test_processes_end_with_the_one_that_they_work_for(tmp_path):
    code = f"""
from harness.jobs.processes import Processes
from harness.jobs.job import Job
from tests.targets.jobs import silent
list(Processes(2).in_order([Job(silent, {str(tmp_path)!r})]))
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as process:
        wait_until(lambda: any(tmp_path.iterdir()))
        process.kill()
    (mark,) = tmp_path.iterdir()
    wait_until(lambda: not is_alive(int(mark.name)))


def is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_result_that_cannot_be_done_without():
    assert result_of(3) == 3
    with pytest.raises(JobError, match="trace"):
        result_of(JobFailure("x", "trace"))
    with pytest.raises(UsageError, match="x"):
        result_of(JobFailure("x", is_usage=True))


def test_cases_travel(tmp_path):
    assert all(pickle.loads(pickle.dumps(case)) is case for case in CASES)
    np.savez(tmp_path / "x.npz", x=np.ones((4, 3)))
    case = user_case(tmp_path / "x.npz")
    script = pickle.loads(pickle.dumps(case)).make("float64", 0, 0.5)
    assert (script.steps[0].x == 1).all()


def checked(tmp_path, **how):
    """What `check --json` has of targets, the second of which kills what checks it if the flag is there."""
    file = tmp_path / "out.json"
    target = tmp_path / "target.py"
    target.write_text(TARGET)
    names = ("exec:/no/such/program", f"{target}:NumpyBatchNorm")
    assert check.run(CheckRequest(names, case_ids=("rank2",), json_file=file, **how)) == 2
    assert not target.with_suffix(".flag").exists()
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return checked(tmp_path_factory.getbasetemp())


def test_a_check_in_processes_one_of_which_is_killed(undisturbed, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    (folder / "target.flag").touch()
    assert checked(folder, jobs=2) == undisturbed


def test_a_check_on_a_cluster_one_of_whose_workers_is_killed(scheduler, undisturbed, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    (folder / "target.flag").touch()
    assert checked(folder, scheduler=scheduler) == undisturbed


def test_jobs_on_a_cluster(scheduler, tmp_path):
    with open_engine(Workers(scheduler=scheduler)) as engine:
        check_an_engine(engine)
        check_that_work_is_broken_off(engine, tmp_path)


def test_a_job_that_costs_too_many_workers():
    distributed = pytest.importorskip("distributed", reason="pip install 'bnproof[dask]'")

    class Future:
        def result(self):
            raise distributed.KilledWorker("job", SimpleNamespace(address="tcp://x:1"), 3)

    assert cluster.outcome_of(Future()) == JobFailure(
        "the process that did it died 4 times, the last time on tcp://x:1"
    )


def trained(seeds, workers):
    """The weights' traces that trainings of NumPy leave in their results, without the seconds."""
    sample = load_sample()
    few = {name: getattr(sample, name)[:16] for name in idx_files.FILES}
    runs = [TrainingOptions("numpy", epochs=1, seed=3)]
    (results,) = run_trainings(of_parts(few, "a few"), runs, seeds, workers)
    return [(result.seed, result.loss, result.gamma, result.beta) for result in results]


def test_trainings_side_by_side():
    assert trained(2, Workers(2)) == trained(2, Workers())


def test_whoever_does_a_job_decides_whether_its_seeds_go_together(monkeypatch):
    """A cluster's workers may have a GPU or none, whatever the machine that asks has."""
    pytest.importorskip("flax")
    (job,) = jobs_of(TrainingOptions("jax", epochs=2), 3)
    sample = load_sample()
    few = of_parts({name: getattr(sample, name)[:16] for name in idx_files.FILES}, "a few")
    told, ways = [], []
    monkeypatch.setattr(training_jobs, "run", lambda _, options, on: ways.append(options) or on.on_progress(32))
    monkeypatch.setattr(training_jobs, "run_together", lambda _, options, seeds, __: ways.append((options, seeds)))
    for device, expected in [
        ("cpu", [replace(job.options, device="cpu", seed=seed) for seed in range(3)]),
        ("cuda", [(replace(job.options, device="cuda"), (0, 1, 2))]),
    ]:
        monkeypatch.setattr(seeds_module, "resolve_device", lambda *_, device=device: device)
        training_jobs.train(job, few, lambda share, _: told.append(share))
        assert ways == expected
        ways.clear()
    assert told == [1 / 3, 2 / 3, 1.0]


def test_a_training_that_fails_does_not_end_the_others(capsys):
    runs = [TrainingOptions("numpy", epochs=1), TrainingOptions("numpy", epochs=1, dtype="float61")]
    sample = load_sample()
    few = of_parts({name: getattr(sample, name)[:16] for name in idx_files.FILES}, "a few")
    with pytest.raises(UsageError, match="trainings that failed: numpy, seed 0; numpy, seed 1"):
        list(train_side_by_side(few, runs, 2, Workers()))
    assert capsys.readouterr().out.count("numpy on cpu") == 2


def test_an_address_at_which_there_is_no_scheduler(monkeypatch):
    pytest.importorskip("distributed", reason="pip install 'bnproof[dask]'")
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.1)
    for address, message in [("tcp://127.0.0.1:9", "no Dask scheduler answered within 0.1 s"), ("here", "HOST:PORT")]:
        with pytest.raises(UsageError, match=f"--on {address}: .*{message}"), open_engine(Workers(scheduler=address)):
            pass


def test_dask_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'bnproof\[dask\]'"), open_engine(Workers(scheduler="tcp://x:1")):
        pass


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({}, "has no workers"),
        (
            {"a": identity(), "b": replace(identity(), bnproof="0123")},
            "worker b is not of the same version: bnproof 0123",
        ),
        ({"a": ModuleNotFoundError("No module named 'harness'")}, "worker a cannot import this bnproof"),
        ({"a": RuntimeError("broken")}, "worker a fails: RuntimeError: broken"),
    ],
)
def test_workers_that_cannot_do_the_work_are_refused(answers, message):
    class Client:
        def wait_for_workers(self, *_, **__):
            raise TimeoutError

        def run(self, *_, **__):
            return answers

    with pytest.raises(UsageError, match=message):
        cluster.refuse_unfit(Client(), "tcp://x:1")


def test_a_cluster_that_loses_its_workers_or_its_scheduler(monkeypatch):
    class Client:
        status = "running"

        def scheduler_info(self, **_):
            return {"workers": {}}

    monkeypatch.setattr(cluster, "WORKERLESS_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.0)
    lost = cluster.Cluster(Client(), "tcp://x:1")
    with pytest.raises(UsageError, match="no worker is left"):
        wait_until(lost._look_for_workers)
    Client.status = "connecting"
    with pytest.raises(UsageError, match="the connection to the scheduler was lost"):
        lost._look_for_workers()


def test_a_worker_that_joined_later_is_asked_as_well():
    task = cluster.ClusterTask(0, Job(jobs.square, 2), "", replace(identity(), numpy="1.0"))
    failure = cluster.Performer(None)(pickle.dumps(task))
    assert "not of the same version: numpy" in failure.reason


def test_who_does_the_work():
    assert workers_of(None, None) == Workers()
    assert workers_of(None, None, usual=2) == Workers(2)
    with pytest.raises(UsageError, match="--jobs is about this machine"):
        workers_of(2, "tcp://x:1")
