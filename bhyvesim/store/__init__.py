"""What is kept between commands: VMs and crash dumps, in one SQLite file."""
