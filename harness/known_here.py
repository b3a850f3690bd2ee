"""What PyTorch's layer, which `pytest harness` checks beside ours, is known to do wrong.

`bnproof check torch-native` and `--bn torch-native` judge it without this list.
"""

from __future__ import annotations

FINDINGS = "impls/third_party/findings"
TANGENT = f"the tangent of y is float32 where x has 16 bits ({FINDINGS}/torch_16_bit_tangent.py)"
SECOND = f"dgamma's part of a second derivative is rounded to 16 bits ({FINDINGS}/torch_16_bit_second_derivative.py)"

KNOWN_HERE: dict[str, dict[str, str]] = {
    "torch-native": {
        "jvp_sixteen_bits": TANGENT,
        "jvp_frozen_sixteen_bits": TANGENT,
        "double_sixteen_bits": SECOND,
        "double_frozen_sixteen_bits": SECOND,
    }
}
"""Target -> case -> reason. Where a release of PyTorch is right the case agrees, and the snippet's own test says so."""
