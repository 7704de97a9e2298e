"""`distil`: trains networks of look-ups to answer as the network does that they came from."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from maddjit.integrations.torch.look_up_convolution import LookUpConv2d
from maddjit.integrations.torch.look_up_network import LookUpNetwork

logger = logging.getLogger(__name__)

FINISHING = 0.75
"""The share of the steps after which the outputs of the network alone count."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""A function of images and a generator that returns other images of the same shape."""


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
    batch : int
        Images of a step.
    rate : float
        The first learning rate of Adam for tables and biases; it falls to 0 by a cosine.
    threshold_rate, exact_rate : float
        Those of thresholds, and of weights and biases of exact layers, as shares of `rate`.
    cooling : float
        Temperatures fall to this share of what they were, by a geometric sequence.
    label_share : float
        The share of the labels' cross-entropy in the loss. The rest is the divergence of the
        outputs' distribution from the given network's.
    softness : float
        What outputs are divided by in that divergence.
    layer_share : float
        The weight of the normalised squared errors of all layers by look-ups, after ReLU, against
        the given network's. It counts until three quarters of the steps are done.
    seed : int
        Of the order of images and of all that `augment` draws.
    """

    epochs: int = 10
    batch: int = 128
    rate: float = 1e-3
    threshold_rate: float = 0.5
    exact_rate: float = 0.1
    cooling: float = 0.25
    label_share: float = 0.3
    softness: float = 2.0
    layer_share: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """What `distil` tells while it trains.

    Attributes
    ----------
    step, n_steps : int
        Steps done, and all.
    loss : float
        The mean loss of the steps since it was last told.
    """

    step: int
    n_steps: int
    loss: float


class Distillation:
    """The training of one network, which can be stopped and gone on with after any step.

    Parameters
    ----------
    student : LookUpNetwork
        What is trained, in place, on its device.
    teacher : nn.Module
        The network whose outputs are learned. Its modules have the names of the student's layers.
    images : (N, C, H, W) tensor
        uint8, which become numbers from 0 to 1, or of floating point.
    labels : (N,) tensor, optional
        Without them the loss is the divergence alone.
    schedule : Schedule
    augment : callable, optional
        Takes images of floating point and a generator.
    """

    def __init__(
        self,
        student: LookUpNetwork,
        teacher: nn.Module,
        images: Tensor,
        labels: Tensor | None,
        schedule: Schedule,
        augment: Augment | None = None,
    ) -> None:
        self.student, self.teacher = student, teacher
        self.images, self.labels = images, labels
        self.schedule, self.augment = schedule, augment
        self.per_epoch = len(images) // schedule.batch
        if not self.per_epoch:
            raise ValueError(f"{len(images)} images are fewer than a batch of {schedule.batch}")
        self.n_steps = schedule.epochs * self.per_epoch
        self.step = 0
        kinds: dict[str, list[nn.Parameter]] = {"tables": [], "thresholds": [], "exact": []}
        looked_up = {id(part) for layer in student.look_ups() for part in layer.parameters()}
        for name, part in student.named_parameters():
            if not part.requires_grad:
                continue
            kind = "exact" if id(part) not in looked_up else "tables"
            kinds["thresholds" if name.endswith(".thresholds") else kind].append(part)
        shares = {"tables": 1, "thresholds": schedule.threshold_rate, "exact": schedule.exact_rate}
        groups = [
            {"params": parts, "share": shares[kind]}
            for kind, parts in kinds.items()
            if parts and shares[kind]
        ]
        self.optimizer = torch.optim.Adam(groups, lr=schedule.rate)
        self.temperatures = [float(layer.temperature) for layer in student.look_ups()]

    def advance(self) -> float:
        """Take one step; return its loss."""
        schedule = self.schedule
        done = self.step / self.n_steps
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate * group["share"] * (1 + math.cos(math.pi * done)) / 2
        for layer, start in zip(self.student.look_ups(), self.temperatures, strict=True):
            layer.temperature.fill_(start * schedule.cooling**done)
        x, labels = self._batch()
        share = schedule.layer_share if done < FINISHING else 0
        seen: dict[str, Tensor] = {}
        hooks = self._watched(seen) if share else []
        with torch.no_grad():
            wanted = self.teacher(x)
        for hook in hooks:
            hook.remove()
        y, outputs = self.student.with_outputs(x)
        loss = self._loss(y, wanted, labels)
        for name, target in seen.items():
            loss = loss + share * ((outputs[name] - target) ** 2).mean() / target.var()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        for layer in self.student.look_ups():
            layer.project()
        self.step += 1
        return float(loss.detach())

    def _watched(self, seen: dict[str, Tensor]) -> list[Any]:
        """Make the teacher's layers write what layers by look-ups should give; return the hooks."""

        def keeping(name: str, layer: LookUpConv2d) -> Callable[..., None]:
            def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                seen[name] = output.clamp(min=0) if layer.relu else output

            return keep

        return [
            self.teacher.get_submodule(name).register_forward_hook(keeping(name, layer))
            for name, layer in zip(self.student.names, self.student.layers, strict=True)
            if isinstance(layer, LookUpConv2d)
        ]

    def _batch(self) -> tuple[Tensor, Tensor | None]:
        """Return the images and labels of this step, which depend on seed and step alone."""
        epoch, place = divmod(self.step, self.per_epoch)
        order = torch.Generator().manual_seed(hash((self.schedule.seed, epoch)) % 2**63)
        size = self.schedule.batch
        chosen = torch.randperm(len(self.images), generator=order)[
            place * size : (place + 1) * size
        ]
        device = next(self.student.parameters()).device
        x = self.images[chosen.to(self.images.device)].to(device)
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        if self.augment:
            drawn = torch.Generator().manual_seed(hash((self.schedule.seed, epoch, place)) % 2**63)
            x = self.augment(x, drawn)
        labels = self.labels
        return x, None if labels is None else labels[chosen.to(labels.device)].to(device)

    def _loss(self, y: Tensor, wanted: Tensor, labels: Tensor | None) -> Tensor:
        soft = self.schedule.softness
        divergence = functional.kl_div(
            (y / soft).log_softmax(1),
            (wanted / soft).log_softmax(1),
            reduction="batchmean",
            log_target=True,
        ) * (soft * soft)
        if labels is None:
            return divergence
        share = self.schedule.label_share
        return share * functional.cross_entropy(y, labels) + (1 - share) * divergence

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on: parameters, the optimiser's state and the step."""
        return {
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "temperatures": self.temperatures,
            "schedule": asdict(self.schedule),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same training.

        Raises
        ------
        ValueError
            If the state is of another schedule.
        """
        if state["schedule"] != asdict(self.schedule):
            raise ValueError(f"the state is of the schedule {state['schedule']}")
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.temperatures = state["step"], list(state["temperatures"])


def distil(
    student: LookUpNetwork,
    teacher: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    schedule: Schedule | None = None,
    *,
    augment: Augment | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    progress: Callable[[Progress], Any] | None = None,
) -> LookUpNetwork:
    """Train a network of look-ups, end to end, to answer as its teacher does.

    Parameters
    ----------
    student, teacher, images, labels, schedule, augment
        As `Distillation` has them.
    checkpoint : path, optional
        A file in which the state is kept. If it is there, training goes on from it.
    every : int
        The steps after which progress is told and the state is kept.
    progress : callable, optional
        Takes a `Progress`. If it returns False, training stops; the state is kept before.

    Returns
    -------
    LookUpNetwork
        `student`, in evaluation mode.
    """
    training = Distillation(student, teacher, images, labels, schedule or Schedule(), augment)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        training.load_state_dict(torch.load(path, weights_only=True))
    student.train()
    teacher.eval()
    total, since = 0.0, 0
    while training.step < training.n_steps:
        total, since = total + training.advance(), since + 1
        if training.step % every and training.step < training.n_steps:
            continue
        if path is not None:
            part = path.with_name(path.name + ".part")
            torch.save(training.state_dict(), part)
            part.replace(path)
        told = Progress(training.step, training.n_steps, total / since)
        logger.info("step %d of %d: loss %.4f", *asdict(told).values())
        total, since = 0.0, 0
        if progress is not None and progress(told) is False:
            break
    student.eval()
    return student
