"""A bundle judged: contents, documents, rules and source."""
