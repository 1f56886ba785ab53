"""Everything that can be set, in one place. Only this module reads the environment."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from everyspan.errors import SettingsError
from everyspan.model.destination import Destination, Dialect

DEFAULT_PORT = 4319
"""Where `everyspan serve` listens, and where a program that was told nothing tries to deliver."""

DEFAULT_ENDPOINT = f"http://127.0.0.1:{DEFAULT_PORT}"

LANGFUSE_CLOUD = "https://cloud.langfuse.com"
LANGFUSE_TRACES_PATH = "/api/public/otel/v1/traces"

_LAMBDA_SPOOL = Path("/tmp/everyspan/spool")

_MIB = 1 << 20
_EXIT_TIMEOUT_S = 5.0
_BLOCK_TIMEOUT_S = 10.0


_Choice = TypeVar("_Choice", bound=StrEnum)


class Fsync(StrEnum):
    """How hard the spool works before it says that a record is kept."""

    NONE = "none"
    """In the kernel's page cache: survives the death of the process, not of the machine."""
    INTERVAL = "interval"
    """The same, and a background fdatasync every 500 ms."""
    ALWAYS = "always"
    """fdatasync before control returns."""


class Drop(StrEnum):
    """Which spans give way when the spool is full and memory can hold no more."""

    NEWEST = "newest"
    """The one that is just being recorded."""
    OLDEST = "oldest"
    """Those that have waited longest, a whole file of them at a time."""
    BLOCK = "block"
    """None for a while: recording waits for room; after that the newest."""


class Content(StrEnum):
    """What is kept of prompts, answers, inputs and outputs."""

    FULL = "full"
    HASHED = "hashed"
    """Their sha256 and length: equal texts can be told, but not read."""
    NONE = "none"


class MediaHandling(StrEnum):
    """What becomes of pictures and sound in messages."""

    REFERENCE = "reference"
    """Their size and hash stand in their place."""
    KEEP = "keep"
    """The same, and the bytes are kept beside the spool."""
    INLINE = "inline"
    """They stay in the span, in base64."""


class SampledOut(StrEnum):
    """What becomes of calls of which the program's own sampler wants no span."""

    LEDGER = "ledger"
    """Their usage and cost are kept, without anything else."""
    DROP = "drop"
    """They are only counted."""


class AskForUsage(StrEnum):
    """When a stream is asked to tell its usage (`include_usage`) although the program did not ask."""

    AUTO = "auto"
    """Of servers that are known to answer."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for. Build it with `from_environment`, which names the variable of each field."""

    destinations: tuple[Destination, ...]
    spool_dir: Path
    fsync: Fsync = Fsync.NONE
    spool_bytes: int | None = None
    """Most bytes that wait for one destination; None leaves it to the size of the filesystem."""
    drop: Drop = Drop.NEWEST
    block_timeout_s: float = _BLOCK_TIMEOUT_S
    exit_timeout_s: float = _EXIT_TIMEOUT_S
    allow_key_in_clear: bool = False
    """Send keys over http to other machines too; without it such spans wait in the spool."""
    ask_for_usage: AskForUsage = AskForUsage.AUTO
    content: Content = Content.FULL
    media: MediaHandling = MediaHandling.REFERENCE
    sampled_out: SampledOut = SampledOut.LEDGER
    explicit: bool = True
    """False when nobody named a destination and the local collector's default address is tried."""


def from_environment(
    *, endpoint: str | None = None, api_key: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Settings from arguments and environment variables; an argument wins over its variable.

    Reads EVERYSPAN_ENDPOINT, EVERYSPAN_API_KEY, EVERYSPAN_SPOOL_DIR, EVERYSPAN_SPOOL_BYTES, EVERYSPAN_DROP,
    EVERYSPAN_BLOCK_TIMEOUT, EVERYSPAN_FSYNC, EVERYSPAN_EXIT_TIMEOUT, EVERYSPAN_ALLOW_KEY_IN_CLEAR,
    EVERYSPAN_INCLUDE_USAGE, EVERYSPAN_CONTENT, EVERYSPAN_MEDIA and EVERYSPAN_SAMPLED_OUT; for destinations also
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_HEADERS, OTEL_EXPORTER_OTLP_HEADERS (OpenTelemetry protocol exporter specification)
    and LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY, LANGFUSE_BASE_URL, LANGFUSE_HOST (Langfuse SDK).

    Raises:
        SettingsError: a value cannot be used; the message names the variable and what it allows.
    """
    env = os.environ if environ is None else environ
    destinations = tuple(_destinations(endpoint, api_key, env))
    return Settings(
        destinations=destinations or (otlp_destination(DEFAULT_ENDPOINT),),
        spool_dir=spool_dir(env),
        fsync=_one_of(Fsync, env, "EVERYSPAN_FSYNC", Fsync.NONE),
        spool_bytes=_whole_number(env, "EVERYSPAN_SPOOL_BYTES", least=_MIB),
        drop=_one_of(Drop, env, "EVERYSPAN_DROP", Drop.NEWEST),
        block_timeout_s=_seconds(env, "EVERYSPAN_BLOCK_TIMEOUT", _BLOCK_TIMEOUT_S),
        exit_timeout_s=_seconds(env, "EVERYSPAN_EXIT_TIMEOUT", _EXIT_TIMEOUT_S),
        allow_key_in_clear=_yes_or_no(env, "EVERYSPAN_ALLOW_KEY_IN_CLEAR"),
        ask_for_usage=_one_of(AskForUsage, env, "EVERYSPAN_INCLUDE_USAGE", AskForUsage.AUTO),
        content=_one_of(Content, env, "EVERYSPAN_CONTENT", Content.FULL),
        media=_one_of(MediaHandling, env, "EVERYSPAN_MEDIA", MediaHandling.REFERENCE),
        sampled_out=_one_of(SampledOut, env, "EVERYSPAN_SAMPLED_OUT", SampledOut.LEDGER),
        explicit=bool(destinations),
    )


def spool_dir(env: Mapping[str, str] | None = None) -> Path:
    """The root of all spools: EVERYSPAN_SPOOL_DIR, else the user's state directory (XDG base directories).

    On AWS Lambda it is below /tmp: nothing else can be written to there.
    """
    env = os.environ if env is None else env
    if env.get("EVERYSPAN_SPOOL_DIR"):
        return Path(env["EVERYSPAN_SPOOL_DIR"]).expanduser()
    if surroundings(env).lambda_function:
        return _LAMBDA_SPOOL
    state = env.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "everyspan" / "spool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What other people's variables say about the program; `everyspan doctor` says what follows from it."""

    otel_disabled: bool
    """OTEL_SDK_DISABLED: OpenTelemetry makes no spans at all."""
    sampler: str
    """OTEL_TRACES_SAMPLER: what a TracerProvider without a sampler of its own uses."""
    sampler_argument: str
    attribute_count_limit: int | None
    """OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, else OTEL_ATTRIBUTE_COUNT_LIMIT: the oldest attributes go."""
    attribute_length_limit: int | None
    """OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT, else OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: longer texts are cut."""
    litellm_otel_v2: str | None
    """LITELLM_OTEL_V2, which litellm can not read when it is set to nothing."""
    anthropic_traces: bool
    """ANTHROPIC_OPEN_TELEMETRY: the anthropic SDK makes spans of its own unless it is false."""
    lambda_function: str
    """AWS_LAMBDA_FUNCTION_NAME: the function that this process is, if any."""


def surroundings(env: Mapping[str, str] | None = None) -> Surroundings:
    """What the environment says about OpenTelemetry, other instrumentations and the host; nothing is refused."""
    env = os.environ if env is None else env
    count = env.get("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT") or env.get("OTEL_ATTRIBUTE_COUNT_LIMIT")
    length = env.get("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT") or env.get("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
    return Surroundings(
        otel_disabled=env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true",
        sampler=env.get("OTEL_TRACES_SAMPLER", "").strip().lower(),
        sampler_argument=env.get("OTEL_TRACES_SAMPLER_ARG", "").strip(),
        attribute_count_limit=int(count) if count and count.isdecimal() else None,
        attribute_length_limit=int(length) if length and length.isdecimal() else None,
        litellm_otel_v2=env.get("LITELLM_OTEL_V2"),
        anthropic_traces=env.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() != "false",
        lambda_function=env.get("AWS_LAMBDA_FUNCTION_NAME", ""),
    )


def data_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where `everyspan serve` keeps its store: EVERYSPAN_DATA_DIR, else the user's data directory."""
    env = os.environ if env is None else env
    if env.get("EVERYSPAN_DATA_DIR"):
        return Path(env["EVERYSPAN_DATA_DIR"]).expanduser()
    data = env.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "everyspan"


def store_address(env: Mapping[str, str] | None = None) -> str:
    """The store of `everyspan serve` and `everyspan store`: EVERYSPAN_STORE; empty for a file in the data directory."""
    return (os.environ if env is None else env).get("EVERYSPAN_STORE", "").strip()


def prices_file(env: Mapping[str, str] | None = None) -> Path | None:
    """The user's own prices: EVERYSPAN_PRICES, a TOML or JSON file; None when there are none."""
    named = (os.environ if env is None else env).get("EVERYSPAN_PRICES")
    return Path(named).expanduser() if named else None


def budgets_file(env: Mapping[str, str] | None = None) -> Path | None:
    """The user's limits on cost: EVERYSPAN_BUDGETS, a TOML file; None when there are none."""
    named = (os.environ if env is None else env).get("EVERYSPAN_BUDGETS")
    return Path(named).expanduser() if named else None


def price_table(env: Mapping[str, str] | None = None) -> Path | None:
    """A price table newer than the one that ships with us: EVERYSPAN_PRICE_TABLE; None for ours."""
    named = (os.environ if env is None else env).get("EVERYSPAN_PRICE_TABLE")
    return Path(named).expanduser() if named else None


def admin_key(provider: str, env: Mapping[str, str] | None = None) -> tuple[str, str]:
    """An administrator's key of `openai` or `anthropic`, and where to ask when it is not their usual address.

    Reads OPENAI_ADMIN_KEY with OPENAI_ADMIN_URL, or ANTHROPIC_ADMIN_KEY with ANTHROPIC_ADMIN_URL.
    """
    env = os.environ if env is None else env
    name = provider.upper()
    return env.get(f"{name}_ADMIN_KEY", ""), env.get(f"{name}_ADMIN_URL", "")


def server_keys(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The key pairs that `everyspan serve` accepts: EVERYSPAN_KEYS, `public:secret` with commas between pairs."""
    env = os.environ if env is None else env
    return tuple(pair.strip() for pair in env.get("EVERYSPAN_KEYS", "").split(",") if pair.strip())


def retention(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """How long `everyspan serve` keeps traces: EVERYSPAN_RETAIN, `project=30d` with commas between projects."""
    env = os.environ if env is None else env
    return tuple(each.strip() for each in env.get("EVERYSPAN_RETAIN", "").split(",") if each.strip())


def collector(
    url: str | None = None, *, api_key: str | None = None, environ: Mapping[str, str] | None = None
) -> tuple[str, str | None]:
    """Base URL and key of the collector to ask: the arguments, else EVERYSPAN_ENDPOINT and EVERYSPAN_API_KEY.

    Raises:
        SettingsError: the URL is not an http or https URL with a host.
    """
    env = os.environ if environ is None else environ
    named = env.get("EVERYSPAN_ENDPOINT") or DEFAULT_ENDPOINT
    base = (_checked(url) if url else _checked(named, called="EVERYSPAN_ENDPOINT")).rstrip("/")
    return base.removesuffix("/v1/traces"), api_key or env.get("EVERYSPAN_API_KEY") or None


def otlp_destination(endpoint: str, *, api_key: str | None = None, called: str = "endpoint") -> Destination:
    """The destination for a base URL such as `http://127.0.0.1:4319`; `/v1/traces` is added when it is missing.

    Raises:
        SettingsError: `endpoint`, which the message calls `called`, is not an http or https URL with a host.
    """
    headers = (("Authorization", f"Bearer {api_key}"),) if api_key else ()
    return Destination(url=traces_url(endpoint, called=called), headers=headers)


def langfuse_project(env: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """URL, public and secret key of the Langfuse project that the LANGFUSE_* variables name.

    Raises:
        SettingsError: they name none.
    """
    env = os.environ if env is None else env
    public, secret = env.get("LANGFUSE_PUBLIC_KEY"), env.get("LANGFUSE_SECRET_KEY")
    if not public or not secret:
        raise SettingsError("LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY say which project; set both")
    called = "LANGFUSE_BASE_URL" if env.get("LANGFUSE_BASE_URL") else "LANGFUSE_HOST"
    return _checked(env.get(called) or LANGFUSE_CLOUD, called=called).rstrip("/"), public, secret


def langfuse_destination(host: str, *, public_key: str, secret_key: str, called: str = "host") -> Destination:
    """The OTLP endpoint of a Langfuse server for one project's key pair (Langfuse API: OpenTelemetry ingestion)."""
    pair = base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()
    return Destination(
        url=_checked(host, called=called).rstrip("/") + LANGFUSE_TRACES_PATH,
        headers=(("Authorization", f"Basic {pair}"), ("x-langfuse-ingestion-version", "4")),
        dialect=Dialect.LANGFUSE,
    )


def traces_url(endpoint: str, *, called: str = "endpoint") -> str:
    """`endpoint` with `/v1/traces` at its end."""
    base = _checked(endpoint, called=called).rstrip("/")
    return base if base.endswith("/v1/traces") else base + "/v1/traces"


def _destinations(endpoint: str | None, api_key: str | None, env: Mapping[str, str]) -> list[Destination]:
    found = []
    key = api_key or env.get("EVERYSPAN_API_KEY")
    if endpoint:
        found.append(otlp_destination(endpoint, api_key=key))
    elif env.get("EVERYSPAN_ENDPOINT"):
        found.append(otlp_destination(env["EVERYSPAN_ENDPOINT"], api_key=key, called="EVERYSPAN_ENDPOINT"))
    else:
        found += _otel_destination(env)
    public, secret = env.get("LANGFUSE_PUBLIC_KEY"), env.get("LANGFUSE_SECRET_KEY")
    if public and secret:
        found.append(langfuse_destination(langfuse_project(env)[0], public_key=public, secret_key=secret))
    return found


def _otel_destination(env: Mapping[str, str]) -> list[Destination]:
    exact, base = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not exact and not base:
        return []
    # The specification takes the traces endpoint as it stands and adds the path to the general one.
    if exact:
        url = _checked(exact, called="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    else:
        url = traces_url(base or "", called="OTEL_EXPORTER_OTLP_ENDPOINT")
    listed = env.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or env.get("OTEL_EXPORTER_OTLP_HEADERS") or ""
    return [Destination(url=url, headers=parse_headers(listed))]


def parse_headers(listed: str) -> tuple[tuple[str, str], ...]:
    """Headers from `name=value,name=value` with URL-encoded values (OpenTelemetry environment variables)."""
    pairs = (item.partition("=") for item in listed.split(",") if "=" in item)
    return tuple((name.strip(), unquote(value.strip())) for name, _, value in pairs)


def _checked(url: str, *, called: str = "endpoint") -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is no number
        usable = False
    if not usable:
        raise SettingsError(f"{called} is {url!r}; it takes a URL such as {DEFAULT_ENDPOINT}")
    return url


def _one_of(kind: type[_Choice], env: Mapping[str, str], name: str, default: _Choice) -> _Choice:
    value = env.get(name)
    if not value:
        return default
    try:
        return kind(value.lower())
    except ValueError:
        allowed = ", ".join(each.value for each in kind)
        raise SettingsError(f"{name} is {value!r}; it takes one of: {allowed}") from None


def _whole_number(env: Mapping[str, str], name: str, *, least: int) -> int | None:
    value = env.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise SettingsError(f"{name} is {value!r}; it takes a whole number of at least {least}")
    return int(value)


def _yes_or_no(env: Mapping[str, str], name: str) -> bool:
    value = (env.get(name) or "0").lower()
    if value not in ("0", "1", "false", "true"):
        raise SettingsError(f"{name} is {value!r}; it takes 0 or 1")
    return value in ("1", "true")


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    value = env.get(name)
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 86_400:
        raise SettingsError(f"{name} is {value!r}; it takes seconds, from 0 to 86400")
    return seconds
