"""A base's networks in the formats of other runtimes: ONNX, Core ML, and a Swift package around that."""
