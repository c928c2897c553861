"""The command line: flags and options, how a script ends, a file that is written whole."""
