"""Files and folders that only their owner may read: keys, sockets, data."""

import os
from pathlib import Path


def make_private_folder(path: Path) -> None:
    """Make the folder with mode 0700 if it is not there; see that this process may write to it. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(13, "no right to write there", str(path))


def write_private_file(path: Path, text: str) -> None:
    """Write the file with mode 0600, whole or not at all, over one that is there. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
