"""A PostgreSQL of the tests' own, where its programs are installed; it can be killed, frozen and started again."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path


def find_pg_ctl() -> Path | None:
    """pg_ctl beside its initdb and postgres; Debian keeps them off the PATH."""
    on_path = shutil.which("pg_ctl")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return Path(on_path) if on_path else (installed[-1] if installed else None)


class PostgresServer:
    """A server in a folder of its own, reached by its Unix socket alone; it refuses to run as root."""

    def __init__(self, pg_ctl: Path) -> None:
        self._programs = pg_ctl.resolve().parent
        self.folder = Path(tempfile.mkdtemp(prefix="roomcast-pg-"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(self.folder, "postgres", "postgres")
        # --no-sync, -F: the data lives as long as the tests do.
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--pgdata=data")
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -F"
        self._run("pg_ctl", "--pgdata=data", "--wait", "--log=log", f"--options={options}", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "--pgdata=data", "--wait", "--mode=immediate", "stop")

    def freeze(self) -> None:
        """SIGSTOP to the server and all its processes; on Linux alone."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to them."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        server = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(server, number)  # first: a frozen one makes no new processes
        for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split():
            os.kill(int(pid), number)

    def create_database(self) -> str:
        """The URL of a new one."""
        name = f"test_{secrets.token_hex(8)}"
        self._run("createdb", f"--host={self.folder}", "--username=postgres", name)
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        # No pipes: pg_ctl's server would inherit them, and the pipe's end never come.
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
