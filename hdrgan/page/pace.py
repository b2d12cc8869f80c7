"""How long a network will take: what the page tells those who wait, and which lane a job runs in."""

from __future__ import annotations

from hdrgan.files.photo import Photo
from hdrgan.page.jobs import LONG_S

_SECONDS = {"RadianceGenerator": (0.4, 0.02), "BracketGenerator": (0.1, 1.0), "EIN": (0.1, 4.0)}
"""What a network takes on two cores: for any photo, and for each megapixel. What runs take here corrects it."""

_TELLING = 200_000  # pixels; a smaller photo tells nothing of larger ones


class Pace:
    """Learns from each run how fast this machine is."""

    def __init__(self) -> None:
        self._slower: dict[str, float] = {}  # how many times as long as expected a network's runs took

    def expected_s(self, network: str, photo: Photo) -> float:
        """Seconds that a network, named by its class, will take for a photo."""
        always, a_megapixel = _SECONDS.get(network, (0.1, 0.5))
        return self._slower.get(network, 1.0) * (always + a_megapixel * photo.width * photo.height / 1e6)

    def learn(self, network: str, photo: Photo, seconds: float) -> None:
        """Take in how long a run took; a long one may have stood aside for others, and tells nothing."""
        expected = self.expected_s(network, photo)
        if photo.width * photo.height > _TELLING and expected < LONG_S:
            self._slower[network] = self._slower.get(network, 1.0) * (0.5 + 0.5 * seconds / expected)
