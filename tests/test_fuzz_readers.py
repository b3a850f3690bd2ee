"""A slice of `python -m tests.experiments.fuzz_readers`: no changed file ends in anything but a result or one line."""

import random

import pytest

from harness.errors import UsageError
from tests.experiments.fuzz_readers import changed, readers

FILES = 40


@pytest.fixture(scope="module")
def known():
    return readers()


def test_every_reader_reads_what_is_right_and_refuses_the_rest_in_one_line(known, tmp_path):
    for name, reader in known.items():
        rng, path = random.Random(name), tmp_path / "file"
        path.write_bytes(reader.good)
        assert reader.read(path) is not None
        refusals = []
        for _ in range(FILES):
            path.write_bytes(changed(rng, reader))
            try:
                reader.read(path)
            except UsageError as error:
                refusals.append(str(error))
        assert refusals, name
        assert not [refusal for refusal in refusals if "\n" in refusal]
