"""A layer that cannot take an option, or whose parameters are constants, is not judged in it."""

import pytest

from harness.cases.catalogue import BY_ID
from harness.targets.load import load
from tests.in_process import checked

OPTIONS = ("gamma_only", "no_parameters", "no_statistics", "cumulative_average")
LACKING = {
    "torch_programs:Exported": OPTIONS,
    "torch_programs:Mkldnn": OPTIONS[:2],
    "torch_programs:Folded": ("jvp_frozen",),
    "torchvision_frozen:Frozen": ("jvp_frozen",),
}


@pytest.mark.parametrize("layer", LACKING)
def test_what_a_layer_lacks_is_not_held_against_it(layer):
    report = checked(load(f"impls.third_party.{layer}"), cases=tuple(BY_ID[case] for case in LACKING[layer]))
    verdicts = {judgement.verdict.value for judgement in report.judgements}
    assert "unsupported" in verdicts
    assert verdicts <= {"agree", "unsupported", "noted"}
