"""caff_dino/voc_to_coco: the conversion in upstream's own way: its result or its error for every folder."""

from typing import Any

from harness import Case

from caffdet_cli.data.formats.voc_upstream import voc_to_coco_as_upstream
from caffdet_cli.errors import DatasetError


def voc_to_coco(case: Case) -> None:
    """Every folder of the case, exact."""
    case.check_exact("upstream.json", case.file("upstream.json"), voc_to_coco_as_upstream(case.folder / "xml"))
    for edge in case.file("edge_cases.json"):
        recorded = {"result": edge["result"], "error": edge["error"]}
        case.check_exact("edge_cases.json", recorded, _outcome(case, edge["folder"]), edge["folder"])
    case.finish()


def _outcome(case: Case, folder: str) -> dict[str, Any]:
    try:
        return {"result": voc_to_coco_as_upstream(case.folder / folder), "error": None}
    except DatasetError as error:
        return {"result": None, "error": str(error)}
