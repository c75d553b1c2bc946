"""What a run starts from: a new detector is filled from the job's weights, and what that means is said."""

import json

import torch

from caffdet_cli.engine.job import Job
from caffdet_cli.errors import WeightsError
from caffdet_cli.progress import Progress
from caffdet_cli.weights.backbone_files import check_backbone, read_backbone
from caffdet_cli.weights.class_names import usual_names
from caffdet_cli.weights.load import assumed_in, check_numbers, read_stored
from caffdet_cli.weights.naming import whole_configuration
from caffdet_cli.weights.start import Account, remarks, start_from_single


def start(detector: torch.nn.Module, job: Job, progress: Progress) -> Account | None:
    """Fill a new detector from the job's starting weights; None where it starts from random ones."""
    if job.weights is None:
        return None
    model = job.config.model
    if (backbone := read_backbone(job.weights, model)) is not None:
        return _from_backbone(detector, backbone, job)
    stored = read_stored(job.weights)
    check_numbers(stored, job.weights)
    if len(stored.model.spectra) > len(model.spectra):
        raise WeightsError(
            f"{job.weights} is a model of two spectra, this one has one; start from a model of one spectrum"
        )
    if len(stored.model.spectra) == 2 and stored.model.spectra != model.spectra:
        order = json.dumps(list(stored.model.spectra))
        raise WeightsError(
            f"{job.weights} has the streams {', '.join(stored.model.spectra)}, the model {', '.join(model.spectra)}; "
            f"--set 'model.spectra={order}' takes them in the order they were trained in"
        )
    known = stored.conventions.classes or usual_names(stored.model.spectra, stored.model.outputs)
    state, account = start_from_single(detector.state_dict(), stored.state, model, job.conventions.classes, known)
    fitting = len(account.copied) + len(account.to_both_streams)
    if len(account.mismatched) > fitting:
        raise WeightsError(
            f"{job.weights} is of another model: {fitting} of its tensors fit, {len(account.mismatched)} have another "
            "shape; take the model it was made for, or train with --from-scratch"
        )
    wanted = stored.model.model_copy(
        update={name: getattr(model, name) for name in ("spectra", "fusion", "shared_backbone")}
    )
    for remark in remarks(stored.model, model, whole_configuration(wanted), assumed_in(stored, job.weights)):
        progress.warn(remark)
    for line in account.class_lines():
        progress.say(line)
    if job.config.train.freeze_backbone and any(name.startswith("pyramid.backbone") for name in account.left):
        progress.warn(
            "a backbone is not in the starting weights and is not trained (train.freeze_backbone = true): it keeps "
            "random weights; take other weights, or --set train.freeze_backbone=false"
        )
    detector.load_state_dict(state)
    return account


def _from_backbone(detector: torch.nn.Module, backbone: dict[str, torch.Tensor], job: Job) -> Account:
    assert job.weights is not None
    own = detector.state_dict()
    check_backbone(backbone, own, job.config.model, job.weights)
    state, account = start_from_single(own, backbone, job.config.model)
    detector.load_state_dict(state)
    return account
