"""Files of `torch.save`: what a failed write says, and that they read back."""

import errno
import os
from pathlib import Path

import pytest
import torch

from caffdet_cli.weights.writing import write_torch

TENSORS = {"a": torch.arange(1000.0), "half": torch.ones(7, dtype=torch.bfloat16), "none": torch.zeros(0, 3)}


def test_it_reads_back(tmp_path):
    write_torch({"model": TENSORS, "epoch": 3}, tmp_path / "a.pth")
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    assert found["epoch"] == 3
    assert all(torch.equal(found["model"][name], value) for name, value in TENSORS.items())


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
@pytest.mark.parametrize("numbers", [10, 1 << 20])
def test_a_full_disk_is_told_as_such(numbers):
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as told:
        write_torch({"a": torch.zeros(numbers)}, Path("/dev/full"))
    assert told.value.errno == errno.ENOSPC


def test_a_folder_that_is_not_there_is_told_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_torch(TENSORS, tmp_path / "nowhere/file")
