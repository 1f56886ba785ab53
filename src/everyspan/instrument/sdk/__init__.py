"""What the hooks of provider SDKs share: opening a call, reading its stream, its raw body and its answer."""
