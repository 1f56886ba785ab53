"""Who is let in, and into which project."""

from __future__ import annotations

import base64

import pytest

from everyspan.collector.issued import Scope
from everyspan.collector.keys import DEFAULT_PROJECT, Keys
from everyspan.errors import CollectorError, SettingsError


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "project"),
    [
        (basic("pk-a:sk-a"), "pk-a"),
        (basic("pk-b:sk:with:colons"), "pk-b"),
        ("Bearer sk-a", "pk-a"),
        ("bearer sk:with:colons", "pk-b"),
        (basic("pk-a:sk:with:colons"), None),
        (basic("pk-a:"), None),
        (basic("pk-unknown:sk-a"), None),
        (basic("pk-unknown:"), None),
        ("Bearer pk-a", None),
        ("Bearer ", None),
        ("Basic !!!", None),
        ("Basic /w==", None),
        ("Digest sk-a", None),
        ("sk-a", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_whole_pair_or_its_secret_opens_its_project(
    authorization: str | None, project: str | None
) -> None:
    keys = Keys(["pk-a:sk-a", "pk-b:sk:with:colons"])

    if project is not None:
        assert keys.let_in(authorization, Scope.READ).project == project
        return
    with pytest.raises(CollectorError) as refused:
        keys.let_in(authorization, Scope.READ)
    assert refused.value.status == 401


def test_without_keys_everybody_is_in_one_project_whatever_they_call_themselves() -> None:
    keys = Keys()

    assert not keys
    for authorization in (basic("pk-a:sk-a"), None):
        assert keys.let_in(authorization, Scope.INGEST).project == DEFAULT_PROJECT


@pytest.mark.parametrize("pair", ["pk-only", "pk:", ":sk", ""])
def test_half_a_key_is_no_key(pair: str) -> None:
    with pytest.raises(SettingsError, match="public:secret"):
        Keys([pair])


def test_a_project_has_one_key_pair() -> None:
    with pytest.raises(SettingsError, match="twice"):
        Keys(["pk:one", "pk:two"])


def test_secrets_do_not_show() -> None:
    assert "sk-secret" not in str(vars(Keys(["pk:sk-secret"])))
