"""Amazon Bedrock through botocore, which boto3 uses."""

from __future__ import annotations

from everyspan.instrument.bedrock.hooks import BedrockHooks

__all__ = ["BedrockHooks"]
