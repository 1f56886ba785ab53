"""What a user sets is what everyspan does, and a value that can not be used is named."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from everyspan.errors import SettingsError
from everyspan.model.destination import Dialect
from everyspan.settings import DEFAULT_ENDPOINT, Drop, Fsync, collector, data_dir, from_environment, spool_dir

LANGFUSE = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1"}


def test_a_program_that_was_told_nothing_tries_the_local_collector() -> None:
    settings = from_environment(environ={})

    assert [each.url for each in settings.destinations] == [f"{DEFAULT_ENDPOINT}/v1/traces"]
    assert settings.explicit is False


def test_without_variables_the_filesystem_limits_the_spool_and_an_exit_waits_five_seconds() -> None:
    settings = from_environment(environ={})

    assert (settings.fsync, settings.spool_bytes, settings.exit_timeout_s) == (Fsync.NONE, None, 5.0)
    assert (settings.drop, settings.block_timeout_s) == (Drop.NEWEST, 10.0)


def test_what_gives_way_in_a_full_spool_can_be_chosen() -> None:
    settings = from_environment(environ={"EVERYSPAN_DROP": "Block", "EVERYSPAN_BLOCK_TIMEOUT": "2.5"})

    assert (settings.drop, settings.block_timeout_s) == (Drop.BLOCK, 2.5)


@pytest.mark.parametrize(
    "endpoint", ["http://collector:4319", "http://collector:4319/", "http://collector:4319/v1/traces"]
)
def test_an_endpoint_may_be_written_with_and_without_the_path(endpoint: str) -> None:
    settings = from_environment(environ={"EVERYSPAN_ENDPOINT": endpoint})

    assert [each.url for each in settings.destinations] == ["http://collector:4319/v1/traces"]
    assert settings.explicit is True


def test_an_argument_wins_over_its_variable() -> None:
    environ = {"EVERYSPAN_ENDPOINT": "http://variable:1", "EVERYSPAN_API_KEY": "variable-key"}

    settings = from_environment(endpoint="http://argument:2", api_key="argument-key", environ=environ)

    assert [each.url for each in settings.destinations] == ["http://argument:2/v1/traces"]
    assert settings.destinations[0].headers == (("Authorization", "Bearer argument-key"),)


def test_our_endpoint_wins_over_opentelemetrys() -> None:
    environ = {"EVERYSPAN_ENDPOINT": "http://ours:1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs:2"}

    settings = from_environment(environ=environ)

    assert [each.url for each in settings.destinations] == ["http://ours:1/v1/traces"]


def test_opentelemetrys_general_endpoint_gets_the_path_and_its_headers() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example/base/",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=one%20two, x-team = blue",
    }

    (destination,) = from_environment(environ=environ).destinations

    assert destination.url == "https://otlp.example/base/v1/traces"
    assert destination.headers == (("x-api-key", "one two"), ("x-team", "blue"))


def test_opentelemetrys_traces_endpoint_is_taken_as_it_stands() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://general.example",
        "OTEL_EXPORTER_OTLP_HEADERS": "from=general",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces.example/in",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "from=traces",
    }

    (destination,) = from_environment(environ=environ).destinations

    assert destination.url == "https://traces.example/in"
    assert destination.headers == (("from", "traces"),)


@pytest.mark.parametrize("variable", ["LANGFUSE_BASE_URL", "LANGFUSE_HOST"])
def test_langfuses_keys_make_a_langfuse_destination_on_the_host_they_name(variable: str) -> None:
    environ = {**LANGFUSE, variable: "https://langfuse.example/"}

    (destination,) = from_environment(environ=environ).destinations

    assert destination.url == "https://langfuse.example/api/public/otel/v1/traces"
    assert destination.dialect is Dialect.LANGFUSE
    scheme, _, token = dict(destination.headers)["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(token)) == ("Basic", b"pk-lf-1:sk-lf-1")


def test_langfuse_without_a_host_is_its_cloud() -> None:
    (destination,) = from_environment(environ=LANGFUSE).destinations

    assert destination.url == "https://cloud.langfuse.com/api/public/otel/v1/traces"


@pytest.mark.parametrize("missing", LANGFUSE)
def test_half_a_langfuse_key_pair_is_no_destination(missing: str) -> None:
    environ = {name: value for name, value in LANGFUSE.items() if name != missing}

    settings = from_environment(environ=environ)

    assert settings.explicit is False


def test_an_endpoint_and_langfuse_are_two_destinations_with_directories_of_their_own() -> None:
    settings = from_environment(environ={**LANGFUSE, "EVERYSPAN_ENDPOINT": "http://collector:4319"})

    assert [each.dialect for each in settings.destinations] == [Dialect.OTLP, Dialect.LANGFUSE]
    assert len({each.id for each in settings.destinations}) == 2


def test_no_key_shows_in_a_repr_or_in_a_directory_name() -> None:
    environ = {**LANGFUSE, "EVERYSPAN_ENDPOINT": "http://collector:4319", "EVERYSPAN_API_KEY": "es-secret"}

    settings = from_environment(environ=environ)

    shown = repr(settings) + " ".join(each.id for each in settings.destinations)
    assert "es-secret" not in shown
    assert "sk-lf-1" not in shown
    assert base64.b64encode(b"pk-lf-1:sk-lf-1").decode() not in shown


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("EVERYSPAN_ENDPOINT", "collector:4319", "http://"),
        ("EVERYSPAN_ENDPOINT", "ftp://collector", "http://"),
        ("EVERYSPAN_ENDPOINT", "http://[::1", "http://"),
        ("EVERYSPAN_ENDPOINT", "http://collector:port", "http://"),
        ("EVERYSPAN_FSYNC", "sometimes", "none, interval, always"),
        ("EVERYSPAN_SPOOL_BYTES", "1GB", "whole number"),
        ("EVERYSPAN_DROP", "random", "newest, oldest, block"),
        ("EVERYSPAN_BLOCK_TIMEOUT", "for ever", "seconds"),
        ("EVERYSPAN_SPOOL_BYTES", "-1", "whole number"),
        ("EVERYSPAN_SPOOL_BYTES", "1000", "1048576"),
        ("EVERYSPAN_EXIT_TIMEOUT", "soon", "seconds"),
        ("EVERYSPAN_EXIT_TIMEOUT", "nan", "seconds"),
        ("EVERYSPAN_EXIT_TIMEOUT", "-1", "seconds"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "http://"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318", "http://"),
        ("LANGFUSE_HOST", "langfuse.example", "http://"),
        ("LANGFUSE_BASE_URL", "langfuse.example", "http://"),
    ],
)
def test_a_value_that_can_not_be_used_is_named_with_what_is_allowed(
    variable: str, value: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment(environ={**LANGFUSE, variable: value})

    assert variable in str(caught.value)
    assert value in str(caught.value)
    assert allowed in str(caught.value)


def test_numbers_and_levels_are_read() -> None:
    environ = {
        "EVERYSPAN_FSYNC": "Always",
        "EVERYSPAN_SPOOL_BYTES": "2097152",
        "EVERYSPAN_EXIT_TIMEOUT": "0.5",
    }

    settings = from_environment(environ=environ)

    assert settings.fsync is Fsync.ALWAYS
    assert settings.spool_bytes == 2_097_152
    assert settings.exit_timeout_s == 0.5


def test_directories_follow_our_variable_then_xdg_then_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")

    assert spool_dir({"EVERYSPAN_SPOOL_DIR": "~/spool"}) == Path("/home/someone/spool")
    assert spool_dir({"XDG_STATE_HOME": "/state"}) == Path("/state/everyspan/spool")
    assert spool_dir({}) == Path("/home/someone/.local/state/everyspan/spool")
    assert data_dir({"EVERYSPAN_DATA_DIR": "/data"}) == Path("/data")
    assert data_dir({"XDG_DATA_HOME": "/share"}) == Path("/share/everyspan")
    assert data_dir({}) == Path("/home/someone/.local/share/everyspan")


def test_questions_go_to_the_collector_that_spans_go_to() -> None:
    environ = {"EVERYSPAN_ENDPOINT": "http://collector:1/v1/traces", "EVERYSPAN_API_KEY": "key"}

    assert collector(environ=environ) == ("http://collector:1", "key")
    assert collector("http://other:2/", api_key="mine", environ=environ) == ("http://other:2", "mine")
    assert collector(environ={}) == (DEFAULT_ENDPOINT, None)
