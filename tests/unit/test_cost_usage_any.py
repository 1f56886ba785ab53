"""Any usage: through attributes and Langfuse's buckets and back, and whether it is possible at all."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from everyspan.cost.usage import (
    LANGFUSE_USAGE,
    attributes_of,
    langfuse_usage_details,
    usage_from_attributes,
)
from everyspan.model.usage import COUNTS, Usage
from tests.usages import without_extras


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usages that can be true, with every kind of token."""
    some = st.integers(1, 10_000)
    both, cached, audio = draw(some), draw(some), draw(some)
    hour, written, image, fresh = draw(some), draw(some), draw(some), draw(st.integers(0, 10_000))
    reasoning, spoken, drawn, text = draw(some), draw(some), draw(some), draw(st.integers(0, 10_000))
    seen_again, watched, filmed = draw(some), draw(some), draw(some)
    return Usage(
        input_tokens=fresh + both + cached + audio + hour + written + image + seen_again + watched,
        output_tokens=text + reasoning + spoken + drawn + filmed,
        cache_read_tokens=cached + both + seen_again,
        cache_write_tokens=written + hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=reasoning,
        input_audio_tokens=audio + both,
        output_audio_tokens=spoken,
        cache_read_audio_tokens=both,
        input_image_tokens=image + seen_again,
        output_image_tokens=drawn,
        cache_read_image_tokens=seen_again,
        input_video_tokens=watched,
        output_video_tokens=filmed,
        requests=draw(st.one_of(st.none(), some)),
        web_searches=draw(st.one_of(st.none(), some)),
        service_tier=draw(st.sampled_from([None, "flex", "priority"])),
        batch=draw(st.booleans()),
        region=draw(st.sampled_from([None, "us"])),
    )


@given(usage=usages())
@settings(deadline=None)
def test_usage_survives_the_way_through_attributes_and_through_langfuse(usage: Usage) -> None:
    details = langfuse_usage_details(usage)

    assert usage_from_attributes(attributes_of(usage)) == usage
    assert usage_from_attributes({LANGFUSE_USAGE: json.dumps(details)}) == without_extras(usage)
    assert sum(details.values()) == 2 * details["total"]
    assert details["total"] == (usage.input_tokens or 0) + (usage.output_tokens or 0)


@given(
    counts=st.dictionaries(
        st.sampled_from(COUNTS), st.one_of(st.none(), st.integers(-1, 3), st.just(0)), min_size=1
    )
)
@settings(deadline=None, max_examples=400)
def test_the_quick_question_whether_a_usage_is_possible_agrees_with_the_long_one(
    counts: dict[str, int],
) -> None:
    usage = Usage(**counts)  # type: ignore[arg-type]

    assert usage.is_possible() is (usage.problems() == ())
