"""nchan, a module of nginx: Debian's package libnginx-mod-nchan. A message is one WebSocket frame of the publisher."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.failures import BenchmarkError
from benchmarks.generator import HERE
from benchmarks.machine import free_port
from benchmarks.servers import running, wait_until_ready
from benchmarks.workload import Server, Side, Words

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
WORDS = Words(path="/sub?id=r{room}", subscribe=(), publish="{payload}", publisher_path="/pub?id=r{room}")


@contextmanager
def _run(configuration: str, _redis_port: int, folder: Path) -> Iterator[Server]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None or not MODULE.exists():
        raise BenchmarkError("nchan is not installed: apt-get install nginx-core libnginx-mod-nchan.")
    port = free_port()
    text = (HERE / "peers" / "apps" / configuration).read_text()
    (folder / "nginx.conf").write_text(text.replace("MODULE", str(MODULE)).replace("PORT", str(port)))
    with running([nginx, "-p", str(folder), "-c", "nginx.conf"], folder, {}) as process:
        wait_until_ready(process, port, "/")
        yield Server(port, process.pid, WORDS)


START = Side("nchan", "nchan", partial(_run, "nchan_start.conf"))
FAST = Side("nchan-fast", "nchan, tuned", partial(_run, "nchan_fast.conf"))
