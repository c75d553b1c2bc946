"""Which code runs a case: one runner per family and kind. Reading this file answers "what is covered?"."""

from collections.abc import Callable

from harness import Case

from runners import caff_dino, lite_dino
from runners.attention import attention_module, msda_core
from runners.components import components
from runners.fusion import fusion
from runners.layout import layout
from runners.mono_init import coco_mono_init
from runners.optimizer import optimizer
from runners.paired_loader import paired_loader
from runners.transforms import transforms
from runners.voc_to_coco import voc_to_coco

Runner = Callable[[Case], None]

RUNNERS: dict[tuple[str, str], Runner] = {
    ("caff_dino", "coco_mono_init"): coco_mono_init,
    ("caff_dino", "detector_forward"): caff_dino.detector_forward,
    ("caff_dino", "detector_loss"): caff_dino.detector_loss,
    ("caff_dino", "fusion"): fusion,
    ("caff_dino", "paired_loader"): paired_loader,
    ("caff_dino", "voc_to_coco"): voc_to_coco,
    ("lite_dino", "attention_module"): attention_module,
    ("lite_dino", "components"): components,
    ("lite_dino", "detector_forward"): lite_dino.detector_forward,
    ("lite_dino", "detector_loss"): lite_dino.detector_loss,
    ("lite_dino", "layout"): layout,
    ("lite_dino", "msda_core"): msda_core,
    ("lite_dino", "optimizer"): optimizer,
    ("lite_dino", "postprocess"): components,
    ("lite_dino", "transforms"): transforms,
}
