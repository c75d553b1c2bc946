"""What must be known to use weights rightly; stored inside every checkpoint."""

from caffdet_cli.settings.base import Settings, Spectrum
from caffdet_cli.settings.data import FixedThermal, PercentileRule
from caffdet_cli.settings.model import Input
from caffdet_cli.settings.rig import Rig


class Conventions(Settings):
    """How pictures become input, and what outputs mean."""

    input: Input = Input()
    spectra: tuple[Spectrum, ...] = ("rgb",)
    """Stream order."""
    label_spectrum: Spectrum = "rgb"
    """In whose pixels boxes were annotated and detections are given; of a one-spectrum model its own."""
    thermal: FixedThermal = PercentileRule()
    rig: Rig | None = None
    """The camera rig that the training pictures were warped by."""
    classes: tuple[str | None, ...] = ()
    """Name of each class slot; None for a slot without one (91-slot heads of published files)."""
    category_ids: tuple[int | None, ...] = ()
    """The data set's own id of each slot, for writers."""

    @property
    def reference(self) -> int:
        """The stream whose pixels boxes and detections refer to."""
        return self.spectra.index(self.label_spectrum) if self.label_spectrum in self.spectra else 0
