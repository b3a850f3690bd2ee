"""Sources of cases as links: an address, or a repository on GitHub with the number of an issue or pull request."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

OWNERS = {
    "FlagGems": "FlagOpen/FlagGems",
    "Flux": "FluxML/Flux.jl",
    "MIOpen": "ROCm/MIOpen",
    "Paddle": "PaddlePaddle/Paddle",
    "apex": "NVIDIA/apex",
    "caffe": "BVLC/caffe",
    "d2l-en": "d2l-ai/d2l-en",
    "d2l-zh": "d2l-ai/d2l-zh",
    "darknet": "pjreddie/darknet",
    "equinox": "patrick-kidger/equinox",
    "flax": "google/flax",
    "functorch": "pytorch/functorch",
    "jax": "jax-ml/jax",
    "keras": "keras-team/keras",
    "ludwig": "ludwig-ai/ludwig",
    "mlx": "ml-explore/mlx",
    "mxnet": "apache/mxnet",
    "ncnn": "Tencent/ncnn",
    "nntrainer": "nnstreamer/nntrainer",
    "oneflow": "Oneflow-Inc/oneflow",
    "onnx": "onnx/onnx",
    "onnxscript": "microsoft/onnxscript",
    "pytorch": "pytorch/pytorch",
    "sonnet": "google-deepmind/sonnet",
    "tensorflow": "tensorflow/tensorflow",
    "tinygrad": "tinygrad/tinygrad",
    "transformers": "huggingface/transformers",
    "tt-metal": "tenstorrent/tt-metal",
}
"""Repositories that are cited by their names alone."""
CITED = re.compile(r"(?P<address>https?://[^\s,;]+[^\s,;.])|(?P<repository>[\w.-]+(?:/[\w.-]+)?)#(?P<number>\d+)")


def linked(text: str) -> Markup:
    """`text` as HTML, each source in it a link; GitHub leads from an issue's number to a pull request of the same."""
    made, end = Markup(), 0
    for cited in CITED.finditer(text):
        address = address_of(cited)
        if address:
            made += escape(text[end : cited.start()])
            shown = cited[0].removeprefix("https://").removeprefix("http://")
            made += Markup('<a href="{}">{}</a>').format(address, shown)
            end = cited.end()
    return made + escape(text[end:])


def address_of(cited: re.Match[str]) -> str:
    """ "" where the repository is not known."""
    if cited["address"]:
        return cited["address"]
    repository = cited["repository"]
    whole = repository if "/" in repository else OWNERS.get(repository, "")
    return f"https://github.com/{whole}/issues/{cited['number']}" if whole else ""
