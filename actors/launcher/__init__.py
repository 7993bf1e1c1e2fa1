"""The command `launch`: probing, planning, starting and reporting a run."""
