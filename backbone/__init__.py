"""What the scripts share, room by room; imports run one way, and `command` uses no other room."""
