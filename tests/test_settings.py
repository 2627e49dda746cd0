import base64
import ipaddress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import (
    Settings,
    SettingsError,
    describe_settings,
    flag_name,
    read_settings,
    serve_flags,
    settings_table,
    variable_name,
    write_settings,
)

README = Path(__file__).parent.parent / "README.md"
KEY = bytes(range(32))
OTHER_VALUES: dict[str, Any] = {
    "host": "::1",
    "port": 1,
    "workers": 3,
    "data_dir": Path("/srv/rooms"),
    "redis_url": "rediss://:pw@redis.example:6380/1",
    "database_url": "postgresql://roomcast:pw@db.example/roomcast",
    "trusted_proxies": (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")),
    "connects_per_second_per_address": None,
    "metrics_port": 9100,
    "log_format": "json",
    "sealing_key": KEY,
    "operator_token": "rco_canary-canary-canary-canary-canary",
    "redis_restart": "trust",
    "audit_retention_days": 30,
    "usage_minutes_retention_days": 2,
    "usage_hours_retention_days": 3_660,
    "outbox_max_bytes": 65_536,
    "ping_interval_seconds": 0.5,
    "pong_timeout_seconds": 0.25,
    "handshake_timeout_seconds": 1.5,
    "drain_seconds": 1.0,
    "stop_timeout_seconds": 2.0,
    "redis_is_embedded": True,
}


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({variable_name(name): " " for name in Settings.__struct_fields__}) == Settings()


@pytest.mark.parametrize("settings", [Settings(), Settings(**OTHER_VALUES)], ids=["defaults", "others"])
def test_what_a_supervisor_writes_its_workers_read_the_same(settings: Settings) -> None:
    assert read_settings(write_settings(settings)) == settings


def test_every_setting_has_another_value_in_these_tests() -> None:
    assert set(OTHER_VALUES) == set(Settings.__struct_fields__)
    assert all(OTHER_VALUES[field.name] != field.default for field in msgspec.structs.fields(Settings))


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("port", "eight", "can't be 'eight': give a whole number from 0 to 65535."),
        ("port", "65536", "give a whole number from 0 to 65535."),
        ("workers", "0", "give a whole number from 1 to 256."),
        ("workers", "none", "give a whole number from 1 to 256."),
        ("connects_per_second_per_address", "0", "give a whole number from 1 to 1000000, or none."),
        ("metrics_port", "65535", "give a whole number from 1 to 65280, or none."),
        ("ping_interval_seconds", "nan", "give a number above 0 and up to 86400."),
        ("ping_interval_seconds", "inf", "give a number above 0 and up to 86400."),
        ("log_format", "xml", "give console or json."),
        ("redis_restart", "maybe", "give prove or trust."),
        ("trusted_proxies", "10.0.0.1/8", "give addresses or networks separated by commas, as 10.0.0.0/8,::1."),
        ("redis_url", "localhost:6379", "give a URL that starts with redis://, rediss://, unix://, redis+sentinel://"),
        ("database_url", "mysql://x", "give a URL as postgresql://user:password@host/database"),
        ("sealing_key", "c2hvcnQ=", "make one with `head -c 32 /dev/urandom | base64`."),
        ("operator_token", "x" * 31, "make one with `head -c 32 /dev/urandom | base64`."),
        ("operator_token", f"rck_{'x' * 60}", "that don't begin with rck_"),
        ("operator_token", f"{'x' * 20} {'x' * 20}", "it must be 32 to 512 letters"),
    ],
)
def test_a_value_that_cannot_be_is_told_in_one_sentence_with_the_remedy(name: str, text: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({variable_name(name): text})
    sentence = str(caught.value)
    assert sentence.startswith(variable_name(name))
    assert remedy in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["sealing_key", "operator_token", "redis_url", "database_url"])
def test_an_error_does_not_repeat_what_may_be_secret(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({variable_name(name): "canary-5f3a"})
    assert "canary-5f3a" not in str(caught.value)


def test_settings_do_not_show_their_secrets() -> None:
    settings = Settings(**OTHER_VALUES)
    assert "pw" not in f"{settings} {settings!r}"
    assert base64.b64encode(KEY).decode() not in repr(settings)
    assert "canary" not in repr(settings)


def test_off_sqlite_the_sealing_key_is_required() -> None:
    environment = {"ROOMCAST_DATABASE_URL": "postgresql://db.example/roomcast"}
    with pytest.raises(SettingsError, match=r"set ROOMCAST_SEALING_KEY to the output of"):
        read_settings(environment)
    settings = read_settings({**environment, "ROOMCAST_SEALING_KEY": base64.b64encode(KEY).decode()})
    assert settings.sealing_key == KEY
    assert not settings.database_is_sqlite


def test_without_a_database_url_it_is_a_file_in_the_data_directory() -> None:
    settings = Settings(data_dir=Path("/srv/rooms"))
    assert settings.sql_url == "sqlite:////srv/rooms/roomcast.db"
    assert settings.database_is_sqlite


@given(
    st.sampled_from(sorted(Settings.__struct_fields__)), st.text(st.characters(codec="utf-8", exclude_characters="\0"))
)
def test_any_text_is_a_value_or_a_settings_error(name: str, text: str) -> None:
    try:
        settings = read_settings({variable_name(name): text, "ROOMCAST_SEALING_KEY": base64.b64encode(KEY).decode()})
    except SettingsError:
        return
    assert isinstance(settings, Settings)


@pytest.mark.parametrize("name", ["sealing_key", "operator_token"])
def test_a_secret_is_no_flag_since_ps_would_show_it(name: str) -> None:
    assert name in describe_settings()
    assert name not in serve_flags()
    assert flag_name("data_dir") == "--data-dir"


def test_the_readme_has_the_table_of_settings() -> None:
    _, _, rest = README.read_text().partition("<!-- settings:begin -->\n")
    table, _, _ = rest.partition("\n<!-- settings:end -->")
    assert table == settings_table(), "run `make settings-table`"
