"""The ways to ParaView Catalyst in the process that runs pipelines."""
