"""The suite of networks: small vision transformers trained with linear layers of many kinds."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.suite import Suite
from benchmarks.harness.tables import Record
from benchmarks.suites.networks import tables
from benchmarks.suites.networks.methods import Inference, Run, Subject, small, subjects
from benchmarks.tasks.cache import needs


@dataclass(frozen=True)
class Limits:
    """What bounds the work: epochs, examples of a batch, the peak rate, rounds of timing."""

    epochs: int = 10
    batch: int = 128
    rate: float = 2e-3
    rounds: int = 21
    minutes: float = 0.0
    """No run begins that would probably end later; 0 is no end."""
    keep: bool = True
    """Whether weights are kept in files, for what begins from them."""


def measure(subject: Subject, limits: Limits) -> Record:
    """Train a network, time trained ones, or time one layer on a device."""
    needs("torch", "torch")
    if isinstance(subject, Run):
        from benchmarks.suites.networks import running

        return running.measure(subject, limits)
    if isinstance(subject, Inference):
        from benchmarks.suites.networks import inference

        return inference.measure(subject, limits)
    from benchmarks.suites.networks import gpu

    return gpu.measure(subject, limits)


SUITE = Suite(
    "networks",
    {subject.name: subject for subject in subjects()},
    {subject.name: subject for subject in small()},
    Limits(),
    {"epochs": 2, "batch": 64, "rounds": 3, "keep": False},
    measure,
    tables.SECTIONS,
    resumes=True,
)
