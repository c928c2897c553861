"""Agreement of a mode's answers with stock's on a user's images."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z = 1.959964  # half-width of the middle 95 % of a standard normal distribution


@dataclass(frozen=True)
class Agreement:
    """share: the share of images with stock's answer or, if `of` is "pixels" rather than "images",
    the mean share of an image's pixels. images: their number. low, high: the 95 % interval of the
    share over images."""

    share: float
    images: int
    low: float
    high: float
    of: str

    @property
    def short(self) -> str:
        """In words, such as "194 of 200 images"."""
        if self.of == "images":
            return f"{round(self.share * self.images)} of {self.images} images"
        return f"{100 * self.share:.1f} % of the pixels"

    @property
    def text(self) -> str:
        """With its interval, such as "194 of 200 images (93.6 to 98.6 %)"."""
        images = "" if self.of == "images" else f" of {self.images} images"
        return f"{self.short}{images} ({100 * self.low:.1f} to {100 * self.high:.1f} %)"


def agreement_of(shares: Sequence[float], of: str) -> Agreement:
    """The agreement over images, from the share of each. The interval is Wilson's for a proportion
    ("Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927); it is
    wider than necessary if an image's share can lie between 0 and 1."""
    count = len(shares)
    share = sum(shares) / count
    middle = share + Z**2 / (2 * count)
    half = Z * sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    scale = 1 + Z**2 / count
    low, high = max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
    return Agreement(share, count, low, high, of)
