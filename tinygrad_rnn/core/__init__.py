"""The engine: ops as records, tensors, recording, and the backward walk."""
