"""Studio: the tool in a browser and as an API: a server, a queue that survives, and a page. Torch-free."""
