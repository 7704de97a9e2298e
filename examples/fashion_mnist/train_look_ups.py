"""Train the look-ups of the whole Fashion-MNIST network and write them as one model file.

Five of the six convolutions become look-ups. Trees are fitted, tables are regressed on the exact
network's outputs, and all of them are then trained to answer as that network does, by Adam on 55000
training images that are flipped and shifted. The other 5000 training images, which the exact
network did see in its training, tell how it goes; settings were chosen by training losses and by
these, in runs of 75 to 100 steps. Test images are looked at once, in the end.

By default the last convolution has one codebook a channel and the others two. With --compile, this
takes some 4 ms of one core of a shared Emerald Rapids CPU for an image and epoch: 44 minutes in
all. It can be stopped: the same command goes on from the checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import maddjit
import maddjit.torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
import network
import rivals

NETWORK_FILE = Path(__file__).with_name("look_ups.npz")
LAYERS = {"conv2": 24, "conv3": 32, "conv4": 40, "conv5": 48, "conv6": 96}
"""The convolutions that become look-ups, and their input channels."""

N_TRAIN = 55000
"""Training images; those behind them are held out."""

N_FITTED = 3000
"""Training images that trees are fitted on, and tables regressed."""


def load(split: str) -> tuple[Tensor, Tensor]:
    """Read one split as uint8 images (n, 1, 28, 28) and labels (n,)."""
    images, labels = network.load_images(split)
    return torch.tensor(images)[:, None], torch.tensor(labels.astype(np.int64))


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip each image left to right with probability 1/2 and shift it by up to 2 pixels."""
    n, span = len(images), torch.arange(28)
    padded = functional.pad(images[:, 0], (2, 2, 2, 2))
    rows = torch.randint(0, 5, (n, 1), generator=generator) + span
    columns = torch.randint(0, 5, (n, 1), generator=generator) + span
    flipped = torch.rand(n, 1, generator=generator) < 0.5
    columns = torch.where(flipped, columns.flip(1), columns)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the fraction of images that a network classifies correctly."""
    was_training = net.training
    net.eval()
    found = torch.cat([net(part.float() / 255).argmax(1) for part in images.split(500)])
    net.train(was_training)
    return float((found == labels).double().mean())


def main(options: argparse.Namespace) -> None:
    """Replace, train, write the network, and tell its accuracy."""
    torch.set_num_threads(1)
    if options.compile:
        maddjit.torch.compile_look_ups()
    teacher = rivals.in_torch()
    images, labels = load("train")
    held_out = images[N_TRAIN:][: options.images], labels[N_TRAIN:][: options.images]
    images, labels = images[:N_TRAIN][: options.images], labels[:N_TRAIN][: options.images]
    shares = options.codebooks * (len(LAYERS) // len(options.codebooks))
    codebooks = {
        name: max(1, round(share * channels))
        for share, (name, channels) in zip(shares, LAYERS.items(), strict=True)
    }
    print("codebooks:", codebooks, flush=True)
    student = maddjit.torch.with_look_ups(
        teacher,
        images[:N_FITTED].float() / 255,
        codebooks,
        byte_group=options.byte_group,
        random_state=options.seed,
        precision=torch.bfloat16,
    )
    student.layers[0].requires_grad_(False)
    print(f"replaced: held out {accuracy(student, *held_out):.4f}", flush=True)
    start = time.process_time()

    def progress(told: maddjit.torch.Progress) -> None:
        line = f"step {told.step} of {told.n_steps}: loss {told.loss:.4f}"
        if told.step % 1000 == 0:
            line += f", held out {accuracy(student, *held_out):.4f}"
        print(f"{line}, {time.process_time() - start:.0f} s of CPU", flush=True)

    maddjit.torch.distil(
        student,
        teacher,
        images,
        labels,
        maddjit.torch.Schedule(epochs=options.epochs, seed=options.seed),
        augment=augmented,
        checkpoint=options.checkpoint,
        progress=progress,
    )
    maddjit.save(student.network((1, 28, 28)), options.output)
    test = [part[: options.images] for part in load("test")]
    for name, net in ("exact", teacher), ("look-ups", student):
        print(f"{name}: held out {accuracy(net, *held_out):.4f}, test {accuracy(net, *test):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--codebooks",
        type=float,
        nargs="+",
        default=[2.0, 2.0, 2.0, 2.0, 1.0],
        help="codebooks for each input channel: one number, or one for each layer",
    )
    parser.add_argument("--images", type=int, default=N_TRAIN, help="the most of each kind")
    parser.add_argument("--byte-group", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="file to keep the state of training in")
    parser.add_argument("--output", type=Path, default=NETWORK_FILE)
    parser.add_argument("--compile", action="store_true", help="compile gradients by torch.compile")
    main(parser.parse_args())
