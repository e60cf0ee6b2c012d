"""Page-table entries: the two formats, bit by bit."""

from bhyvesim.kernel.pte.ept import EPT
from bhyvesim.kernel.pte.format import PteFormat
from bhyvesim.kernel.pte.rvi import RVI

FORMATS: dict[str, PteFormat] = {f.name: f for f in (RVI, EPT)}

__all__ = ["EPT", "FORMATS", "RVI", "PteFormat"]
