"""Rules (one function a rule), the gate before a run, the guard during it, verify after it. Torch-free."""
