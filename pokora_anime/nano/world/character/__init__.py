"""The drawn character: body, head, hair, clothes, and how the joints move."""
