"""Makes small ledgers for the tests of the report. Every number in them is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.record.ledger import Ledger

Record = dict[str, Any]
HOSTILE = "<script>alert(1)</script>|`x`\"]]>'\n# head [a](http://evil.example) **b** <!-- &lt; {{ 7 * 7 }}"
OWN = ("numpy", "torch", "jax", "flax")
TARGETS = (*OWN, "tutorial", "torch-native")
OBSERVABLES = ("y", "dx", "dgamma", "dbeta", "moving_mean", "moving_var")
VERDICTS = ("agree", "differ", "raised", "inconclusive", "unsupported", "crashed", "timed_out", "not_run", "noted")
D2L = {
    "momentum": "keep",
    "moving_var": "biased",
    "eps_at": "inside_sqrt",
    "channel_axis": 1,
    "debias": False,
    "single_value": "zero",
    "default_eps": 1e-5,
    "default_momentum": 0.9,
    "source": "declared",
}
TORCH = D2L | {"momentum": "new", "moving_var": "unbiased", "single_value": "error", "default_momentum": 0.1}


def header(**changes: Any) -> Record:
    return {
        "made": "2026-03-04T05:06:07+00:00",
        "seed": 7,
        "suite": "full",
        "data": "Fashion-MNIST, 60,000 + 10,000 images",
        "is_sample": False,
        "environment": {
            "python": "3.13.1",
            "platform": "Linux x86_64",
            "processor": "A Processor",
            "cores": 4,
            "packages": {"numpy": "2.4.6", "torch": "2.14.1"},
            "commit": "abc1234",
        },
        "own": list(OWN),
        "published": {
            "source": "the tutorial (PyTorch, one GPU)",
            "loss": 0.264,
            "train_accuracy": 0.903,
            "test_accuracy": 0.739,
            "step_examples_per_second": 18366.4,
            "device": "cuda:0",
            "gamma": [2.37, 2.66, 3.92, 0.58, 3.42, 2.40],
            "beta": [1.68, -1.15, -2.57, -1.01, 3.62, -0.89],
            "loss_range": [0.247, 0.289],
            "train_accuracy_range": [0.891, 0.911],
            "cpu_baseline_examples_per_second": {"step": 6514, "end_to_end": 4900},
        },
    } | changes


def target(name: str, verdict: str = "agree", **changes: Any) -> Record:
    return {
        "target": name,
        "conventions": dict(TORCH if name == "torch-native" else D2L),
        "verdict": verdict,
        "error": None,
        "versions": {"numpy": "2.4.6"},
        "counts": dict.fromkeys(VERDICTS, 0) | {"agree": 12, "inconclusive": 1},
        "diagnosis": [],
        "notes": [],
    } | changes


def comparison(name: str, observable: str | None, ratio: Any = 0.25, verdict: str = "agree", **changes: Any) -> Record:
    bound = 4e-7
    return {
        "target": name,
        "case": "rank4",
        "dtype": "float32",
        "step": 0,
        "op": "train",
        "observable": observable,
        "kind": "law",
        "verdict": verdict,
        "error": ratio * bound if isinstance(ratio, float) else ratio,
        "bound": None if ratio is None else bound,
        "ratio": ratio,
        "index": [0, 1],
        "got": 1.25,
        "want": 1.2500001,
        "message": None,
        "inconclusive_channels": 0,
    } | changes


def pair(a: str, b: str, verdict: str = "agree", ratio: Any = 0.125, **changes: Any) -> Record:
    return {
        "a": a,
        "b": b,
        "dtype": "float32",
        "observable": "y",
        "verdict": verdict,
        "ratio": ratio,
        "case": "rank4",
        "compared": 9,
        "declared_by": [],
    } | changes


def lockstep(a: str, b: str, tensor: str = "conv1.weight", distance: Any = 3e-13, oneself: Any = 1e-13) -> Record:
    return {
        "a": a,
        "b": b,
        "dtype": "float64",
        "steps": 20,
        "tensor": tensor,
        "distance": distance,
        "self_distance": oneself,
        "self": "torch",
        "allowed": 10.0,
    }


def training(name: str, epochs: int = 10, loss: Any = 0.262, **changes: Any) -> Record:
    history = [
        {
            "epoch": epoch,
            "loss": loss if epoch == epochs else 0.262 + 0.5 / epoch - 0.5 / epochs,
            "train_accuracy": 0.9031 - 0.17 / epoch + 0.17 / epochs,
            "test_accuracy": 0.8123 - 0.05 * (epoch % 3) + 0.05 * (epochs % 3),
            "step_seconds": 10.0,
            "seconds": 12.0,
        }
        for epoch in range(1, epochs + 1)
    ]
    return {
        "implementation": name,
        "seed": 7,
        "device": "cpu",
        "dtype": "float32",
        "epochs": epochs,
        "examples": 60000,
        "loss": loss,
        "train_accuracy": 0.9031,
        "test_accuracy": 0.8123,
        "step_examples_per_second": 12345.6,
        "examples_per_second": 9876.5,
        "compile_seconds": 1.5,
        "gamma": [2.31, 2.62, 3.93, 0.54, 3.45, 2.46],
        "beta": [1.61, -1.12, -2.53, -1.04, 3.65, -0.86],
        "history": history,
        "is_sample": False,
    } | changes


def records() -> dict[str, list[Record]]:
    """A whole run: all of our own agree, the tutorial differs, the framework's layer declares what it does."""
    made: dict[str, list[Record]] = {
        "header": [header()],
        "not_installed": [{"target": "flax-linen", "install": "pip install jax flax"}],
        "target": [target(name) for name in TARGETS],
        "comparison": [],
        "pair": [pair("numpy", "torch"), pair("numpy", "jax"), pair("torch", "jax"), pair("numpy", "flax")],
        "lockstep": [],
        "training": [training(name) for name in ("numpy", "torch", "jax")],
    }
    for name in TARGETS:
        for dtype in ("float64", "float32"):
            for op in ("train", "eval"):
                made["comparison"] += [comparison(name, one, op=op, dtype=dtype) for one in OBSERVABLES]
        made["comparison"].append(comparison(name, "dx", 0.0, "inconclusive", case="one_value"))
    made["comparison"].append(comparison("tutorial", "y", 7.5e15, "differ", case="gradients_off", op="eval"))
    made["comparison"].append(comparison("tutorial", "y", "inf", "noted", kind="policy", case="nan_in_one_channel"))
    made["target"][4] |= {
        "verdict": "differ",
        "diagnosis": [{"id": "mode_follows_grad", "text": "the mode hangs on gradients", "cases": ["gradients_off"]}],
        "notes": [{"id": "state_not_saved", "text": "moving statistics are lost"}],
    }
    made["pair"].append(pair("numpy", "tutorial", "differ", "inf"))
    made["pair"].append(pair("numpy", "torch-native", "declared", None, declared_by=["momentum", "moving_var"]))
    for a, b in (("numpy", "torch"), ("numpy", "jax"), ("torch", "jax")):
        made["lockstep"] += [lockstep(a, b), lockstep(a, b, "bn1.beta", 5.5e-13, 2e-13)]
    return made


def throughput(name: str, clock: str = "end_to_end", **changes: Any) -> Record:
    return {
        "bench": "training",
        "name": name,
        "clock": clock,
        "against": "tutorial",
        "examples_per_second": 23456.0,
        "ratio": {"median": 4.56, "low": 4.43, "high": 4.67},
        "ratio_near": {"median": 4.61, "low": 4.55, "high": 4.7},
        "rounds_near": 6,
        "core_distance_ns": {"median": 181.0, "low": 178.0, "high": 334.0},
        "control": {"median": 1.01, "low": 0.97, "high": 1.02},
        "decision": "faster",
        "aim": 3.0,
        "met": True,
        "cpu_ratio": 4.32,
        "compile_seconds": 2.5,
        "memory_mb": 612.0,
        "limit_share": 0.17,
        "matmul_flops": 2.04e11,
        "rounds": 9,
        "examples": 6000,
        "threads": 2,
        "device": "cpu",
        "how": "eager",
    } | changes


def layer(**changes: Any) -> Record:
    return {
        "bench": "layer",
        "name": "torch",
        "layout": "channels last",
        "shape": [64, 64, 56, 56],
        "against": "native",
        "seconds": 0.0321,
        "native_seconds": 0.0654,
        "bytes_per_second": 1e10,
        "ratio": {"median": 2.04, "low": 1.98, "high": 2.11},
        "control": {"median": 1.0, "low": 0.99, "high": 1.01},
        "decision": "faster",
        "rounds": 9,
        "device": "cpu",
    } | changes


def suite_timing(name: str, **changes: Any) -> Record:
    return {
        "bench": "suite",
        "name": name,
        "suite": "full",
        "seconds": 3.5,
        "rounds": [3.5],
        "comparisons": 4276,
        "comparisons_per_second": 1221.7,
        "parts": {"start": 0.25, "play": 2.75},
    } | changes


def accuracy(name: str, **changes: Any) -> Record:
    figures = {"mean": 0.9012, "deviation": 0.0023, "low": 0.8991, "high": 0.9034}
    return {
        "implementation": name,
        "seeds": [0, 1, 2],
        "epochs": 3,
        "measures": {"train_accuracy": figures, "population_test_accuracy": figures | {"mean": 0.8765}},
        "band": [{"epoch": e, "low": 0.61, "mean": 0.7 + e / 100, "high": 0.85} for e in (1, 2, 3)],
        "published": {"value": 0.739, "ends_below": 1, "ends": 3, "epochs_below": 4, "epochs": 9},
    } | changes


def equivalence(a: str, b: str, **changes: Any) -> Record:
    tested = {"difference": 0.00012, "low": -0.00034, "high": 0.00056, "p": 1e-5, "equivalent": True}
    return {"a": a, "b": b, "measure": "train_accuracy", "margin": 0.005, "seeds": 3} | tested | changes


def hostile() -> dict[str, list[Record]]:
    """A run in which every text that a target, a machine or a message can choose is `HOSTILE`."""
    made = records()
    head = header(suite=HOSTILE, data=HOSTILE, made=HOSTILE)
    head["environment"] = {
        "python": HOSTILE,
        "platform": HOSTILE,
        "processor": HOSTILE,
        "cores": 4,
        "packages": {HOSTILE: HOSTILE},
        "commit": HOSTILE,
    }
    head["published"] |= {"source": HOSTILE, "device": HOSTILE}
    made["header"] = [head]
    finding = {"id": HOSTILE, "text": HOSTILE, "cases": [HOSTILE, HOSTILE]}
    values = D2L | {"source": HOSTILE, HOSTILE: HOSTILE}
    made["target"].append(
        target(HOSTILE, "differ", diagnosis=[finding], notes=[finding], conventions=values, error=HOSTILE)
    )
    made["not_installed"].append({"target": HOSTILE, "install": HOSTILE})
    for verdict, observable in (("differ", "y"), ("raised", "dx"), ("crashed", None), ("noted", "dx")):
        kind = "policy" if verdict == "noted" else "law"
        words = {"message": HOSTILE, "case": HOSTILE, "op": HOSTILE, "kind": kind, "dtype": "float32"}
        made["comparison"].append(comparison(HOSTILE, observable, 9.0, verdict, **words))
        made["comparison"].append(comparison(HOSTILE, observable, 9.0, verdict, **words | {"dtype": HOSTILE}))
    words = {"case": HOSTILE, "declared_by": [HOSTILE], "observable": HOSTILE}
    made["pair"] += [pair("numpy", HOSTILE, verdict, 2.0, **words) for verdict in ("differ", "declared")]
    made["pair"].append(pair("torch", HOSTILE, "declared", 2.0, **words, dtype=HOSTILE))
    made["lockstep"].append(lockstep(HOSTILE, "numpy", HOSTILE, 1.0) | {"self": HOSTILE, "dtype": HOSTILE})
    made["training"].append(training(HOSTILE, device=HOSTILE, dtype=HOSTILE))
    made["throughput"] = [throughput(HOSTILE, against=HOSTILE, device=HOSTILE)]
    made["throughput"].append(layer(name=HOSTILE, layout=HOSTILE))
    made["throughput"].append(suite_timing(HOSTILE, suite=HOSTILE, parts={HOSTILE: 1.0}))
    made["accuracy"] = [accuracy(HOSTILE)]
    made["equivalence"] = [equivalence(HOSTILE, HOSTILE, measure=HOSTILE)]
    return made


def write(folder: Path, made: dict[str, list[Record]], footer: bool = True) -> Path:
    """The ledger of `made` as a file in `folder`."""
    ledger = Ledger(folder / "ledger.jsonl", made["header"][0])
    for kind, rows in made.items():
        for row in rows if kind != "header" else []:
            ledger.add(kind, row)
    if footer:
        ledger.close()
    else:
        ledger._file.close()
    return ledger.path
