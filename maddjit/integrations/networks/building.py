"""Builds a `Network` from a `Graph` and calibration images, step by step, with chosen look-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.networks import look_ups
from maddjit.integrations.networks.activations import Ranges, calibrated
from maddjit.integrations.networks.eight_bits import convolution_of, exact_layer
from maddjit.integrations.networks.evaluating import batches, before_clamp, node_value
from maddjit.integrations.networks.graph import Affine, Convolution, Graph, Node, limits_of
from maddjit.integrations.networks.look_ups import Places
from maddjit.integrations.networks.running import step_value
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.network import Layer, Network, Planes, Quantise, Step

Choice = dict[int, int]
"""Codebooks by the numbers of the nodes that become look-ups."""


@dataclass(frozen=True, eq=False)
class Task:
    """A graph, the images that it is converted by, and what the exact graph gives for them.

    Attributes
    ----------
    graph : Graph
    images : (N, C, H, W) float32 or uint8
        The first `n_learned` are learned from, the others are kept back.
    n_learned : int
    planes : list of Planes
        What each node gives in the network.
    places : dict of int to Places
        For each convolution, where it is learned.
    targets : dict of int to (P, M) float32
        What the exact convolution gives there, before its clamp.
    outputs : (N, …) float32
        The outputs of the exact graph.
    random_state : int
    trees : dict of (int, int) to ConvolutionModel
        Look-ups of a node with so many codebooks, as they were fitted first.
    """

    graph: Graph
    images: NDArray[Any]
    n_learned: int
    planes: list[Planes]
    places: dict[int, Places]
    targets: dict[int, NDArray[np.float32]]
    outputs: NDArray[np.float32]
    random_state: int
    trees: dict[tuple[int, int], ConvolutionModel] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        graph: Graph,
        images: NDArray[Any],
        n_learned: int,
        candidates: Sequence[int],
        *,
        n_patches: int,
        ranges: Ranges,
        random_state: int,
    ) -> Task:
        """Calibrate a graph on the images, and record what its candidates for look-ups give."""
        learned = images[:n_learned].astype(np.float32)
        planes = calibrated(graph, learned, ranges, random_state)
        places = {
            number: Places.drawn(
                n_learned,
                len(images),
                graph.nodes[number].shape[1:],
                n_patches,
                random_state + number,
            )
            for number in candidates
        }
        targets, outputs = _exact_results(graph, images, places)
        return cls(graph, images, n_learned, planes, places, targets, outputs, random_state)

    @property
    def held(self) -> slice:
        """The images that losses are measured on: those kept back, or all if there are none."""
        return slice(self.n_learned if self.n_learned < len(self.images) else 0, None)

    def is_output(self, number: int) -> bool:
        """Tell whether a node gives the outputs, in float32."""
        node = self.graph.nodes[number]
        return number == len(self.graph.nodes) - 1 and node.shape[1:] == (1, 1)


def ready(graph: Graph) -> Graph:
    """Return a graph whose outputs, if they are rows, come from a layer that can give float32."""
    last = graph.nodes[-1]
    taken = graph.nodes[last.inputs[0]].shape if last.inputs else last.shape
    if last.shape[1:] != (1, 1) or (last.inputs and convolution_of(last, taken)):
        return graph
    ones = np.ones(last.shape[0])
    made = Node("output", Affine(ones, 0 * ones), (len(graph.nodes) - 1,), last.shape)
    return Graph((*graph.nodes, made), graph.is_flat)


def candidates_of(graph: Graph) -> list[int]:
    """Return the convolutions that may become look-ups: all but the last layer."""
    return [
        number
        for number, node in enumerate(graph.nodes[:-1])
        if isinstance(node.operation, Convolution)
    ]


def _exact_results(
    graph: Graph, images: NDArray[Any], places: Mapping[int, Places]
) -> tuple[dict[int, NDArray[np.float32]], NDArray[np.float32]]:
    """Return what the exact graph gives at places of convolutions, and its outputs."""
    parts: dict[int, list[NDArray[np.float32]]] = {number: [] for number in places}
    outputs, first = [], 0
    for batch in batches(graph, images):
        found: list[NDArray[Any]] = []
        for number, node in enumerate(graph.nodes):
            given = [found[each] for each in node.inputs] or [batch.astype(np.float32)]
            if number in places:
                own = places[number]
                here = (own.image >= first) & (own.image < first + len(batch))
                y = before_clamp(node, given)
                parts[number].append(y[own.image[here] - first, :, own.row[here], own.column[here]])
                low, high = limits_of(node.operation)
                found.append(np.clip(y, np.float32(low), np.float32(high)))
            else:
                found.append(node_value(node, given))
        outputs.append(found[-1])
        first += len(batch)
    targets = {number: np.concatenate(rows) for number, rows in parts.items()}
    y = np.concatenate(outputs)
    return targets, y.reshape(len(y), -1) if y.shape[2:] == (1, 1) else y


def look_up_step(
    task: Task, number: int, n_codebooks: int, stored: NDArray[np.int8]
) -> tuple[Step, float | None]:
    """Return a convolution as look-ups for what its input is in the network so far, and its error.

    Trees are fitted to the product of that input the first time. Tables are regressed on what the
    exact network gives at the same places, each time. The error is measured on images kept back.
    """
    node = task.graph.nodes[number]
    operation = node.operation
    assert isinstance(operation, Convolution)
    given, planes, targets = task.planes[node.inputs[0]], task.planes[number], task.targets[number]
    places = task.places[number]
    patches = places.patches(stored, operation.window, given.zero_point)
    learned, judged = np.split(patches, [places.n_learned])
    key, seed = (number, n_codebooks), task.random_state
    if key not in task.trees:
        task.trees[key] = look_ups.with_trees(operation, learned, given, n_codebooks, seed)
    wanted, known = np.split(targets, [places.n_learned])
    model = look_ups.regressed(task.trees[key], learned, wanted, planes.step, seed)
    error = look_ups.error_of(model, judged, known) if len(judged) else None
    return _step(task, number, look_ups.look_up_layer(node, model, planes)), error


def _step(task: Task, number: int, layer: Layer) -> Step:
    node = task.graph.nodes[number]
    planes = None if task.is_output(number) else task.planes[number]
    taken = tuple(each + 1 for each in node.inputs) or (0,)
    return Step(layer, taken, planes, node.name)


def exact_step(task: Task, number: int) -> Step:
    """Return a node as an exact step."""
    if number == 0:
        kind = "uint8" if task.images.dtype == np.uint8 else "float32"
        return _step(task, 0, Quantise(kind))  # type: ignore[arg-type]
    node = task.graph.nodes[number]
    planes = None if task.is_output(number) else task.planes[number]
    return _step(task, number, exact_layer(node, [task.planes[n] for n in node.inputs], planes))


@dataclass(frozen=True, eq=False)
class Built:
    """A network, and what its steps give for images.

    Attributes
    ----------
    network : Network
    values : list of arrays
        What each step gives for the images of the task; None for those that are used no more.
    errors : dict of int to float or None
        The squared error of look-ups, over the variance, by their numbers.
    """

    network: Network
    values: list[Any]
    errors: dict[int, float | None]

    @property
    def outputs(self) -> NDArray[Any]:
        """What the last step gives."""
        found: NDArray[Any] = self.values[-1]
        return found


def built(task: Task, choice: Choice, *, keep: bool = False) -> Built:
    """Return the network in which the chosen convolutions are look-ups, step after step.

    Parameters
    ----------
    task : Task
    choice : Choice
    keep : bool
        Whether all values are kept, and not only the outputs.
    """
    nodes = task.graph.nodes
    last_use: dict[int, int] = {}
    for number, node in enumerate(nodes):
        last_use |= dict.fromkeys(node.inputs, number)
    steps: list[Step] = []
    found: list[Any] = []
    errors: dict[int, float | None] = {}
    for number, node in enumerate(nodes):
        given = [found[taken] for taken in node.inputs]
        if number in choice:
            step, errors[number] = look_up_step(task, number, choice[number], given[0])
            steps.append(step)
        else:
            steps.append(exact_step(task, number))
        found.append(value_of(task, steps[-1], given or [task.images]))
        for taken in node.inputs:
            if last_use[taken] == number and not keep:
                found[taken] = None
    return Built(Network(tuple(steps), nodes[0].shape), found, errors)


def value_of(task: Task, step: Step, given: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return what a step gives for stored values."""
    taken = [task.planes[value - 1] for value in step.inputs if value]
    return step_value(step, given, taken)


def run_from(task: Task, before: Built, number: int, step: Step) -> NDArray[Any]:
    """Return the outputs for the images kept back if one step of a network is another one."""
    found: dict[int, NDArray[Any]] = {}
    held = task.held
    for at in range(number, len(before.network.steps)):
        own = step if at == number else before.network.steps[at]
        sources = [value - 1 for value in own.inputs]
        if at != number and not any(source in found for source in sources):
            continue
        given = [found[s] if s in found else before.values[s][held] for s in sources]
        found[at] = value_of(task, own, given)
    return found.get(len(before.network.steps) - 1, before.outputs[held])
