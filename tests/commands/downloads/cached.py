"""What the tests of these commands share."""

import hashlib
import random
from pathlib import Path

CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(300_000)
OTHER = b"PK\x03\x04" + random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "mine.pth"


def final_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))
