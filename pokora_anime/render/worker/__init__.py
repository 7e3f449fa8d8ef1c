"""The guard during a run: a process in a sandbox renders; its parent keeps keys, network and launchers."""
