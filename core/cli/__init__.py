"""The command line. One module a command; heavy imports happen inside a command, so help is instant."""
