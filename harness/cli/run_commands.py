"""What `bnproof lockstep`, `train` and `bench` do, between their options and their exit status.

A measurement is written first, and only then is it said what it decides.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.cli import show, show_runs
from harness.cli.commands import load_data, prepare_folder
from harness.cli.output import AGREED, FAULTY, write_json
from harness.errors import UsageError
from harness.record.environment import environment
from harness.record.ledger import SCHEMA


def lockstep(
    steps: int,
    dtype: str,
    device: str,
    bn: str | None,
    data: Path | None,
    seed: int,
    json_file: Path | None,
    activations: bool,
) -> int:
    from harness.train.trainings import installed

    if dtype not in ("float64", "float32"):
        raise UsageError(f"--dtype must be float64 or float32, got {dtype!r}")
    records = run_lockstep(load_data(data), installed(), steps, dtype, seed, device, bn, activations)
    write_json(json_file, {"schema": SCHEMA, "environment": environment(), "lockstep": records})
    return AGREED if show_runs.lockstep(records) else FAULTY


def run_lockstep(
    data: Any,
    names: list[str],
    steps: int,
    dtype: str,
    seed: int,
    device: str = "cpu",
    bn: str | None = None,
    activations: bool = False,
) -> list[dict[str, Any]]:
    from harness.train import lockstep as lockstep_module

    with show.bar("lockstep", steps) as update:
        return lockstep_module.lockstep(
            data,
            names,
            steps=steps,
            dtype=dtype,
            seed=seed,
            device=device,
            bn=bn,
            activations=activations,
            on_run=lambda label: update(description=f"lockstep, {dtype}: {label}"),
            on_progress=lambda done: update(completed=done),
        )


def train(
    impl: str,
    epochs: int,
    seeds: int,
    device: str,
    data: Path | None,
    seed: int,
    out: Path,
    json_file: Path | None,
    how: dict[str, Any],
) -> int:
    """how: what `trainings.run` takes beyond these: resume, compiled, population."""
    from harness.train.accuracy import accuracy, equivalence
    from harness.train.trainings import installed, resolve_device
    from reports.plots import curves

    names = installed() if impl == "all" else [impl]
    if not installed(tuple(names)):
        raise UsageError(f"{impl} is not installed: pip install 'bnproof[all]'")
    for name in names:
        resolve_device(name, device)
    picture = out / "training.png"
    prepare_folder(out)
    found = load_data(data)
    runs = [run for name in names for run in run_trainings(name, found, epochs, seed, seeds, device, **how)]
    curves(runs, picture, found.is_sample)
    show.out.print(f"curves: {picture}", highlight=False)
    compared = {"accuracy": accuracy(runs), "equivalence": equivalence(runs)} if seeds > 1 else {}
    told = {"schema": SCHEMA, "environment": environment(), "data": found.source, "trainings": runs}
    write_json(json_file, told | compared)
    if compared:
        show_runs.accuracy(compared["accuracy"], compared["equivalence"])
    return AGREED


def run_trainings(
    name: str, data: Any, epochs: int, seed: int, seeds: int, device: str, **how: Any
) -> list[dict[str, Any]]:
    """`seeds` trainings from `seed` on: together where the framework can, else one after the other."""
    from harness.train.seeds import TOGETHER, run_together

    several = list(range(seed, seed + seeds))
    if seeds == 1 or name not in TOGETHER:
        return [run_training(name, data, epochs, one, device, **how) for one in several]
    how = {key: value for key, value in how.items() if key != "compiled"}
    with show.bar(f"training {name}, {seeds} seeds", seeds * epochs * len(data.train_images)) as update:
        runs = run_together(
            name,
            data,
            several,
            epochs=epochs,
            device=device,
            on_progress=lambda done: update(completed=done),
            on_epoch=lambda record: update(description=f"training {name}, {seeds} seeds: epoch {record['epoch']}"),
            **how,
        )
    for run in runs:
        run["is_sample"] = data.is_sample
        show_runs.training(run)
    return runs


def run_training(name: str, data: Any, epochs: int, seed: int, device: str, **how: Any) -> dict[str, Any]:
    """One training behind a progress bar; its figures are printed as soon as it ends."""
    from harness.train.trainings import run

    total = epochs * len(data.train_images)
    with show.bar(f"training {name}", total) as update:

        def told(record: dict[str, Any]) -> None:
            update(description=f"training {name}: epoch {record['epoch']}, loss {record['loss']:.3f}")

        found = run(
            name,
            data,
            epochs=epochs,
            seed=seed,
            device=device,
            on_progress=lambda done: update(completed=done),
            on_epoch=told,
            **how,
        )
    found["is_sample"] = data.is_sample
    show_runs.training(found)
    return found


def bench_training(
    data: Path | None, rounds: int, device: str, compiled: bool, seed: int, json_file: Path | None
) -> int:
    """Exit status 1 where losses disagree. A missed aim is told, and no failure: machines differ."""
    found = run_throughput(load_data(data), rounds, device, compiled, seed)
    write_json(json_file, {"schema": SCHEMA, "environment": environment()} | found)
    show_runs.throughput(found["records"])
    return FAULTY if any(one["decision"] == "DISAGREES" for one in found["records"]) else AGREED


def run_throughput(data: Any, rounds: int, device: str, compiled: bool = False, seed: int = 0) -> dict[str, Any]:
    from harness.bench import throughput
    from harness.train.trainings import resolve_device

    where = resolve_device("torch", device)
    with show.bar("throughput", rounds + 1) as update:
        return throughput.measure(
            data,
            rounds=rounds,
            device=where,
            compiled=compiled,
            seed=seed,
            on_round=lambda number, name: update(completed=number, description=f"throughput: {name}"),
        )


def bench_layer(rounds: int, device: str, json_file: Path | None) -> int:
    from harness.bench import layer as module
    from harness.train.trainings import resolve_device

    where = resolve_device("torch", device)
    with show.bar("layers", None) as update:
        records = module.measure(rounds, where, lambda text: update(description=text, advance=1))
    write_json(json_file, {"schema": SCHEMA, "environment": environment(), "records": records})
    show_runs.layers(records)
    return FAULTY if any(one["decision"] == "DISAGREES" for one in records) else AGREED


def bench_suite(targets: list[str], suite_name: str, rounds: int, json_file: Path | None) -> int:
    """How long the suite takes a target: the median, and all rounds, each in a process of its own."""
    from harness.cases.catalogue import suite as cases
    from harness.check import CheckOptions, check
    from harness.targets.built_in import BUILT_IN, is_installed

    names = targets or [name for name in BUILT_IN if is_installed(name)]
    records = []
    for name in names:
        seconds, judged = [], 0
        for number in range(rounds):
            with show.bar(f"{name}, round {number + 1}", None):
                started = perf_counter()
                (report,) = check([name], CheckOptions(cases(suite_name)))
                seconds.append(perf_counter() - started)
                judged = len(report.judgements)
        median = statistics.median(seconds)
        records.append(
            {
                "bench": "suite",
                "name": name,
                "suite": suite_name,
                "seconds": median,
                "rounds": seconds,
                "comparisons": judged,
                "comparisons_per_second": judged / median,
            }
        )
        show.out.print(f"{name}: {median:.1f} s, {judged:,} comparisons", highlight=False)
    write_json(json_file, {"schema": SCHEMA, "environment": environment(), "records": records})
    return AGREED
