"""The subcommands, a file each; none is imported before it is called."""
