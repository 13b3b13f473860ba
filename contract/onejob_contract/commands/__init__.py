"""The kit's subcommands, one file each."""
