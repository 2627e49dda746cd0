import ast
import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service import telemetry
from service.telemetry import LOG_FIELDS, configure_logging, metrics_text, new_incident

SERVICE = Path(__file__).parent.parent / "service"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLWNhbmFyeQ"
API_KEY = "rck_acme_0123456789ab_canarycanarycanarycanarycanarycanarycanar12"
OPERATOR_TOKEN = "rco_canarycanarycanarycanarycanarycanarycanar12"
SECRET = "D_9i2vHZwPQirMA7gglEp12XkQW_ztjUvVqLLELAADo"
SEALING_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Lines:
    """What was logged to stderr so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """The logging of before is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Lines(capsys)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "secret",
    [JWT, API_KEY, OPERATOR_TOKEN, SECRET, SEALING_KEY],
    ids=["token", "api key", "operator", "signing", "sealing"],
)
def test_no_secret_reaches_a_log_by_whatever_way(lines: Lines, log_format: str, secret: str) -> None:
    configure_logging("json" if log_format == "json" else "console")
    log = structlog.get_logger()
    log.warning(f"refused {secret}", reason=f"bearer {secret} is bad", error=ValueError(secret))
    logging.getLogger("uvicorn.error").warning("line %s", secret)
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("failed")
        logging.getLogger("somewhere").exception("failed")
    text = lines.getvalue()
    assert text.count("[redacted]") >= 6
    assert secret not in text
    assert "Traceback" in text


def test_fields_that_are_secret_by_name_and_passwords_in_urls_are_cut_out(lines: Lines) -> None:
    configure_logging("json")
    structlog.get_logger().info("x", token="abc", data={"text": "hi"}, reason="redis://user:canary@db.example:1/0")
    event = json.loads(lines.getvalue())
    assert event["token"] == event["data"] == "[redacted]"
    assert event["reason"] == "redis://user:[redacted]@db.example:1/0"


def test_what_is_no_secret_stays(lines: Lines) -> None:
    configure_logging("json", worker=2)
    fields = {
        "tenant": "acme",
        "connection": "q3Yw0J9cQ0aB2xLr",
        "code": "forbidden",
        "incident": new_incident(),
        "count": 3,
    }
    structlog.get_logger().info("refused", **fields)
    event = json.loads(lines.getvalue())
    assert event.items() >= {**fields, "event": "refused", "level": "info", "worker": 2}.items()


def test_uvicorn_logs_in_the_same_form(lines: Lines) -> None:
    configure_logging("json")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert json.loads(lines.getvalue())["event"] == "Invalid HTTP request received."


def test_every_field_that_is_logged_has_its_name_in_the_list() -> None:
    unknown = {
        f"{path.relative_to(SERVICE)}:{call.lineno} {keyword.arg}"
        for path in SERVICE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("log", "_log", "logger")
        for keyword in call.keywords
        if keyword.arg is not None and keyword.arg not in {*LOG_FIELDS, "exc_info"}
    }
    assert unknown == set()


def metric(name: str) -> float:
    for line in metrics_text().decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no metric {name}")


def test_plain_counters_and_refusals_are_what_prometheus_reads() -> None:
    before = metric("roomcast_messages_published_total")
    telemetry.counters.messages_published += 2
    telemetry.count_refusal("canary_code")
    telemetry.count_refusal("canary_code")
    assert metric("roomcast_messages_published_total") == before + 2
    assert metric('roomcast_refusals_total{code="canary_code"}') == 2
    del telemetry.refusals["canary_code"]


def test_a_gauge_is_asked_at_each_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_gauges", {})
    open_sockets = [1]
    telemetry.register_gauge("connections", lambda: len(open_sockets))
    assert metric("roomcast_connections") == 1
    open_sockets.append(2)
    assert metric("roomcast_connections") == 2


def test_a_histogram_counts_a_duration_in_the_first_bucket_that_holds_it() -> None:
    histogram = telemetry.Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    buckets, total_seconds = histogram.buckets()
    assert buckets == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert total_seconds == pytest.approx(7.65)


@pytest.mark.anyio
async def test_a_stalled_loop_is_measured_and_told(lines: Lines) -> None:
    configure_logging("json")
    before = metric("roomcast_loop_lag_seconds_sum")
    watching = asyncio.create_task(telemetry.watch_loop_lag(interval_seconds=0.01, warn_seconds=0.05))
    await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251 - the stall that is measured
    while "stalled" not in lines.getvalue():
        await asyncio.sleep(0.001)  # it is the next turn's timer that finds the stall
    watching.cancel()
    assert metric("roomcast_loop_lag_seconds_sum") - before >= 0.05
    assert json.loads(lines.getvalue().splitlines()[0])["duration_seconds"] >= 0.05


def test_incidents_are_short_and_each_a_new_one() -> None:
    incidents = {new_incident() for _ in range(1000)}
    assert len(incidents) == 1000
    assert {len(incident) for incident in incidents} == {12}
