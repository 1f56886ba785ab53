"""Amazon Bedrock through boto3, with OpenInference's span around everyspan's, which is the billed one."""

import json
import os

import boto3
from openinference.instrumentation.bedrock import BedrockInstrumentor

import everyspan

everyspan.init()
BedrockInstrumentor().instrument()

# AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_REGION and the credentials are boto3's own settings.
client = boto3.client("bedrock-runtime", region_name=os.environ.get("AWS_REGION", "us-east-1"))
body = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "What is a span?"}],
}
answer = client.invoke_model(modelId="anthropic.claude-haiku-4-5-20251001-v1:0", body=json.dumps(body))
print(json.loads(answer["body"].read())["content"][0]["text"])
print(everyspan.flush())
