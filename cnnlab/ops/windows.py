"""Where the windows of a pooling lie: a description as `problem.py` has one of a convolution."""

from dataclasses import dataclass

from cnnlab.ops.geometry import Pairs, output_shape


@dataclass(frozen=True)
class Windows:
    """All windows of `batch` maps of shape `(*spatial, channels)`; sizes by spatial axis."""

    batch: int
    spatial: tuple[int, ...]
    channels: int
    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Pairs

    @property
    def out(self) -> tuple[int, ...]:
        """How many windows there are along each axis (B 10.7)."""
        return output_shape(self.spatial, self.window, stride=self.stride, padding=self.padding)

    @property
    def x_shape(self) -> tuple[int, ...]:
        return self.batch, *self.spatial, self.channels

    @property
    def y_shape(self) -> tuple[int, ...]:
        return self.batch, *self.out, self.channels
