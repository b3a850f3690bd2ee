"""A layer that cannot take an option, or whose parameters are constants, is not judged in it."""

import pytest

from harness.cases.catalogue import BY_ID
from harness.check import CheckOptions, check
from harness.targets.load import load
from tests.in_process import checked

OPTIONS = ("gamma_only", "no_parameters", "no_statistics", "cumulative_average")
LACKING = {
    "torch_programs:Mkldnn": OPTIONS[:2],
    "torch_programs:Folded": ("jvp_frozen",),
    "torchvision_frozen:Frozen": ("jvp_frozen",),
}


def assert_lacking(report):
    verdicts = {judgement.verdict.value for judgement in report.judgements}
    assert "unsupported" in verdicts, report.load_error
    assert verdicts <= {"agree", "unsupported", "noted"}


@pytest.mark.parametrize("layer", LACKING)
def test_what_a_layer_lacks_is_not_held_against_it(layer):
    assert_lacking(checked(load(f"impls.third_party.{layer}"), cases=tuple(BY_ID[case] for case in LACKING[layer])))


def test_what_an_exported_layer_lacks_is_not_held_against_it():
    """In a process of its own: what torch.export makes hangs on all that PyTorch was asked for before."""
    options = CheckOptions(tuple(BY_ID[case] for case in OPTIONS))
    (report,) = check(["impls.third_party.torch_programs:Exported"], options)
    assert_lacking(report)
