"""What the scripts share: flags and errors, the network, the timed pass, rows and records."""
