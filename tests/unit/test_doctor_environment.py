"""What the doctor makes of variables and of the packages that are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from everyspan.doctor.environment import examine_environment
from everyspan.doctor.finding import Finding, Level
from everyspan.doctor.packages import examine_packages
from everyspan.settings import surroundings


def problems(**environ: str) -> set[str]:
    """The codes of the problems that these variables are."""
    found = examine_environment(surroundings(environ))
    return {finding.code for finding in found if finding.level is Level.PROBLEM}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SDK_DISABLED": "false"},
        {"OTEL_TRACES_SAMPLER": "always_on"},
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.0"},
        {"OTEL_TRACES_SAMPLER": "traceidratio"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nonsense"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "128"},
        {"OTEL_ATTRIBUTE_COUNT_LIMIT": "10", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "200"},
        {"LITELLM_OTEL_V2": "false"},
        {"AWS_LAMBDA_FUNCTION_NAME": "report"},
    ],
)
def test_variables_that_cost_no_span_are_no_problem(environ: dict[str, str]) -> None:
    assert problems(**environ) == set()


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"OTEL_SDK_DISABLED": " TRUE "}, "environment.otel_disabled"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "32"}, "environment.attribute_count"),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "32"}, "environment.attribute_count"),
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4096"}, "environment.attribute_length"),
        ({"LITELLM_OTEL_V2": ""}, "environment.litellm_otel_v2"),
        ({"LITELLM_OTEL_V2": "true"}, "environment.litellm_otel_v2"),
    ],
)
def test_variables_by_which_spans_are_lost_or_doubled_are_problems(
    environ: dict[str, str], code: str
) -> None:
    assert problems(**environ) == {code}


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_TRACES_SAMPLER": "PARENTBASED_ALWAYS_OFF"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
    ],
)
def test_a_sampler_is_a_warning_because_usage_and_cost_are_kept(environ: dict[str, str]) -> None:
    found = list(examine_environment(surroundings(environ)))

    assert [each.code for each in found if each.level is Level.WARNING] == ["environment.sampler"]


def test_a_problem_says_what_to_do() -> None:
    found = list(examine_environment(surroundings({"OTEL_SDK_DISABLED": "true", "LITELLM_OTEL_V2": ""})))

    assert [finding.do for finding in found if finding.level is Level.PROBLEM] == [
        "unset OTEL_SDK_DISABLED",
        "unset LITELLM_OTEL_V2; recording by everyspan does not need it",
    ]


def test_on_lambda_the_function_is_named() -> None:
    found = examine_environment(surroundings({"AWS_LAMBDA_FUNCTION_NAME": "report"}))

    (says,) = [finding.says for finding in found if finding.code == "host.lambda"]
    assert "report" in says


def install(folder: Path, name: str, version: str) -> None:
    """Make `folder`, which is on the path, hold an installed package of that name."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, **packages: str) -> dict[str, Finding]:
    """What the doctor finds with only these packages on the path, by code."""
    for name, version in packages.items():
        install(folder, name.replace("__", "-"), version)
    monkeypatch.setattr("sys.path", [str(folder)])
    return {finding.code: finding for finding in examine_packages(anthropic_traces=True)}


@pytest.mark.parametrize("version", ["1.83.7", "1.100", "1.109.1"])
def test_a_version_in_the_tested_range_is_fine(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed(tmp_path, monkeypatch, litellm=version)["versions.litellm"].level is Level.OK


@pytest.mark.parametrize("version", ["1.83.6", "1.109.2", "2.0", "0.1.dev3"])
def test_a_version_outside_is_called_untested(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = installed(tmp_path, monkeypatch, litellm=version)["versions.litellm"]

    assert (found.level, f"{version} is untested" in found.says) == (Level.WARNING, True)


@pytest.mark.parametrize(
    ("package", "family"),
    [
        ("openinference-instrumentation-litellm", "OpenInference"),
        ("opentelemetry-instrumentation-openai", "OpenLLMetry"),
        ("traceloop-sdk", "OpenLLMetry"),
        ("opentelemetry-instrumentation-openai-v2", "OpenTelemetry GenAI"),
        ("logfire", "Logfire"),
    ],
)
def test_an_instrumentation_of_the_same_calls_is_named_with_its_family(
    package: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = installed(tmp_path, monkeypatch, **{package: "1.2.3"})["overlap.installed"]

    assert found.says.startswith(f"{family} is installed ({package} 1.2.3)")


def test_an_instrumentation_of_something_else_is_not_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = installed(tmp_path, monkeypatch, **{"opentelemetry-instrumentation-requests": "0.60"})

    assert "overlap.installed" not in found


def test_anthropic_is_named_with_its_own_spans_from_the_version_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, since = tmp_path / "before", tmp_path / "since"
    before.mkdir()
    since.mkdir()

    assert "overlap.anthropic" not in installed(before, monkeypatch, anthropic="1.10.0")
    assert "2.12.0 makes spans" in installed(since, monkeypatch, anthropic="2.12.0")["overlap.anthropic"].says
