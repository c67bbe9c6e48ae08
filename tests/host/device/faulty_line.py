"""One direction of a line on which things go wrong, repeatably."""

from collections import Counter
from random import Random


class FaultyLine:
    """Carries bytes, about one fault in every `distance_bytes`, and counts the faults by kind.

    Kinds: a bit flips; bytes are dropped, inserted or overwritten; a frame is lost or comes twice; the cable is pulled
    and everything is lost until it is returned.
    """

    def __init__(self, rng: Random, distance_bytes: int) -> None:
        self._rng = rng
        self._distance_bytes = distance_bytes
        self._left = self._draw()
        self._losing = 0
        self.faults: Counter[str] = Counter()

    def _draw(self) -> int:
        return 1 + int(self._rng.expovariate(1 / self._distance_bytes))

    def carry(self, data: bytes) -> bytes:
        """What arrives of it."""
        out = bytearray()
        place = 0
        while place < len(data):
            if self._losing:
                lost = min(self._losing, len(data) - place)
                self._losing -= lost
                place += lost
                continue
            whole = min(self._left, len(data) - place)
            out += data[place : place + whole]
            self._left -= whole
            place += whole
            if self._left == 0 and place < len(data):
                self._left = self._draw()
                place += self._fault(data, place, out)
        return bytes(out)

    def _fault(self, data: bytes, place: int, out: bytearray) -> int:
        """Do something bad at a place; how many bytes that swallows."""
        rng = self._rng
        kind = rng.choices(("flip", "drop", "insert", "overwrite", "lose", "double", "pull"), (8, 4, 4, 4, 4, 4, 1))[0]
        self.faults[kind] += 1
        length = min(rng.choice((1, 1, 1, 2, 5, 20)), len(data) - place)
        frame_end = data.find(0, place) + 1 or len(data)
        if kind == "flip":
            out.append(data[place] ^ 1 << rng.randrange(8))
            return 1
        if kind == "drop":
            return length
        if kind == "insert":
            out += rng.randbytes(length)
            return 0
        if kind == "overwrite":
            out += rng.randbytes(length)
            return length
        if kind == "lose":
            return frame_end - place
        if kind == "double":
            begin = data.rfind(0, 0, place) + 1
            out += data[place:frame_end] + data[begin:frame_end]
            return frame_end - place
        self._losing = rng.randrange(50, 2_000)
        return 0
