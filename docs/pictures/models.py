"""Draws the pictures of docs/models.md: one model of each family, and one with a fusion for each level.

Run it from anywhere: python docs/pictures/models.py

Each is what `caffdet config show NAME --size 512x640 --draw FILE.png` makes.
"""

from pathlib import Path

from caffdet_cli.benchmark.model_drawing import save_model_drawing
from caffdet_cli.settings.load import load_config

SIZE = (512, 640)
FUSIONS = '[{name="caff-lite"}, {name="caff-lite"}, {name="concat"}, {name="add"}]'
DRAWN: dict[str, tuple[str, list[str], str]] = {  # file -> model, settings, title
    "model-caff-lite-dino": ("caff-lite-dino-r50", [], ""),
    "model-caff-dino": ("caff-dino-swin-l-5scale", [], ""),
    "model-dino": ("dino-r50", [], ""),
    "model-lite-dino": ("lite-dino-r50-h3l1-2p1x3", [], ""),
    "model-deformable-detr": ("deformable-detr-r50", [], ""),
    "model-deformable-detr-two-stage": ("deformable-detr-r50-two-stage", [], ""),
    "model-h-detr": ("caff-h-deformable-detr-r50", [], ""),
    "model-fusions": ("caff-lite-dino-r50", [f"model.fusion_levels={FUSIONS}"], "mixed.toml"),
}


def main() -> None:
    for name, (model, overrides, title) in DRAWN.items():
        settings = load_config(model=model, overrides=overrides).config.model
        target = Path(__file__).with_name(f"{name}.png")
        save_model_drawing(settings, target, SIZE, title=title or model, overwrite=True)
        print(f"{target}: {target.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
