import base64
import os
import stat
import threading
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from service.protocol.errors import Invalid
from service.tenants.keys import (
    Sealer,
    SealingKeyError,
    load_or_make_sealing_key,
    load_signing_key,
    new_api_key,
    new_hs256_secret,
    parse_api_key,
    parse_sealing_key,
)


def test_what_is_sealed_opens_with_its_key_and_context_alone() -> None:
    sealer = Sealer(b"k" * 32)
    sealed = sealer.seal(b"secret", "tenant/kid")
    assert sealer.open(sealed, "tenant/kid") == b"secret"
    assert b"secret" not in sealed
    assert sealer.seal(b"secret", "tenant/kid") != sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for opener, value, context in (
        (Sealer(b"x" * 32), sealed, "tenant/kid"),
        (sealer, sealed, "other/kid"),
        (sealer, changed, "tenant/kid"),
        (sealer, sealed[:20], "tenant/kid"),
        (sealer, b"\x02" + sealed[1:], "tenant/kid"),
        (sealer, b"", "tenant/kid"),
    ):
        with pytest.raises(SealingKeyError):
            opener.open(value, context)


def test_the_check_value_tells_keys_apart_and_is_not_the_key() -> None:
    key = os.urandom(32)
    assert Sealer(key).check_value == Sealer(key).check_value != Sealer(os.urandom(32)).check_value
    assert key.hex() not in Sealer(key).check_value


@pytest.mark.parametrize(
    "text", ["", "?", "c2hvcnQ=", "x" * 43, "not base64 at all", base64.b64encode(b"k" * 33).decode()]
)
def test_a_bad_sealing_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SealingKeyError) as refused:
        parse_sealing_key(text)
    assert not text or text not in str(refused.value)


def test_both_base64_alphabets_are_read() -> None:
    key = b"\xfb\xff" * 16
    assert parse_sealing_key(base64.b64encode(key).decode()) == key
    assert parse_sealing_key(base64.urlsafe_b64encode(key).decode() + "\n") == key


def test_the_sealing_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    key = load_or_make_sealing_key(path)
    assert len(key) == 32
    assert load_or_make_sealing_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["sealing.key"]
    path.chmod(0o640)
    with pytest.raises(SealingKeyError, match="chmod 600"):
        load_or_make_sealing_key(path)


def test_first_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    keys: list[bytes] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        keys.append(load_or_make_sealing_key(tmp_path / "sealing.key"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert os.listdir(tmp_path) == ["sealing.key"]


def test_an_api_key_has_its_parts_and_256_bits() -> None:
    text, key_id, key_hash = new_api_key("my-app")
    assert parse_api_key(text) == ("my-app", key_id, text.rpartition("_")[2])
    assert 62 ** len(text.rpartition("_")[2]) >= 2**256
    assert len(key_hash) == 32
    assert new_api_key("my-app")[0] != text


@pytest.mark.parametrize(
    "wrong", ["", "rck", "rck_a_b_c", "rck_-a_{0}_{1}", "RCK_a_{0}_{1}", "rck_a_{0}_{1}\n", "rck_a_{0}_{1}x"]
)
def test_only_an_api_key_is_parsed_as_one(wrong: str) -> None:
    assert parse_api_key(f"rck_a_{'i' * 12}_{'s' * 43}") is not None
    assert parse_api_key(wrong.format("i" * 12, "s" * 43)) is None


def test_an_hs256_key_is_the_secrets_own_bytes() -> None:
    secret = new_hs256_secret()
    assert len(secret) >= 43
    assert load_signing_key("HS256", secret.encode()).get_op_key("verify") == secret.encode()
    with pytest.raises(Invalid):
        load_signing_key("HS256", b"short")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_only_a_key_of_the_algorithm_is_loaded(algorithm: str) -> None:
    for wrong in (
        ECKey.generate_key("P-384").as_pem(private=False),
        OKPKey.generate_key("Ed448").as_pem(private=False),
        OKPKey.generate_key("X25519").as_pem(private=False),
        RSAKey.generate_key(2048).as_pem(private=False),
        (OKPKey.generate_key("Ed25519") if algorithm == "ES256" else ECKey.generate_key("P-256")).as_pem(private=False),
        b"",
        b"{}",
        b"[1]",
        b'{"kty":"oct","k":"c2VjcmV0"}',
        b'{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}',
        b'{"kty":"OKP","crv":"Ed25519","x":1}',
        new_hs256_secret().encode(),
    ):
        with pytest.raises(Invalid):
            load_signing_key(algorithm, wrong)
