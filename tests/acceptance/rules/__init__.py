"""Every rule of DESIGN.md §6 and of its edges, through whole processes against both simulators. README.md is the table."""
