from pathlib import Path

from tests.support.canaries import PAYLOAD, keep_secret, leaks


def test_a_secret_in_a_log_is_found(tmp_path: Path) -> None:
    token = keep_secret("eyJh.eyJz.signature-of-a-token")
    log = tmp_path / "node.log"
    log.write_text(f"fine\nwith {token}\nalso fine\nwith {PAYLOAD}\n")
    assert leaks([log]) == [f"node.log: with {token}", f"node.log: with {PAYLOAD}"]
