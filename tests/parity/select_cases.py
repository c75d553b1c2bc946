"""Copies the cases that travel with the repository: `python tests/parity/select_cases.py ../shared/parity`.

A fresh clone has no ../shared; with these cases `pytest tests/parity` still compares every part of the model with the
reference, in about a minute. Run it again after a change of the list below or of the shared cases.
"""

import shutil
import sys
from pathlib import Path

LARGEST = 10_000_000  # bytes of the whole selection
TARGET = Path(__file__).resolve().parent / "cases"

CASES = (
    "caff_dino/coco_mono_init_lite",
    "caff_dino/fusion_hier_7x7_minimum",
    "caff_dino/fusion_lite_10x12",
    "caff_dino/fusion_lite_3x1",
    "caff_dino/fusion_lite_7x9_odd",
    "caff_dino/hier_loss",
    "caff_dino/lite_loss",
    "caff_dino/lite_r50_4scale",
    "caff_dino/loader_a",
    "caff_dino/voc_to_coco",
    "lite_dino/components",
    "lite_dino/kda_module_ref4",
    "lite_dino/layout_dino_r50_4scale",
    "lite_dino/layout_dino_r50_5scale",
    "lite_dino/layout_dino_swinl_4scale",
    "lite_dino/layout_dino_swinl_5scale",
    "lite_dino/layout_lite_r50_h2l2_2p1x3",
    "lite_dino/layout_lite_r50_h3l1_2p1x3",
    "lite_dino/layout_lite_r50_h3l1_2p1x3_msda",
    "lite_dino/layout_lite_r50_h3l1_6p1x1",
    "lite_dino/layout_lite_swint_h3l1_2p1x3",
    "lite_dino/lite_h3l1_2p1x3_msda",
    "lite_dino/lite_swint_h3l1_2p1x3_kda",
    "lite_dino/msda_core",
    "lite_dino/msda_core_tiny",
    "lite_dino/msda_module_ref2",
    "lite_dino/msda_module_ref4_mask",
    "lite_dino/msda_module_same_loc",
    "lite_dino/msda_module_small",
    "lite_dino/optimizer_dino",
    "lite_dino/optimizer_lite",
    "lite_dino/postprocess",
    "lite_dino/transforms",
)


def select(source: Path, target: Path) -> int:
    """Replace `target` by the chosen cases of `source`; the number of bytes."""
    shutil.rmtree(target, ignore_errors=True)
    for name in CASES:
        shutil.copytree(source / name, target / name, copy_function=shutil.copyfile)
    for folder in [target, *target.rglob("*")]:
        folder.chmod(0o755 if folder.is_dir() else 0o644)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


if __name__ == "__main__":
    size = select(Path(sys.argv[1]), TARGET)
    print(f"{len(CASES)} cases, {size / 1e6:.1f} MB in {TARGET}")
    if size > LARGEST:
        sys.exit(f"more than {LARGEST / 1e6:.0f} MB: take some out of CASES")
