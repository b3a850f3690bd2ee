"""Trainings in lockstep: from one start over the same batches, the frameworks stay as close as rounding keeps them."""

from dataclasses import replace

import pytest

from harness.train.fashion_mnist import load
from harness.train.implementations import installed
from harness.train.lockstep import lockstep
from harness.train.options import LockstepOptions

STEPS = 12


@pytest.fixture(scope="module")
def records():
    names = installed()
    if len(names) < 2:
        pytest.skip("a comparison needs a second framework: pip install 'bnproof[all]'")
    data = load()
    few = replace(data, test_images=data.test_images[:256], test_labels=data.test_labels[:256])
    return lockstep(few, LockstepOptions(names, steps=STEPS, dtype="float64"))


def test_every_tensor_stays_within_ten_times_what_relabelling_does(records):
    assert {record.steps for record in records if record.last} == {STEPS}
    out = [record for record in records if record.distance > record.allowed * record.self_distance]
    assert not out, f"{out[0].a} / {out[0].b}: {out[0].tensor} at {out[0].distance:.2g}"


def test_the_yardstick_is_neither_zero_nor_chaos(records):
    grown = [record.self_distance for record in records]
    assert max(grown) > 1e-17
    assert max(grown) < 1e-9
