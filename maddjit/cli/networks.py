"""What ``maddjit compile``, ``inspect`` and ``bench`` do with networks."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS
from maddjit.cli import kernels
from maddjit.cli.answers import Answer
from maddjit.cli.convolutions import in_format, per_image, planes_in, time_words
from maddjit.cli.turns import take_turns
from maddjit.compiler import cache
from maddjit.models.network import Network
from maddjit.models.storage import provenance_of
from maddjit.operators.network import NetworkOperator
from maddjit.pipeline import Stage, emit
from maddjit.pipeline import compile as compile_model

IMAGES = 64
"""Images of a call that is timed, unless --n says more or less."""


def compiled(network: Network, options: argparse.Namespace) -> Answer:
    """Compile a network, so that later processes find its code in the cache."""
    op = _operator(network, options)
    facts = {"model": facts_of(network), "report": op.report, "cache": cache.info()}
    return Answer(f"{op!r}\n{op.report}\ncache     {cache.info()}", facts)


def inspected(network: Network, options: argparse.Namespace) -> Answer:
    """Show the layers of a network, or its code, for this machine or another one."""
    kernels.check_flags(options, "networks")
    facts: dict[str, Any] = {"model": facts_of(network), "provenance": provenance_of(options.model)}
    if options.asm or options.ir:
        stage: Stage = "assembly" if options.asm else options.ir
        if options.target:  # any target can be shown, also one that cannot run here
            text = emit(network, options.target, stage)
        else:
            op = _operator(network, options)
            text = op.asm() if options.asm else op.ir(options.ir)
        return Answer(text, {**facts, stage: text})
    report = _operator(network, options).report
    return Answer(f"{network!r}\n{report}", {**facts, "report": report})


def timed(network: Network, options: argparse.Namespace) -> Answer:
    """Time a network and each of its layers, on images from a file or random ones."""
    op = _operator(network, options)
    images = _images(network, options)
    out = op(images)
    seconds = take_turns({"": lambda: op(images, out=out)}, options.rounds)[""]
    times, layers = per_image(seconds, len(images)), op.profile(images)
    lines = [
        repr(op),
        f"{len(images)} images a call, one thread",
        time_words(times),
        *(f"layer     {layer}" for layer in layers),
    ]
    if options.rows is None:
        lines.append("images are random: give --rows for the times of your images")
    facts = {
        "model": facts_of(network),
        "target": op.target.name,
        "n_images": len(images),
        "rounds": options.rounds,
        "microseconds_an_image": times,
        "layers": layers,
    }
    return Answer("\n".join(lines), facts)


def facts_of(network: Network) -> dict[str, Any]:
    """Return the kind, the sizes and the layers of a network, for JSON."""
    return {
        "kind": "network",
        "input_shape": network.input_shape,
        "output_shape": network.output_shape,
        "dtype": str(network.dtype),
        "layers": [step.kind for step in network.steps],
    }


def _images(network: Network, options: argparse.Namespace) -> NDArray[Any]:
    """Return images in the dtype that the network takes."""
    n_images = options.n or IMAGES
    if options.rows is not None:
        return in_format(planes_in(options.rows, n_images), INPUTS[network.dtype.name])
    rng, shape = np.random.default_rng(0), (n_images, *network.input_shape)
    if network.dtype.kind == "u":
        return rng.integers(0, 256, shape).astype(network.dtype)
    return (127 * network.planes(1).step * rng.standard_normal(shape)).astype(network.dtype)


def _operator(network: Network, options: argparse.Namespace) -> NetworkOperator:
    """Compile a network as the flags say."""
    kernels.check_flags(options, "networks")
    return compile_model(network, options.target)
