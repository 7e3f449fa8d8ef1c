"""What is typed while a clip goes on: how it changes the prompt, and how it waits. Torch-free."""
