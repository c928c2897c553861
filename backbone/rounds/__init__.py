"""The parent of timers: it runs commands by rounds, and stores what they send."""
