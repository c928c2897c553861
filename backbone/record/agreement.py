"""On how much of a user's images a mode gives stock's answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z = 1.959964  # of the middle 95 % of a normal distribution


@dataclass(frozen=True)
class Agreement:
    """share: of images whose answer is stock's or, if `of` is "pixels", the mean share of an
    image's pixels; otherwise `of` is "images". images: how many. low, high: the 95 % interval of
    the share over such images."""

    share: float
    images: int
    low: float
    high: float
    of: str

    @property
    def short(self) -> str:
        """In words, such as: 194 of 200 images."""
        if self.of == "images":
            return f"{round(self.share * self.images)} of {self.images} images"
        return f"{100 * self.share:.1f} % of the pixels"

    @property
    def text(self) -> str:
        """With its interval: 194 of 200 images (93.6 to 98.6 %)."""
        images = "" if self.of == "images" else f" of {self.images} images"
        return f"{self.short}{images} ({100 * self.low:.1f} to {100 * self.high:.1f} %)"


def agreement_of(shares: Sequence[float], of: str) -> Agreement:
    """The agreement over images, from each one's share. The interval is Wilson's, of a share
    ("Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927); if an
    image's share may lie between 0 and 1, it is wider than it needs to be."""
    count = len(shares)
    share = sum(shares) / count
    middle = share + Z**2 / (2 * count)
    half = Z * sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    scale = 1 + Z**2 / count
    low, high = max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
    return Agreement(share, count, low, high, of)
