"""What `bnproof lockstep`, `train` and `bench` do, between their options and their exit status.

A measurement is written before anything is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import show_layers, show_runs
from harness.cli.output import AGREED, FAULTY, bar, prepare_folder, say, write_json
from harness.errors import UsageError, ensure_installed
from harness.jobs.engines import IN_TURN, Workers
from harness.record.environment import environment
from harness.record.ledger import SCHEMA

if TYPE_CHECKING:
    from harness.bench.options import LayerCase, LayerOptions, ThroughputOptions
    from harness.bench.results import LayerThroughput, TrainingThroughput
    from harness.bench.throughput import Measurement
    from harness.train.fashion_mnist import FashionMnist
    from harness.train.options import LockstepOptions, TrainingOptions
    from harness.train.results import LockstepRecord, TrainingResult

ALL = "all"


def lockstep(options: LockstepOptions, data: Path | None, json_file: Path | None) -> int:
    """Exit status 1 where a tensor is further apart than allowed."""
    if options.dtype not in ("float64", "float32"):
        raise UsageError(f"--dtype must be float64 or float32, got {options.dtype!r}")
    records = run_lockstep(load_data(data), options)
    write_json(json_file, head() | {"lockstep": as_dicts(records)})
    return AGREED if show_runs.lockstep(records) else FAULTY


def load_data(data: Path | None) -> FashionMnist:
    """Fashion-MNIST, and a loud line where it is only the sample."""
    from harness.train.fashion_mnist import load

    examples = load(data)
    style = "bold red" if examples.is_sample else "dim"
    say(f"data: {examples.source}", style)
    return examples


def run_lockstep(data: FashionMnist, options: LockstepOptions) -> tuple[LockstepRecord, ...]:
    from harness.train import lockstep as lockstep_module
    from harness.train.options import LockstepProgress

    with bar("lockstep", options.steps) as update:
        progress = LockstepProgress(
            on_run=lambda name: update(description=f"lockstep, {options.dtype}: {name}"),
            on_progress=lambda done: update(completed=done),
        )
        return lockstep_module.lockstep(data, options, progress)


@dataclass(frozen=True)
class TrainRequest:
    """What is asked of `bnproof train` besides the options of a training."""

    seeds: int = 1
    """How many, from the options' own on."""
    data: Path | None = None
    folder: Path = Path("reports/out")
    """For the picture of the curves."""
    json_file: Path | None = None
    workers: Workers = IN_TURN


def train(options: TrainingOptions, request: TrainRequest) -> int:
    """options.implementation may be "all": those that are installed."""
    from harness.train.accuracy import accuracy, equivalence
    from harness.train.implementations import MODULES, REPLICATED, installed, resolve_device, train_function
    from reports.curves import curves

    ensure_installed("a training", ["matplotlib", *(["scipy"] if request.seeds > 1 else [])], "report")
    every = tuple(MODULES) if options.replicas == 1 else REPLICATED
    names = installed(every) if options.implementation == ALL else installed((options.implementation,))
    if not names:
        raise UsageError(f"{options.implementation} is not installed: pip install 'bnproof[all]'")
    if request.workers.scheduler is None:
        for name in names:
            train_function(name, options.replicas)
            resolve_device(name, options.device)
    picture = request.folder / "training.png"
    prepare_folder(request.folder)
    if options.resume:
        prepare_folder(options.resume, "--resume")
    examples = load_data(request.data)
    runs = [replace(options, implementation=name) for name in names]
    results = [result for of_one in run_trainings(examples, runs, request.seeds, request.workers) for result in of_one]
    curves(results, picture, examples.is_sample)
    say(f"curves: {picture}")
    content = head() | {"data": examples.source, "trainings": as_dicts(results)}
    if request.seeds == 1:
        write_json(request.json_file, content)
        return AGREED
    over_seeds, pairs = accuracy(results), equivalence(results)
    write_json(request.json_file, content | {"accuracy": as_dicts(over_seeds), "equivalence": as_dicts(pairs)})
    show_runs.accuracy(over_seeds, pairs)
    return AGREED


def run_trainings(
    data: FashionMnist, runs: Sequence[TrainingOptions], seeds: int, workers: Workers = IN_TURN
) -> Iterator[tuple[TrainingResult, ...]]:
    """For each of `runs`, in order, `seeds` trainings from its seed on."""
    if workers == IN_TURN:
        return (run_over_seeds(data, options, seeds) for options in runs)
    from harness.cli.training_jobs import train_side_by_side

    return train_side_by_side(data, runs, seeds, workers)


def run_over_seeds(data: FashionMnist, options: TrainingOptions, seeds: int) -> tuple[TrainingResult, ...]:
    """Together where that is faster, else one after the other."""
    from harness.train.seeds import of_this_machine, together

    options, each = of_this_machine(options), tuple(range(options.seed, options.seed + seeds))
    if together(options, each):
        return run_seeds_together(data, options, each)
    return tuple(run_training(data, replace(options, seed=seed)) for seed in each)


def run_seeds_together(
    data: FashionMnist, options: TrainingOptions, seeds: tuple[int, ...]
) -> tuple[TrainingResult, ...]:
    from harness.train.options import TrainingProgress
    from harness.train.seeds import run_together

    title = f"training {options.implementation}, {len(seeds)} seeds"
    with bar(title, len(seeds) * options.epochs * len(data.train_images)) as update:
        progress = TrainingProgress(
            on_progress=lambda done: update(completed=done),
            on_epoch=lambda record: update(description=f"{title}: epoch {record.epoch}"),
        )
        results = run_together(data, options, seeds, progress)
    for result in results:
        show_runs.training(result)
    return results


def run_training(data: FashionMnist, options: TrainingOptions) -> TrainingResult:
    """One training behind a progress bar; its figures are printed as soon as it ends."""
    from harness.train.options import TrainingProgress
    from harness.train.trainings import run

    title = f"training {options.implementation}"
    with bar(title, options.epochs * len(data.train_images)) as update:
        progress = TrainingProgress(
            on_progress=lambda done: update(completed=done),
            on_epoch=lambda record: update(description=f"{title}: epoch {record.epoch}, loss {record.loss:.3f}"),
        )
        result = run(data, options, progress)
    show_runs.training(result)
    return result


def bench_training(options: ThroughputOptions, data: Path | None, json_file: Path | None) -> int:
    """Exit status 1 where losses disagree. A missed aim is shown, and is no failure: machines differ."""
    measured = run_throughput(load_data(data), options)
    rounds = {name: as_dicts(of_name) for name, of_name in measured.rounds.items()}
    write_json(json_file, head() | {"records": as_dicts(measured.records), "rounds": rounds})
    show_runs.throughput(measured.records)
    return status_of(measured.records)


def run_throughput(data: FashionMnist, options: ThroughputOptions) -> Measurement:
    from harness.bench import throughput
    from harness.train.implementations import resolve_device

    options = replace(options, device=resolve_device("torch", options.device))
    with bar("throughput", options.rounds + 1) as update:
        return throughput.measure(
            data,
            options,
            on_round=lambda number, name: update(completed=number, description=f"throughput: {name}"),
        )


def bench_layer(options: LayerOptions, json_file: Path | None, plot: Path | None = None) -> int:
    """Exit status 1 where ours and the framework's own layer disagree."""
    from harness.bench import layer
    from harness.bench.threads import at_most
    from harness.train.implementations import resolve_device

    if plot is not None:
        ensure_installed("a figure", ["matplotlib"], "report")
    options = replace(options, device=resolve_device("torch", options.device))
    with bar("layers", None) as update, at_most(options.threads):

        def show(case: LayerCase) -> None:
            shape = "x".join(map(str, case.shape))
            words = (case.framework, case.layout, shape, case.dtype, case.mode, case.way)
            update(description=" ".join(words), advance=1)

        records = list(layer.measure(options, show))
    write_json(json_file, head() | {"records": as_dicts(records)})
    show_layers.layers(records)
    if plot is not None:
        from harness.bench.growth import is_sweep
        from harness.cli.plot_growth import plot_growth  # late: a figure is seldom asked for
        from harness.cli.plot_layers import plot_layers

        (plot_growth if is_sweep(options.shapes) else plot_layers)(records, plot)
    return status_of(records)


def bench_suite(targets: list[str], suite_name: str, rounds: int, json_file: Path | None) -> int:
    from harness.bench import suite

    records = []
    with bar("suite", None) as update:
        for record in suite.measure(
            targets, suite_name, rounds, lambda number, name: update(description=f"{name}, round {number}")
        ):
            records.append(record)
            where = ", ".join(f"{part} {seconds:.2f}" for part, seconds in record.parts.items())
            line = f"{record.name}: {record.seconds:.1f} s, {record.comparisons:,} comparisons ({where})"
            say(line)
    write_json(json_file, head() | {"records": as_dicts(records)})
    return AGREED


def status_of(records: Sequence[TrainingThroughput] | Sequence[LayerThroughput]) -> int:
    from harness.bench.results import Decision

    return FAULTY if any(record.decision == Decision.DISAGREES for record in records) else AGREED


def head() -> dict[str, Any]:
    return {"schema": SCHEMA, "environment": environment()}


def as_dicts(records: Sequence[Any]) -> list[dict[str, Any]]:
    """Dataclasses for JSON."""
    return [asdict(record) for record in records]
