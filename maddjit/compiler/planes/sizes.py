"""`Sizes`: what a movement of planes is told when it is called, as an array of whole numbers."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sizes:
    """What is moved, where it lies in a frame, and where it lies in an array.

    Movements read it as an array of int64, in the order of the fields.

    Attributes
    ----------
    channels, images : int
        The planes that are moved, and the images of each.
    rows, columns : int
        What is moved of each image.
    plane_step : int
        Bytes from one plane of the frame to the next.
    image_step, pitch : int
        Elements of the frame from one image of a plane to the next, and from one row to the next.
    lead, tail : int
        Elements of the frame in front of a plane's first image, and behind its last one.
    above : int
        Rows of an image in the frame that are above the first one that is moved. They are filled.
    array_channel_step, array_image_step, array_row_step, array_column_step : int
        The steps of the array, in bytes.
    fill : int
        What stands in the frame where no image does: the bits of an element.
    """

    channels: int
    images: int
    rows: int
    columns: int
    plane_step: int
    image_step: int
    pitch: int
    lead: int = 0
    tail: int = 0
    above: int = 0
    array_channel_step: int = 0
    array_image_step: int = 0
    array_row_step: int = 0
    array_column_step: int = 0
    fill: int = 0

    @property
    def merged(self) -> Sizes:
        """The same movement with all rows of an image as one, if nothing is between them.

        What is above the rows then counts as a part of the lead, and the tail is shorter by it: a
        run ends where it did. The tail may become negative.
        """
        is_run = self.pitch == self.columns
        if (
            self.rows < 2
            or not is_run
            or self.array_row_step != self.columns * (self.array_column_step)
        ):
            return self
        above, columns = self.above * self.pitch, self.rows * self.columns
        return replace(
            self,
            rows=1,
            columns=columns,
            pitch=columns,
            lead=self.lead + above,
            tail=self.tail - above,
            above=0,
        )

    def array(self) -> NDArray[np.int64]:
        """Return the array that movements are called with."""
        return np.array(astuple(self), np.int64)


NAMES = tuple(field.name for field in fields(Sizes))
"""The names of all sizes, in their order."""
