import stat
from pathlib import Path

import pytest

from service.preparation import load_operator_token
from service.settings import Settings, SettingsError


def test_the_operators_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    token = load_operator_token(settings)
    assert token.startswith("rco_")
    assert len(token) == 47
    assert load_operator_token(settings) == token
    assert settings.operator_token_file.read_text() == f"{token}\n"
    assert stat.S_IMODE(settings.operator_token_file.stat().st_mode) == 0o600


def test_the_environments_token_is_taken_and_none_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, operator_token="x" * 32)
    assert load_operator_token(settings) == "x" * 32
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_others_may_read_is_not_taken(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    load_operator_token(settings)
    settings.operator_token_file.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_operator_token(settings)


@pytest.mark.parametrize("text", ["", "guessed", "x" * 31])
def test_a_file_with_a_token_that_could_be_guessed_is_not_taken(tmp_path: Path, text: str) -> None:
    settings = Settings(data_dir=tmp_path)
    load_operator_token(settings)
    settings.operator_token_file.write_text(text)
    with pytest.raises(SettingsError, match="32 to 512 letters"):
        load_operator_token(settings)
