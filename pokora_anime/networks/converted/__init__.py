"""UNets and ControlNets as OpenVINO runs them: converted once for each shape, and kept."""
