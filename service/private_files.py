"""Files and folders that only their owner may read: keys, sockets, data."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def make_private_folder(path: Path) -> None:
    """Make the folder with mode 0700 if it is not there; see that this process may write to it. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(13, "no right to write there", str(path))


def read_or_make_private_file(path: Path, make: Callable[[], str]) -> str:
    """The text of the file (0600), made of `make` on the first call. Safe when two processes start at once.

    Raises PermissionError when others may read it, and OSError.
    """
    if not path.exists():
        # Written aside and linked: another process never reads half a file, and the first one to link wins.
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(make() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise PermissionError(13, f"others may read it; run: chmod 600 {path}", str(path))
    return path.read_text("ascii", errors="replace").strip()


def write_private_file(path: Path, text: str) -> None:
    """Write the file with mode 0600, whole or not at all, over one that is there. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
